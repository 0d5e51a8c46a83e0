-- severity: error
-- Two files of a bill, of which neither says when it was collected, hold the same charges: both would count. Give the source
-- a `collected_at`, so that the newer replaces the older, or remove one.
with several as (
    select
        provider_name,
        billing_account_id,
        billing_period_start_at
    from core.bills
    where is_current and collected_at is null
    group by provider_name, billing_account_id, billing_period_start_at
    having count(*) > 1
),

undated as (
    select
        bills.provider_name,
        bills.billing_account_id,
        bills.billing_period_start_at,
        bills.source_file,
        charges.subject_id,
        charges.charge_period_start_at,
        charges.charge_period_end_at,
        charges.billed_cost,
        charges.effective_cost,
        charges.pricing_quantity
    from several
    inner join core.bills as bills
        on several.provider_name = bills.provider_name
        and several.billing_account_id = bills.billing_account_id
        and several.billing_period_start_at = bills.billing_period_start_at
    inner join raw.focus_charges as charges
        on bills.load_id = charges.load_id
        and bills.provider_name = coalesce(charges.provider_name, '')
        and bills.billing_account_id = coalesce(charges.billing_account_id, '')
        and bills.billing_period_start_at = charges.billing_period_start_at
    where bills.is_current
)

select
    provider_name,
    billing_account_id,
    billing_period_start_at,
    min(source_file) as source_file,
    max(source_file) as other_file,
    effective_cost
from undated
where effective_cost <> 0
group by
    provider_name,
    billing_account_id,
    billing_period_start_at,
    subject_id,
    charge_period_start_at,
    charge_period_end_at,
    billed_cost,
    effective_cost,
    pricing_quantity
having count(distinct source_file) > 1
