-- Commitments are paid when they are purchased and are a cost while usage, or nobody, uses them: what is billed and what is
-- effective differ by that. Taxes and credits are billed, and no part of the cost.
with kinds as (
    select
        cast(date_trunc('month', billing_period_start_at) as date) as billing_month,
        provider_name,
        billing_account_id,
        currency,
        case
            when charge_category = 'Purchase' and commitment_discount_id <> '' then 'commitment_purchase'
            when charge_category = 'Usage' and is_unused then 'unused_commitment'
            else lower(charge_category)
        end as charge_kind,
        billed_cost,
        effective_cost,
        bill_cost(charge_category, commitment_discount_id, effective_cost) as cost,
        is_correction,
        cluster
    from core.billed_charges
)

select
    billing_month,
    provider_name,
    billing_account_id,
    currency,
    charge_kind,
    sum(billed_cost) as billed_cost,
    sum(effective_cost) as effective_cost,
    sum(cost) as cost,
    sum(case when is_correction then cost else 0 end) as correction_cost,
    sum(case when cluster = 'unassigned' then cost else 0 end) as unassigned_cost
from kinds
group by billing_month, provider_name, billing_account_id, currency, charge_kind
