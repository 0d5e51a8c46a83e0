-- What each commitment paid for, by day: usage that it covers, and what of it nobody used. Corrections have a cost and no
-- quantity. It expires when the last of its purchases that had been made ends.
with windows as (
    select
        cluster_days.usage_date,
        cluster_days.cluster,
        cluster_days.starts_at as window_start_at,
        cluster_days.ends_at as window_end_at
    from core.cluster_days as cluster_days
    inner join days on cluster_days.usage_date = days.usage_date
),

committed as (
    select
        starts_at,
        ends_at,
        cluster,
        provider_name,
        commitment_discount_id,
        currency,
        is_commitment_unused,
        amount_picos(sum(commitment_quantity)) as quantity_picos,
        amount_picos(sum(effective_cost)) as cost_picos,
        sum(billed_unit_seconds) as unit_seconds
    from core.billed_charges
    where commitment_discount_id <> '' and charge_category = 'Usage'
    group by starts_at, ends_at, cluster, provider_name, commitment_discount_id, currency, is_commitment_unused
),

slices as (
    select
        windows.usage_date,
        committed.provider_name,
        committed.commitment_discount_id,
        committed.currency,
        committed.is_commitment_unused,
        slice_picos(
            committed.quantity_picos,
            committed.starts_at,
            committed.ends_at,
            windows.window_start_at,
            windows.window_end_at
        ) as quantity_picos,
        slice_picos(
            committed.cost_picos, committed.starts_at, committed.ends_at, windows.window_start_at, windows.window_end_at
        ) as cost_picos,
        slice_picos(
            committed.unit_seconds, committed.starts_at, committed.ends_at, windows.window_start_at, windows.window_end_at
        ) as unit_seconds
    from committed
    inner join windows
        on committed.cluster = windows.cluster
        and committed.starts_at < windows.window_end_at
        and committed.ends_at > windows.window_start_at
),

summed as (
    select
        usage_date,
        provider_name,
        commitment_discount_id,
        currency,
        sum(case when is_commitment_unused then 0 else quantity_picos end) as used_picos,
        sum(case when is_commitment_unused then quantity_picos else 0 end) as unused_picos,
        sum(case when is_commitment_unused then 0 else cost_picos end) as used_cost_picos,
        sum(case when is_commitment_unused then cost_picos else 0 end) as unused_cost_picos,
        cast(sum(unit_seconds) as bigint) as unit_seconds
    from slices
    group by usage_date, provider_name, commitment_discount_id, currency
),

purchases as (
    select
        provider_name,
        commitment_discount_id,
        min(starts_at) as bought_at,
        ends_at
    from core.billed_charges
    where commitment_discount_id <> '' and charge_category = 'Purchase'
    group by provider_name, commitment_discount_id, ends_at
)

select
    summed.usage_date,
    summed.provider_name,
    summed.commitment_discount_id,
    summed.currency,
    picos_amount(any_value(summed.used_picos)) as used_quantity,
    picos_amount(any_value(summed.unused_picos)) as unused_quantity,
    ratio(any_value(summed.used_picos), any_value(summed.used_picos + summed.unused_picos)) as commitment_utilisation,
    picos_amount(any_value(summed.used_cost_picos)) as used_commitment_cost,
    picos_amount(any_value(summed.unused_cost_picos)) as unused_commitment_cost,
    unit_hours(any_value(summed.unit_seconds)) as billed_hours,
    any_value(summed.unit_seconds) as billed_unit_seconds,
    max(purchases.ends_at) as expires_at
from summed
left join purchases
    on summed.provider_name = purchases.provider_name
    and summed.commitment_discount_id = purchases.commitment_discount_id
    and cast(purchases.bought_at as date) <= summed.usage_date
group by summed.usage_date, summed.provider_name, summed.commitment_discount_id, summed.currency
