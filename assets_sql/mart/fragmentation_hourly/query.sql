-- A request is known by how many accelerators it needs on a node; whether the node has the CPUs and the memory is judged by
-- the smallest requests of that size. Hours without any demand in the weeks before have no row.
with hours as (
    select cluster_hours.*
    from core.cluster_hours as cluster_hours
    inner join days on cluster_hours.usage_date = days.usage_date
),

free as (
    select
        hours.usage_date,
        hours.hour_at,
        timeline.cluster,
        timeline.pool,
        timeline.accelerator_model,
        timeline.installed_units - timeline.held_units
        - least(timeline.reserved_units, timeline.installed_units - timeline.held_units) as usable_units,
        timeline.is_shared,
        timeline.free_cpus,
        timeline.free_memory_mib,
        cast(sum(seconds_between(
            greatest(timeline.starts_at, hours.starts_at), least(timeline.ends_at, hours.ends_at)
        )) as bigint) as seconds
    from mart.node_timeline as timeline
    inner join hours
        on timeline.cluster = hours.cluster
        and timeline.usage_date = hours.usage_date
        and timeline.starts_at < hours.ends_at
        and timeline.ends_at > hours.starts_at
    where timeline.availability = 'available' and timeline.installed_units > timeline.held_units
    group by
        hours.usage_date,
        hours.hour_at,
        timeline.cluster,
        timeline.pool,
        timeline.accelerator_model,
        timeline.installed_units - timeline.held_units
        - least(timeline.reserved_units, timeline.installed_units - timeline.held_units),
        timeline.is_shared,
        timeline.free_cpus,
        timeline.free_memory_mib
),

situations as (
    select distinct
        usage_date,
        cluster,
        usable_units,
        is_shared,
        free_cpus,
        free_memory_mib
    from free
    where usable_units > 0
),

hosted as (
    select distinct
        situations.usage_date,
        situations.cluster,
        situations.usable_units,
        situations.is_shared,
        situations.free_cpus,
        situations.free_memory_mib,
        shapes.needed_units
    from situations
    inner join core.demand_shapes as shapes
        on situations.usage_date = shapes.usage_date
        and situations.cluster = shapes.cluster
        and could_host(
            situations.is_shared,
            situations.usable_units,
            situations.free_cpus,
            situations.free_memory_mib,
            shapes.needed_units,
            shapes.needed_cpus,
            shapes.needed_memory_mib
        )
),

judged as (
    select
        situations.usage_date,
        situations.cluster,
        situations.usable_units,
        situations.is_shared,
        situations.free_cpus,
        situations.free_memory_mib,
        cast(sum(case when hosted.needed_units is null then sizes.size_requests else 0 end) as bigint) as unhosted_requests,
        max(sizes.all_requests) as all_requests
    from situations
    inner join core.demand_sizes as sizes
        on situations.usage_date = sizes.usage_date and situations.cluster = sizes.cluster
    left join hosted
        on situations.usage_date = hosted.usage_date
        and situations.cluster = hosted.cluster
        and situations.usable_units = hosted.usable_units
        and situations.is_shared = hosted.is_shared
        and situations.free_cpus is not distinct from hosted.free_cpus
        and situations.free_memory_mib is not distinct from hosted.free_memory_mib
        and sizes.needed_units = hosted.needed_units
    group by
        situations.usage_date,
        situations.cluster,
        situations.usable_units,
        situations.is_shared,
        situations.free_cpus,
        situations.free_memory_mib
),

-- Dividing first keeps every product within 64 bits.
summed as (
    select
        free.usage_date,
        free.hour_at,
        free.cluster,
        free.pool,
        free.accelerator_model,
        cast(sum(free.usable_units * free.seconds) as bigint) as free_unit_seconds,
        cast(sum(
            free.usable_units * free.seconds // judged.all_requests * judged.unhosted_requests
            + free.usable_units * free.seconds % judged.all_requests * judged.unhosted_requests // judged.all_requests
        ) as bigint) as fragmented_unit_seconds
    from free
    inner join judged
        on free.usage_date = judged.usage_date
        and free.cluster = judged.cluster
        and free.usable_units = judged.usable_units
        and free.is_shared = judged.is_shared
        and free.free_cpus is not distinct from judged.free_cpus
        and free.free_memory_mib is not distinct from judged.free_memory_mib
    group by free.usage_date, free.hour_at, free.cluster, free.pool, free.accelerator_model
)

select
    usage_date,
    hour_at,
    cluster,
    pool,
    accelerator_model,
    free_unit_seconds,
    fragmented_unit_seconds,
    ratio(fragmented_unit_seconds, free_unit_seconds) as fragmentation_rate
from summed
