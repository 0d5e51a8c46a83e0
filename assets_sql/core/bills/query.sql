-- Which of the delivered bills count. A provider delivers a billing period again while it grows, and once more when it is
-- corrected: of what says when it was collected the newest counts, with all its parts, and otherwise all that there is.
with parts as (
    select
        load_id,
        source_file,
        coalesce(provider_name, '') as provider_name,
        coalesce(billing_account_id, '') as billing_account_id,
        billing_period_start_at,
        collected_at,
        max(billing_period_end_at) as billing_period_end_at,
        max(case when charge_category = 'Usage' then charge_period_end_at end) as covered_until_at,
        count(*) as charges,
        sum(billed_cost) as billed_cost,
        sum(effective_cost) as effective_cost
    from raw.focus_charges
    group by
        load_id,
        source_file,
        coalesce(provider_name, ''),
        coalesce(billing_account_id, ''),
        billing_period_start_at,
        collected_at
)

select
    load_id,
    provider_name,
    billing_account_id,
    billing_period_start_at,
    billing_period_end_at,
    collected_at,
    coalesce(collected_at, timestamp '1900-01-01') = coalesce(
        max(collected_at) over (partition by provider_name, billing_account_id, billing_period_start_at),
        timestamp '1900-01-01'
    ) as is_current,
    covered_until_at,
    charges,
    billed_cost,
    effective_cost,
    source_file
from parts
