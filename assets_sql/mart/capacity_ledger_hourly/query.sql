-- What attempts were given comes from the attempts; what nobody held comes from the nodes' timeline and is in the first
-- state, in this order, that claims it: down_planned, down_unplanned, draining_unusable, reserved_idle, stranded,
-- idle_schedulable.
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
        greatest(0, timeline.installed_units - timeline.held_units) as free_units,
        least(timeline.reserved_units, timeline.installed_units - timeline.held_units) as reserved_units,
        timeline.is_shared,
        timeline.free_cpus,
        timeline.free_memory_mib,
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

-- What is free and could be used, and whether some shape of the demand fits there; with no demand, nothing is stranded.
usable as (
    select distinct
        usage_date,
        cluster,
        free_units - reserved_units as usable_units,
        is_shared,
        free_cpus,
        free_memory_mib
    from pieces
    where availability = 'available' and free_units > reserved_units
),

judged as (
    select
        usable.usage_date,
        usable.cluster,
        usable.usable_units,
        usable.is_shared,
        usable.free_cpus,
        usable.free_memory_mib,
        not coalesce(bool_or(could_host(
            usable.is_shared,
            usable.usable_units,
            usable.free_cpus,
            usable.free_memory_mib,
            shapes.needed_units,
            shapes.needed_cpus,
            shapes.needed_memory_mib
        )), true) as is_stranded
    from usable
    left join core.demand_shapes as shapes
        on usable.usage_date = shapes.usage_date and usable.cluster = shapes.cluster
    group by usable.usage_date, usable.cluster, usable.usable_units, usable.is_shared, usable.free_cpus, usable.free_memory_mib
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
        case when availability = 'available' then reserved_units else free_units end * seconds as unit_seconds
    from pieces
    union all
    select
        pieces.usage_date,
        pieces.hour_at,
        pieces.cluster,
        pieces.pool,
        pieces.node,
        pieces.accelerator_model,
        case when judged.is_stranded then 'stranded' else 'idle_schedulable' end as state,
        (pieces.free_units - pieces.reserved_units) * pieces.seconds as unit_seconds
    from pieces
    inner join judged
        on pieces.usage_date = judged.usage_date
        and pieces.cluster = judged.cluster
        and pieces.free_units - pieces.reserved_units = judged.usable_units
        and pieces.is_shared = judged.is_shared
        and pieces.free_cpus is not distinct from judged.free_cpus
        and pieces.free_memory_mib is not distinct from judged.free_memory_mib
    where pieces.availability = 'available'
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
