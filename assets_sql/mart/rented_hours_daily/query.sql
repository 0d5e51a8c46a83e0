-- What was rented, by day: a charge over more than a day is split by the second.
with windows as (
    select
        cluster_days.usage_date,
        cluster_days.cluster,
        cluster_days.starts_at as window_start_at,
        cluster_days.ends_at as window_end_at
    from core.cluster_days as cluster_days
    inner join days on cluster_days.usage_date = days.usage_date
),

rented as (
    select
        starts_at,
        ends_at,
        cluster,
        pool,
        accelerator_model,
        tenure,
        region_id,
        sum(billed_unit_seconds) as unit_seconds
    from core.billed_charges
    where billed_unit_seconds <> 0
    group by starts_at, ends_at, cluster, pool, accelerator_model, tenure, region_id
),

slices as (
    select
        windows.usage_date,
        rented.cluster,
        rented.pool,
        rented.accelerator_model,
        rented.tenure,
        rented.region_id,
        cast(sum(slice_picos(
            rented.unit_seconds, rented.starts_at, rented.ends_at, windows.window_start_at, windows.window_end_at
        )) as bigint) as billed_unit_seconds
    from rented
    inner join windows
        on rented.cluster = windows.cluster
        and rented.starts_at < windows.window_end_at
        and rented.ends_at > windows.window_start_at
    group by windows.usage_date, rented.cluster, rented.pool, rented.accelerator_model, rented.tenure, rented.region_id
)

select
    usage_date,
    cluster,
    pool,
    accelerator_model,
    tenure,
    region_id,
    unit_hours(billed_unit_seconds) as billed_hours,
    billed_unit_seconds
from slices
