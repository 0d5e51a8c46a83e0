-- A node event takes all of its node, held or not: planned if it is inside a maintenance reservation, future or powered
-- down, else down. Second by second beside it: what the ledger makes of the node's accelerators. Only nodes that were
-- something else than free or held.
with compared as (
    select compared_hours.*
    from core.compared_hours as compared_hours
    inner join days on compared_hours.usage_date = days.usage_date
),

day_resources as (
    select distinct
        usage_date,
        cluster,
        resource,
        accelerator_model
    from compared
),

first_registrations as (
    select
        cluster,
        min(starts_at) as registered_at
    from core.cluster_registrations
    where is_connected
    group by cluster
),

timeline as (
    select
        usage_date,
        cluster,
        node,
        accelerator_model,
        starts_at,
        ends_at,
        availability,
        least(installed_units, held_units) as allocated_units,
        greatest(0, installed_units - held_units) as free_units,
        least(reserved_units, greatest(0, installed_units - held_units)) as reserved_units
    from mart.node_timeline
    where usage_date in (select usage_date from compared)
),

event_times as (
    select
        cluster_days.usage_date,
        events.cluster,
        events.node,
        events.node_tres,
        events.reported_as,
        greatest(events.starts_at, cluster_days.starts_at, coalesce(first.registered_at, events.starts_at)) as starts_at,
        least(coalesce(events.ends_at, cluster_days.ends_at), cluster_days.ends_at) as ends_at
    from core.node_events as events
    inner join core.cluster_days as cluster_days
        on events.cluster = cluster_days.cluster
        and events.starts_at < cluster_days.ends_at
        and coalesce(events.ends_at, cluster_days.ends_at) > cluster_days.starts_at
    inner join days on cluster_days.usage_date = days.usage_date
    left join first_registrations as first on events.cluster = first.cluster
    where events.reported_as is not null
),

counts as (
    select
        strings.tres,
        resources.resource,
        tres_count(strings.tres, resources.resource) as resource_count
    from (select distinct node_tres as tres from event_times) as strings
    cross join (select distinct resource from compared) as resources
    where tres_count(strings.tres, resources.resource) > 0
),

marked_nodes as (
    select
        usage_date,
        cluster,
        node
    from timeline
    where availability <> 'available' or reserved_units > 0
    union
    select
        usage_date,
        cluster,
        node
    from event_times
),

reservation_times as (
    select distinct
        cluster_days.usage_date,
        reservations.cluster,
        reservations.node,
        reservations.is_maintenance,
        greatest(reservations.starts_at, cluster_days.starts_at) as starts_at,
        least(reservations.ends_at, cluster_days.ends_at) as ends_at
    from core.reservations as reservations
    inner join core.cluster_days as cluster_days
        on reservations.cluster = cluster_days.cluster
        and reservations.starts_at < cluster_days.ends_at
        and reservations.ends_at > cluster_days.starts_at
    inner join days on cluster_days.usage_date = days.usage_date
),

stretches as (
    select
        timeline.usage_date,
        timeline.cluster,
        timeline.node,
        resources.resource,
        timeline.starts_at,
        timeline.ends_at,
        timeline.allocated_units as allocated,
        case when timeline.availability = 'down_planned' then timeline.free_units else 0 end as planned,
        case when timeline.availability = 'down_unplanned' then timeline.free_units else 0 end as down,
        case when timeline.availability = 'draining_unusable' then timeline.free_units else 0 end as draining,
        case when timeline.availability = 'available' then timeline.reserved_units else 0 end as reserved,
        case when timeline.availability = 'available' then timeline.free_units - timeline.reserved_units else 0 end as idle,
        0 as down_events,
        0 as planned_events,
        0 as maintenances,
        0 as reservations
    from timeline
    inner join day_resources as resources
        on timeline.usage_date = resources.usage_date
        and timeline.cluster = resources.cluster
        and timeline.accelerator_model = coalesce(resources.accelerator_model, timeline.accelerator_model)
    inner join marked_nodes as marked
        on timeline.usage_date = marked.usage_date
        and timeline.cluster = marked.cluster
        and timeline.node = marked.node
    union all
    select
        events.usage_date,
        events.cluster,
        events.node,
        resources.resource,
        events.starts_at,
        events.ends_at,
        0,
        0,
        0,
        0,
        0,
        0,
        case when events.reported_as = 'down' then counts.resource_count * 84000 else 0 end,
        case when events.reported_as = 'planned_down' then counts.resource_count * 84000 else 0 end,
        0,
        0
    from event_times as events
    inner join counts on events.node_tres = counts.tres
    inner join day_resources as resources
        on events.usage_date = resources.usage_date
        and events.cluster = resources.cluster
        and counts.resource = resources.resource
    where events.starts_at < events.ends_at
    union all
    select
        times.usage_date,
        times.cluster,
        times.node,
        resources.resource,
        times.starts_at,
        times.ends_at,
        0,
        0,
        0,
        0,
        0,
        0,
        0,
        0,
        case when times.is_maintenance then 1 else 0 end,
        1
    from reservation_times as times
    inner join day_resources as resources
        on times.usage_date = resources.usage_date and times.cluster = resources.cluster
    inner join marked_nodes as marked
        on times.usage_date = marked.usage_date and times.cluster = marked.cluster and times.node = marked.node
),

