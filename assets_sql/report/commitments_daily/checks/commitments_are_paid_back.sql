-- severity: warn
-- Over the whole term of a commitment, its usage and what nobody used of it do not cost what it was bought for, by more than
-- a hundredth of a percent: some of its charges are missing, or count twice.
with purchases as (
    select
        provider_name,
        commitment_discount_id,
        currency,
        min(starts_at) as starts_at,
        max(ends_at) as ends_at,
        sum(billed_cost) as billed_cost
    from core.billed_charges
    where commitment_discount_id <> '' and charge_category = 'Purchase'
    group by provider_name, commitment_discount_id, currency
),

paid_back as (
    select
        provider_name,
        commitment_discount_id,
        currency,
        sum(effective_cost) as effective_cost,
        min(starts_at) as first_at,
        max(ends_at) as last_at
    from core.billed_charges
    where commitment_discount_id <> '' and charge_category = 'Usage'
    group by provider_name, commitment_discount_id, currency
)

select
    purchases.provider_name,
    purchases.commitment_discount_id,
    purchases.currency,
    purchases.starts_at,
    purchases.ends_at,
    purchases.billed_cost,
    paid_back.effective_cost
from purchases
inner join paid_back
    on purchases.provider_name = paid_back.provider_name
    and purchases.commitment_discount_id = paid_back.commitment_discount_id
    and purchases.currency = paid_back.currency
where paid_back.first_at <= purchases.starts_at
    and paid_back.last_at >= purchases.ends_at
    and abs(paid_back.effective_cost - purchases.billed_cost) * 10000 > abs(purchases.billed_cost)
