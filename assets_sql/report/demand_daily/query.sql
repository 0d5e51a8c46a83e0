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
),

fragments as (
    select
        usage_date,
        cluster,
        cast(sum(free_unit_seconds) as bigint) as free_unit_seconds,
        cast(sum(fragmented_unit_seconds) as bigint) as fragmented_unit_seconds
    from mart.fragmentation_hourly
    where usage_date in (select usage_date from days)
    group by usage_date, cluster
)

select
    sums.usage_date,
    sums.cluster,
    unit_hours(sums.allocated_unit_seconds) as allocated_hours,
    unit_hours(sums.pending_unit_seconds) as pending_accelerator_hours,
    case when sums.known_hours = sums.hours then unit_hours(sums.pending_capacity_unit_seconds) end as pending_capacity_hours,
    case when sums.known_hours = sums.hours then unit_hours(sums.capacity_demand_unit_seconds) end as capacity_demand_hours,
    case when sums.known_hours = sums.hours then unit_hours(sums.unmet_unit_seconds) end as unmet_hours,
    case when sums.known_hours = sums.hours then second_hours(sums.fragmented_seconds) end as fragmented_hours,
    ratio(fragments.fragmented_unit_seconds, fragments.free_unit_seconds) as fragmentation_rate,
    ratio(sums.snapshot_seconds, sums.accounted_seconds) as queue_coverage,
    sums.accounted_seconds,
    sums.snapshot_seconds,
    sums.allocated_unit_seconds,
    case when sums.known_hours = sums.hours then sums.capacity_demand_unit_seconds end as capacity_demand_unit_seconds,
    case when sums.known_hours = sums.hours then sums.unmet_unit_seconds end as unmet_unit_seconds,
    day_trust.trust
from sums
left join fragments on sums.usage_date = fragments.usage_date and sums.cluster = fragments.cluster
left join core.day_trust as day_trust on sums.usage_date = day_trust.usage_date and sums.cluster = day_trust.cluster