edges as (
    select
        usage_date,
        cluster,
        node,
        resource,
        starts_at as edge_at,
        allocated,
        planned,
        down,
        draining,
        reserved,
        idle,
        down_events,
        planned_events,
        maintenances,
        reservations
    from stretches
    union all
    select
        usage_date,
        cluster,
        node,
        resource,
        ends_at,
        -allocated,
        -planned,
        -down,
        -draining,
        -reserved,
        -idle,
        -down_events,
        -planned_events,
        -maintenances,
        -reservations
    from stretches
),

steps as (
    select
        usage_date,
        cluster,
        node,
        resource,
        edge_at,
        sum(allocated) as allocated,
        sum(planned) as planned,
        sum(down) as down,
        sum(draining) as draining,
        sum(reserved) as reserved,
        sum(idle) as idle,
        sum(down_events) as down_events,
        sum(planned_events) as planned_events,
        sum(maintenances) as maintenances,
        sum(reservations) as reservations
    from edges
    group by usage_date, cluster, node, resource, edge_at
),

moments as (
    select
        usage_date,
        cluster,
        node,
        resource,
        edge_at as starts_at,
        lead(edge_at) over sweep as ends_at,
        cast(sum(allocated) over sweep as bigint) as allocated,
        cast(sum(planned) over sweep as bigint) as planned,
        cast(sum(down) over sweep as bigint) as down,
        cast(sum(draining) over sweep as bigint) as draining,
        cast(sum(reserved) over sweep as bigint) as reserved,
        cast(sum(idle) over sweep as bigint) as idle,
        cast(sum(down_events) over sweep as bigint) as down_events,
        cast(sum(planned_events) over sweep as bigint) as planned_events,
        sum(maintenances) over sweep as maintenances,
        sum(reservations) over sweep as reservations
    from steps
    window sweep as (partition by usage_date, cluster, node, resource order by edge_at)
),

-- An event inside a maintenance reservation is planned, whatever it is; inside another reservation it is down.
judged as (
    select
        *,
        case
            when maintenances > 0 then down_events + planned_events
            when reservations > 0 then 0
            else planned_events
        end as their_planned,
        case
            when maintenances > 0 then 0
            when reservations > 0 then down_events + planned_events
            else down_events
        end as their_down
    from moments
    where ends_at is not null
        and (down_events + planned_events > 0 or planned > 0 or down > 0 or draining > 0 or reserved > 0)
),

-- As the scheduler takes the whole node: what of it the ledger has in each state goes to one category, and what the
-- events name beyond that to its own.
taken as (
    select
        *,
        case when their_planned > 0 then 'planned_down' when their_down > 0 then 'down' else 'idle' end as taken_as,
        unnest(generate_series(
            date_trunc('hour', starts_at), ends_at - interval 1 second, interval 1 hour
        )) as hour_at
    from judged
),

taken_hours as (
    select
        taken.* exclude (starts_at, ends_at),
        allocated + planned + down + draining + reserved + idle as present,
        seconds_between(
            greatest(taken.starts_at, compared.starts_at), least(taken.ends_at, compared.ends_at)
        ) as seconds
    from taken
    inner join compared
        on taken.usage_date = compared.usage_date
        and taken.cluster = compared.cluster
        and taken.hour_at = compared.hour_at
        and taken.resource = compared.resource
        and taken.starts_at < compared.ends_at
        and taken.ends_at > compared.starts_at
)

select
    usage_date,
    hour_at,
    cluster,
    resource,
    taken_as,
    cast(sum(planned * seconds) as bigint) as down_planned_unit_seconds,
    cast(sum(down * seconds) as bigint) as down_unplanned_unit_seconds,
    cast(sum(draining * seconds) as bigint) as draining_unit_seconds,
    cast(sum(reserved * seconds) as bigint) as reserved_idle_unit_seconds,
    cast(sum(idle * seconds) as bigint) as idle_unit_seconds,
    cast(sum(allocated * seconds) as bigint) as allocated_unit_seconds,
    cast(sum(their_planned * seconds) as bigint) as their_planned_unit_seconds,
    cast(sum(their_down * seconds) as bigint) as their_down_unit_seconds,
    cast(sum((their_planned - case when taken_as = 'planned_down' then present else 0 end) * seconds) as bigint)
        as planned_excess_unit_seconds,
    cast(sum((their_down - case when taken_as = 'down' then present else 0 end) * seconds) as bigint)
        as down_excess_unit_seconds
from taken_hours
group by usage_date, hour_at, cluster, resource, taken_as
