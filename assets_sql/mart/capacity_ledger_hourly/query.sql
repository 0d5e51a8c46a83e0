-- What attempts were given comes from the attempts; what nobody held comes from the nodes' timeline and is in the first
-- state, in this order, that claims it: down_planned, down_unplanned, draining_unusable, reserved_idle, stranded,
-- idle_schedulable.
with hours as (
    select cluster_hours.*
    from core.cluster_hours as cluster_hours
    inner join days on cluster_hours.usage_date = days.usage_date
),

segments as (
    select
        usage_date,
        cluster,
        pool,
        node,
        accelerator_model,
        starts_at,
        ends_at,
        availability,
        installed_units - held_units as free_units,
        least(reserved_units, installed_units - held_units) as reserved_units,
        is_shared,
        free_cpus,
        free_memory_mib
    from mart.node_timeline
    where usage_date in (select usage_date from days) and installed_units > held_units
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
    from segments
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
        case
            when coalesce(bool_or(could_host(
                usable.is_shared,
                usable.usable_units,
                usable.free_cpus,
                usable.free_memory_mib,
                shapes.needed_units,
                shapes.needed_cpus,
                shapes.needed_memory_mib
            )), true) then 'idle_schedulable'
            else 'stranded'
        end as state
    from usable
    left join core.demand_shapes as shapes
        on usable.usage_date = shapes.usage_date and usable.cluster = shapes.cluster
    group by usable.usage_date, usable.cluster, usable.usable_units, usable.is_shared, usable.free_cpus, usable.free_memory_mib
),

free as (
    select
        cluster,
        pool,
        node,
        accelerator_model,
        starts_at,
        ends_at,
        case when availability = 'available' then 'reserved_idle' else availability end as state,
        case when availability = 'available' then reserved_units else free_units end as units
    from segments
    where availability <> 'available' or reserved_units > 0
    union all
    select
        segments.cluster,
        segments.pool,
        segments.node,
        segments.accelerator_model,
        segments.starts_at,
        segments.ends_at,
        judged.state,
        judged.usable_units
    from segments
    inner join judged
        on segments.usage_date = judged.usage_date
        and segments.cluster = judged.cluster
        and segments.free_units - segments.reserved_units = judged.usable_units
        and segments.is_shared = judged.is_shared
        and segments.free_cpus is not distinct from judged.free_cpus
        and segments.free_memory_mib is not distinct from judged.free_memory_mib
    where segments.availability = 'available'
),

free_pieces as (
    select
        *,
        unnest(generate_series(
            date_trunc('hour', starts_at), ends_at - interval 1 second, interval 1 hour
        )) as hour_at
    from free
),

-- The two halves have no state in common, and each is summed by itself.
summed as (
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
        cast(sum(allocated_unit_seconds) as bigint) as unit_seconds
    from mart.attempt_hours
    where usage_date in (select usage_date from days) and allocated_unit_seconds > 0
    group by usage_date, hour_at, cluster, pool, node, accelerator_model, team, workload_class
    union all
    select
        hours.usage_date,
        hours.hour_at,
        free.cluster,
        free.pool,
        free.node,
        free.accelerator_model,
        free.state,
        '' as team,
        '' as workload_class,
        cast(sum(
            free.units * seconds_between(greatest(free.starts_at, hours.starts_at), least(free.ends_at, hours.ends_at))
        ) as bigint) as unit_seconds
    from free_pieces as free
    inner join hours
        on free.cluster = hours.cluster
        and free.hour_at = hours.hour_at
        and free.starts_at < hours.ends_at
        and free.ends_at > hours.starts_at
    group by hours.usage_date, hours.hour_at, free.cluster, free.pool, free.node, free.accelerator_model, free.state
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
