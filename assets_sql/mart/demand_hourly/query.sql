with hours as (
    select cluster_hours.*
    from core.cluster_hours as cluster_hours
    inner join days on cluster_hours.usage_date = days.usage_date
),

spoken as (
    select
        cluster,
        taken_at,
        speaks_until_at,
        unnest(generate_series(
            date_trunc('hour', taken_at), speaks_until_at - interval 1 second, interval 1 hour
        )) as hour_at
    from core.queue_snapshots
),

covered as (
    select
        hours.usage_date,
        hours.cluster,
        hours.hour_at,
        cast(sum(seconds_between(
            greatest(spoken.taken_at, hours.starts_at), least(spoken.speaks_until_at, hours.ends_at)
        )) as bigint) as snapshot_seconds
    from spoken
    inner join hours
        on spoken.cluster = hours.cluster
        and spoken.hour_at = hours.hour_at
        and spoken.taken_at < hours.ends_at
        and spoken.speaks_until_at > hours.starts_at
    group by hours.usage_date, hours.cluster, hours.hour_at
),

ledger as (
    select
        usage_date,
        hour_at,
        cluster,
        cast(sum(case when state = 'allocated' then unit_seconds else 0 end) as bigint) as allocated_unit_seconds,
        cast(sum(case when state in ('idle_schedulable', 'stranded') then unit_seconds else 0 end) as bigint)
            as free_unit_seconds
    from mart.capacity_ledger_hourly
    where usage_date in (select usage_date from days)
    group by usage_date, hour_at, cluster
),

pending as (
    select
        usage_date,
        hour_at,
        cluster,
        cast(sum(pending_unit_seconds) as bigint) as pending_unit_seconds,
        cast(sum(case when reason_class = 'capacity' then pending_unit_seconds else 0 end) as bigint)
            as pending_capacity_unit_seconds,
        cast(sum(case when reason_class = 'unknown' then pending_unit_seconds else 0 end) as bigint)
            as pending_unknown_unit_seconds
    from mart.queue_hourly
    where usage_date in (select usage_date from days)
    group by usage_date, hour_at, cluster
),

joined as (
    select
        hours.usage_date,
        hours.hour_at,
        hours.cluster,
        seconds_between(hours.starts_at, hours.ends_at) as accounted_seconds,
        coalesce(covered.snapshot_seconds, 0) as snapshot_seconds,
        coalesce(covered.snapshot_seconds, 0) = seconds_between(hours.starts_at, hours.ends_at) as is_covered,
        ledger.cluster is not null as has_inventory,
        coalesce(ledger.allocated_unit_seconds, 0) as allocated_unit_seconds,
        coalesce(ledger.free_unit_seconds, 0) as free_unit_seconds,
        coalesce(pending.pending_unit_seconds, 0) as pending_unit_seconds,
        coalesce(pending.pending_capacity_unit_seconds, 0) as waiting_unit_seconds,
        coalesce(pending.pending_unknown_unit_seconds, 0) as unknown_unit_seconds
    from hours
    left join covered
        on hours.usage_date = covered.usage_date
        and hours.cluster = covered.cluster
        and hours.hour_at = covered.hour_at
    left join ledger
        on hours.usage_date = ledger.usage_date
        and hours.cluster = ledger.cluster
        and hours.hour_at = ledger.hour_at
    left join pending
        on hours.usage_date = pending.usage_date
        and hours.cluster = pending.cluster
        and hours.hour_at = pending.hour_at
)

select
    usage_date,
    hour_at,
    cluster,
    accounted_seconds,
    snapshot_seconds,
    allocated_unit_seconds,
    free_unit_seconds,
    pending_unit_seconds,
    case when is_covered then waiting_unit_seconds end as pending_capacity_unit_seconds,
    case when is_covered then unknown_unit_seconds end as pending_unknown_unit_seconds,
    case when is_covered and has_inventory then allocated_unit_seconds + waiting_unit_seconds end
        as capacity_demand_unit_seconds,
    case when is_covered and has_inventory then greatest(0, waiting_unit_seconds - free_unit_seconds) end as unmet_unit_seconds,
    case when is_covered and has_inventory then waiting_unit_seconds > 0 and free_unit_seconds > 0 end as is_fragmented
from joined
