-- What attempts were given comes from the attempts; what nobody held comes from the nodes' timeline and is in the first
-- state, in this order, that claims it: down_planned, down_unplanned, draining_unusable, reserved_idle, idle_schedulable.
with hours as (
    select cluster_hours.*
    from core.cluster_hours as cluster_hours
    inner join days on cluster_hours.usage_date = days.usage_date
),

pieces as (
    select
        hours.usage_date,
        hours.hour_at,
        timeline.cluster,
        timeline.pool,
        timeline.node,
        timeline.accelerator_model,
        timeline.availability,
        timeline.reserved_units,
        greatest(0, timeline.installed_units - timeline.held_units) as free_units,
        seconds_between(
            greatest(timeline.starts_at, hours.starts_at), least(timeline.ends_at, hours.ends_at)
        ) as seconds
    from mart.node_timeline as timeline
    inner join hours
        on timeline.cluster = hours.cluster
        and timeline.usage_date = hours.usage_date
        and timeline.starts_at < hours.ends_at
        and timeline.ends_at > hours.starts_at
    where timeline.installed_units > timeline.held_units
),

free as (
    select
        usage_date,
        hour_at,
        cluster,
        pool,
        node,
        accelerator_model,
        case when availability = 'available' then 'reserved_idle' else availability end as state,
        case when availability = 'available' then least(free_units, reserved_units) else free_units end * seconds
            as unit_seconds
    from pieces
    union all
    select
        usage_date,
        hour_at,
        cluster,
        pool,
        node,
        accelerator_model,
        'idle_schedulable' as state,
        (free_units - least(free_units, reserved_units)) * seconds as unit_seconds
    from pieces
    where availability = 'available'
),

owned as (
    select
        usage_date,
        hour_at,
        cluster,
        pool,
        node,
        accelerator_model,
        'allocated' as state,
        team,
        workload_class,
        allocated_unit_seconds as unit_seconds
    from mart.attempt_hours
    where usage_date in (select usage_date from days)
    union all
    select
        usage_date,
        hour_at,
        cluster,
        pool,
        node,
        accelerator_model,
        state,
        '' as team,
        '' as workload_class,
        unit_seconds
    from free
),

summed as (
    select
        usage_date,
        hour_at,
        cluster,
        pool,
        node,
        accelerator_model,
        state,
        team,
        workload_class,
        cast(sum(unit_seconds) as bigint) as unit_seconds
    from owned
    where unit_seconds > 0
    group by usage_date, hour_at, cluster, pool, node, accelerator_model, state, team, workload_class
)

select
    usage_date,
    hour_at,
    cluster,
    pool,
    node,
    accelerator_model,
    state,
    team,
    workload_class,
    unit_seconds,
    unit_accelerator_seconds(unit_seconds) as accelerator_seconds
from summed
