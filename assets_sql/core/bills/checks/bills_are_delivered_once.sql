-- severity: error
-- Two files of a bill, of which neither was collected later than the other, hold the same charges: both would count. Give
-- the source a `collected_at` that tells them apart, so that the newer replaces the older, or remove one.
with several as (
    select
        provider_name,
        billing_account_id,
        billing_period_start_at
    from core.bills
    where is_current
    group by provider_name, billing_account_id, billing_period_start_at
    having count(*) > 1
),

charges as (
    select
        bills.provider_name,
        bills.billing_account_id,
        bills.billing_period_start_at,
        bills.source_file,
        delivered.subject_id,
        delivered.charge_period_start_at,
        delivered.charge_period_end_at,
        delivered.billed_cost,
        delivered.effective_cost,
        delivered.pricing_quantity
    from several
    inner join core.bills as bills
        on several.provider_name = bills.provider_name
        and several.billing_account_id = bills.billing_account_id
        and several.billing_period_start_at = bills.billing_period_start_at
    inner join raw.focus_charges as delivered
        on bills.load_id = delivered.load_id
        and bills.provider_name = coalesce(delivered.provider_name, '')
        and bills.billing_account_id = coalesce(delivered.billing_account_id, '')
        and bills.billing_period_start_at = delivered.billing_period_start_at
    where bills.is_current
)

select
    provider_name,
    billing_account_id,
    billing_period_start_at,
    min(source_file) as source_file,
    max(source_file) as other_file,
    effective_cost
from charges
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
