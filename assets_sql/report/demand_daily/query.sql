with sums as (
    select
        usage_date,
        cluster,
        count(*) as hours,
        count(capacity_demand_unit_seconds) as known_hours,
        cast(sum(accounted_seconds) as bigint) as accounted_seconds,
        cast(sum(snapshot_seconds) as bigint) as snapshot_seconds,
        cast(sum(allocated_unit_seconds) as bigint) as allocated_unit_seconds,
        cast(sum(pending_unit_seconds) as bigint) as pending_unit_seconds,
        cast(sum(pending_capacity_unit_seconds) as bigint) as pending_capacity_unit_seconds,
        cast(sum(capacity_demand_unit_seconds) as bigint) as capacity_demand_unit_seconds,
        cast(sum(unmet_unit_seconds) as bigint) as unmet_unit_seconds,
        cast(sum(case when is_fragmented then accounted_seconds else 0 end) as bigint) as fragmented_seconds
    from mart.demand_hourly
    where usage_date in (select usage_date from days)
    group by usage_date, cluster
)

select
    usage_date,
    cluster,
    unit_hours(allocated_unit_seconds) as allocated_hours,
    unit_hours(pending_unit_seconds) as pending_accelerator_hours,
    case when known_hours = hours then unit_hours(pending_capacity_unit_seconds) end as pending_capacity_hours,
    case when known_hours = hours then unit_hours(capacity_demand_unit_seconds) end as capacity_demand_hours,
    case when known_hours = hours then unit_hours(unmet_unit_seconds) end as unmet_hours,
    case when known_hours = hours then second_hours(fragmented_seconds) end as fragmented_hours,
    ratio(snapshot_seconds, accounted_seconds) as queue_coverage,
    accounted_seconds,
    snapshot_seconds,
    allocated_unit_seconds,
    case when known_hours = hours then capacity_demand_unit_seconds end as capacity_demand_unit_seconds,
    case when known_hours = hours then unmet_unit_seconds end as unmet_unit_seconds
from sums
