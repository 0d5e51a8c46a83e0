-- Slurm sums up each hour from four kinds of records, without the nodes of jobs: registrations give what is reported;
-- every attempt that was eligible before the hour's end holds its AllocTRES from its recorded start, but jobs of a
-- reservation that does not ignore jobs are replaced by the reservation's own resources; a node event takes all of its
-- node, held or not: planned if it is inside a maintenance reservation, future or powered down, else down; allocated,
-- down and planned are cut to what is reported, and idle is what remains. The ledger knows better, and each line says
-- where, in unit-seconds until the end.
with hours as (
    select cluster_hours.*
    from core.cluster_hours as cluster_hours
    inner join days on cluster_hours.usage_date = days.usage_date
),

windows as (
    select distinct
        usage.cluster,
        usage.resource,
        usage.window_start_at,
        usage.window_end_at
    from core.scheduler_usage as usage
    where usage.subject_kind = 'cluster' and (usage.resource = 'gres/gpu' or usage.resource like 'gres/gpu:%')
),

window_hours as (
    select
        cluster,
        resource,
        unnest(generate_series(
            date_trunc('hour', window_start_at), window_end_at - interval 1 second, interval 1 hour
        )) as hour_at
    from windows
),

-- The hours and resources to compare; without a type, of all models.
compared as (
    select distinct
        hours.usage_date,
        hours.cluster,
        hours.hour_at,
        hours.starts_at,
        hours.ends_at,
        window_hours.resource,
        case
            when window_hours.resource <> 'gres/gpu'
                then coalesce(aliases.accelerator_model, substr(window_hours.resource, 10))
        end as accelerator_model
    from window_hours
    inner join hours on window_hours.cluster = hours.cluster and window_hours.hour_at = hours.hour_at
    left join site.accelerators as aliases on substr(window_hours.resource, 10) = aliases.alias
),

bounds as (
    select
        cluster,
        min(starts_at) as first_at,
        max(ends_at) as last_at
    from compared
    group by cluster
),

day_resources as (
    select distinct
        usage_date,
        cluster,
        resource,
        accelerator_model
    from compared
),

-- Attempts, as the scheduler counts them.

spans as (
    select
        attempts.cluster,
        attempts.attempt_id,
        attempts.allocated_tres,
        attempts.reservation_name,
        attempts.eligible_at,
        attempts.started_at,
        greatest(attempts.recorded_start_at, bounds.first_at) as starts_at,
        least(coalesce(attempts.ended_at, bounds.last_at), bounds.last_at) as ends_at
    from core.attempts as attempts
    inner join bounds
        on attempts.cluster = bounds.cluster
        and attempts.recorded_start_at < bounds.last_at
        and coalesce(attempts.ended_at, bounds.last_at) > bounds.first_at
    where attempts.started_at is not null
),

span_hours as (
    select
        *,
        unnest(generate_series(
            date_trunc('hour', starts_at), ends_at - interval 1 second, interval 1 hour
        )) as hour_at
    from spans
    where starts_at < ends_at
),

held as (
    select
        compared.usage_date,
        compared.hour_at,
        compared.cluster,
        compared.resource,
        span_hours.attempt_id,
        span_hours.reservation_name,
        counts.resource_count,
        coalesce(span_hours.eligible_at < compared.hour_at + interval 1 hour, true) as is_counted,
        greatest(span_hours.starts_at, compared.starts_at) as recorded_from_at,
        greatest(span_hours.started_at, span_hours.starts_at, compared.starts_at) as held_from_at,
        least(span_hours.ends_at, compared.ends_at) as held_to_at
    from span_hours
    inner join core.tres_resources as counts on span_hours.allocated_tres = counts.tres
    inner join compared
        on span_hours.cluster = compared.cluster
        and span_hours.hour_at = compared.hour_at
        and counts.resource = compared.resource
        and span_hours.starts_at < compared.ends_at
        and span_hours.ends_at > compared.starts_at
),

held_seconds as (
    select
        *,
        greatest(0, seconds_between(held_from_at, held_to_at)) as true_seconds,
        greatest(0, seconds_between(recorded_from_at, held_to_at)) as recorded_seconds
    from held
),

reservations as (
    select distinct
        cluster,
        reservation_id,
        reservation_name,
        starts_at,
        ends_at,
        is_maintenance,
        ignores_jobs,
        reserved_tres
    from core.reservations
),

reservation_names as (
    select distinct
        cluster,
        reservation_name
    from reservations
),

-- Of jobs of a reservation, what they held while one that ignores jobs was there counts as theirs.
kept as (
    select
        held.usage_date,
        held.hour_at,
        held.cluster,
        held.resource,
        held.attempt_id,
        held.recorded_from_at,
        cast(sum(greatest(0, seconds_between(
            greatest(held.recorded_from_at, reservations.starts_at), least(held.held_to_at, reservations.ends_at)
        ))) as bigint) as kept_seconds
    from held
    inner join reservations
        on held.cluster = reservations.cluster and held.reservation_name = reservations.reservation_name
    where reservations.ignores_jobs
    group by
        held.usage_date, held.hour_at, held.cluster, held.resource, held.attempt_id, held.recorded_from_at
),

attempt_sums as (
    select
        held.usage_date,
        held.hour_at,
        held.cluster,
        held.resource,
        cast(sum(held.resource_count * held.true_seconds) as bigint) * 84000 as held_units,
        cast(sum(case when held.is_counted then held.resource_count * (held.recorded_seconds - held.true_seconds) end)
            as bigint) * 84000 as resize_overlap,
        cast(sum(case when not held.is_counted then held.resource_count * held.true_seconds end) as bigint) * 84000
            as eligible_later,
        cast(sum(
            case when held.is_counted and names.reservation_name is not null
                then held.resource_count * (held.recorded_seconds - coalesce(kept.kept_seconds, 0)) end
        ) as bigint) * 84000 as reservation_replaced,
        cast(sum(
            case when held.is_counted then held.resource_count
                * case
                    when names.reservation_name is null then held.recorded_seconds
                    else coalesce(kept.kept_seconds, 0)
                end
            end
        ) as bigint) * 84000 as their_allocated
    from held_seconds as held
    left join reservation_names as names
        on held.cluster = names.cluster and held.reservation_name = names.reservation_name
    left join kept
        on held.usage_date = kept.usage_date
        and held.hour_at = kept.hour_at
        and held.cluster = kept.cluster
        and held.resource = kept.resource
        and held.attempt_id = kept.attempt_id
        and held.recorded_from_at = kept.recorded_from_at
    group by held.usage_date, held.hour_at, held.cluster, held.resource
),

-- Attempts, as they are placed: by the model that the inventory has where they ran.
placed as (
    select
        compared.usage_date,
        compared.hour_at,
        compared.cluster,
        compared.resource,
        cast(sum(attempts.held_unit_seconds) as bigint) as held_units,
        cast(sum(attempts.overcommit_unit_seconds) as bigint) as overcommit_units,
        cast(sum(attempts.unplaced_unit_seconds) as bigint) as unplaced_units
    from mart.attempt_hours as attempts
    inner join compared
        on attempts.usage_date = compared.usage_date
        and attempts.hour_at = compared.hour_at
        and attempts.cluster = compared.cluster
        and attempts.accelerator_model = coalesce(compared.accelerator_model, attempts.accelerator_model)
    where attempts.usage_date in (select usage_date from days)
    group by compared.usage_date, compared.hour_at, compared.cluster, compared.resource
),

stranded as (
    select
        compared.usage_date,
        compared.hour_at,
        compared.cluster,
        compared.resource,
        cast(sum(ledger.unit_seconds) as bigint) as stranded_units
    from mart.capacity_ledger_hourly as ledger
    inner join compared
        on ledger.usage_date = compared.usage_date
        and ledger.hour_at = compared.hour_at
        and ledger.cluster = compared.cluster
        and ledger.accelerator_model = coalesce(compared.accelerator_model, ledger.accelerator_model)
    where ledger.state = 'stranded' and ledger.usage_date in (select usage_date from days)
    group by compared.usage_date, compared.hour_at, compared.cluster, compared.resource
),

-- What the inventory has installed in a cluster, in steps.
capacity_changes as (
    select
        cluster,
        accelerator_model,
        valid_from_at as starts_at,
        installed_units
    from core.node_capacity
    where installed_units > 0
    union all
    select
        cluster,
        accelerator_model,
        valid_to_at,
        -installed_units
    from core.node_capacity
    where installed_units > 0
),

capacity_edges as (
    select
        cluster,
        accelerator_model,
        starts_at,
        cast(sum(installed_units) as bigint) as installed_units
    from capacity_changes
    group by cluster, accelerator_model, starts_at
),

capacity as (
    select
        cluster,
        accelerator_model,
        starts_at,
        lead(starts_at) over (partition by cluster, accelerator_model order by starts_at) as ends_at,
        cast(sum(installed_units) over (
            partition by cluster, accelerator_model order by starts_at rows unbounded preceding
        ) as bigint) as installed_units
    from capacity_edges
),

installed as (
    select
        compared.usage_date,
        compared.hour_at,
        compared.cluster,
        compared.resource,
        cast(sum(capacity.installed_units * seconds_between(
            greatest(capacity.starts_at, compared.starts_at), least(capacity.ends_at, compared.ends_at)
        )) as bigint) as installed_units
    from compared
    inner join capacity
        on compared.cluster = capacity.cluster
        and capacity.accelerator_model = coalesce(compared.accelerator_model, capacity.accelerator_model)
        and capacity.starts_at < compared.ends_at
        and capacity.ends_at > compared.starts_at
    group by compared.usage_date, compared.hour_at, compared.cluster, compared.resource
),

registered as (
    select
        compared.usage_date,
        compared.hour_at,
        compared.cluster,
        compared.resource,
        cast(sum(counts.resource_count * seconds_between(
            greatest(registrations.starts_at, compared.starts_at),
            least(coalesce(registrations.ends_at, compared.ends_at), compared.ends_at)
        )) as bigint) * 84000 as registered_units
    from compared
    inner join core.cluster_registrations as registrations
        on compared.cluster = registrations.cluster
        and registrations.starts_at < compared.ends_at
        and coalesce(registrations.ends_at, compared.ends_at) > compared.starts_at
    inner join core.tres_resources as counts
        on registrations.registered_tres = counts.tres and compared.resource = counts.resource
    where registrations.is_connected
    group by compared.usage_date, compared.hour_at, compared.cluster, compared.resource
),

first_registrations as (
    select
        cluster,
        min(starts_at) as registered_at
    from core.cluster_registrations
    where is_connected
    group by cluster
),

-- While its controller is disconnected, all of a cluster is down but for what attempts hold; a node's event takes off as
-- much as the whole cluster has.
disconnected as (
    select
        compared.usage_date,
        compared.hour_at,
        compared.cluster,
        compared.resource,
        counts.resource_count,
        greatest(registrations.starts_at, compared.starts_at) as starts_at,
        least(coalesce(registrations.ends_at, compared.ends_at), compared.ends_at) as ends_at
    from compared
    inner join core.cluster_registrations as registrations
        on compared.cluster = registrations.cluster
        and registrations.starts_at < compared.ends_at
        and coalesce(registrations.ends_at, compared.ends_at) > compared.starts_at
    inner join core.tres_resources as counts
        on registrations.registered_tres = counts.tres and compared.resource = counts.resource
    where not registrations.is_connected
),

disconnected_changes as (
    select
        *,
        resource_count * seconds_between(starts_at, ends_at) as change_seconds
    from disconnected
    union all
    select
        disconnected.*,
        -held.resource_count * greatest(0, seconds_between(
            greatest(held.recorded_from_at, disconnected.starts_at), least(held.held_to_at, disconnected.ends_at)
        ))
    from disconnected
    inner join held
        on disconnected.usage_date = held.usage_date
        and disconnected.hour_at = held.hour_at
        and disconnected.cluster = held.cluster
        and disconnected.resource = held.resource
    where held.is_counted
    union all
    select
        disconnected.*,
        -disconnected.resource_count * seconds_between(
            greatest(events.starts_at, disconnected.starts_at),
            least(coalesce(events.ends_at, disconnected.ends_at), disconnected.ends_at)
        )
    from disconnected
    inner join core.node_events as events
        on disconnected.cluster = events.cluster
        and events.starts_at < disconnected.ends_at
        and coalesce(events.ends_at, disconnected.ends_at) > disconnected.starts_at
    where events.reported_as is not null
),

disconnected_sums as (
    select
        usage_date,
        hour_at,
        cluster,
        resource,
        greatest(0, cast(sum(change_seconds) as bigint)) * 84000 as down_units
    from disconnected_changes
    group by usage_date, hour_at, cluster, resource, starts_at
),

-- Resources that reservations have of their own, less those of nodes with an event meanwhile.
charged_times as (
    select
        compared.usage_date,
        compared.hour_at,
        compared.cluster,
        compared.resource,
        reservations.reservation_id,
        reservations.is_maintenance,
        counts.resource_count,
        greatest(reservations.starts_at, compared.starts_at) as starts_at,
        least(reservations.ends_at, compared.ends_at) as ends_at
    from compared
    inner join reservations
        on compared.cluster = reservations.cluster
        and reservations.starts_at < compared.ends_at
        and reservations.ends_at > compared.starts_at
    inner join core.tres_resources as counts
        on reservations.reserved_tres = counts.tres and compared.resource = counts.resource
    where not reservations.ignores_jobs
),

charged_events as (
    select
        charged_times.usage_date,
        charged_times.hour_at,
        charged_times.cluster,
        charged_times.resource,
        charged_times.reservation_id,
        charged_times.starts_at,
        cast(sum(counts.resource_count * greatest(0, seconds_between(
            greatest(events.starts_at, charged_times.starts_at),
            least(coalesce(events.ends_at, charged_times.ends_at), charged_times.ends_at)
        ))) as bigint) as event_seconds
    from charged_times
    inner join core.reservations as reservations
        on charged_times.cluster = reservations.cluster
        and charged_times.reservation_id = reservations.reservation_id
        and reservations.starts_at < charged_times.ends_at
        and reservations.ends_at > charged_times.starts_at
    inner join core.node_events as events
        on reservations.cluster = events.cluster and reservations.node = events.node
    inner join core.tres_resources as counts
        on events.node_tres = counts.tres and charged_times.resource = counts.resource
    where events.reported_as is not null
    group by
        charged_times.usage_date,
        charged_times.hour_at,
        charged_times.cluster,
        charged_times.resource,
        charged_times.reservation_id,
        charged_times.starts_at
),

charged as (
    select
        times.usage_date,
        times.hour_at,
        times.cluster,
        times.resource,
        case when times.is_maintenance then 'planned_down' else 'allocated' end as their_category,
        cast(sum(greatest(
            0,
            times.resource_count * seconds_between(times.starts_at, times.ends_at) - coalesce(events.event_seconds, 0)
        )) as bigint) * 84000 as charged_units
    from charged_times as times
    left join charged_events as events
        on times.usage_date = events.usage_date
        and times.hour_at = events.hour_at
        and times.cluster = events.cluster
        and times.resource = events.resource
        and times.reservation_id = events.reservation_id
        and times.starts_at = events.starts_at
    group by
        times.usage_date,
        times.hour_at,
        times.cluster,
        times.resource,
        case when times.is_maintenance then 'planned_down' else 'allocated' end
),

-- Nodes, second by second: what the ledger makes of a node's accelerators, and what its events make of them for the
-- scheduler. Only nodes that were something else than free or held.
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
    where usage_date in (select usage_date from days)
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
    select
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
    inner join core.tres_resources as counts on events.node_tres = counts.tres
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
),

node_sums as (
    select
        usage_date,
        hour_at,
        cluster,
        resource,
        taken_as,
        cast(sum(planned * seconds) as bigint) as planned,
        cast(sum(down * seconds) as bigint) as down,
        cast(sum(draining * seconds) as bigint) as draining,
        cast(sum(reserved * seconds) as bigint) as reserved,
        cast(sum(idle * seconds) as bigint) as idle,
        cast(sum(allocated * seconds) as bigint) as allocated,
        cast(sum(their_planned * seconds) as bigint) as their_planned,
        cast(sum(their_down * seconds) as bigint) as their_down,
        cast(sum((their_planned - case when taken_as = 'planned_down' then present else 0 end) * seconds) as bigint)
            as planned_excess,
        cast(sum((their_down - case when taken_as = 'down' then present else 0 end) * seconds) as bigint) as down_excess
    from taken_hours
    group by usage_date, hour_at, cluster, resource, taken_as
),

-- The scheduler's own sums, before it cuts them to what is registered.
their_parts as (
    select
        usage_date,
        hour_at,
        cluster,
        resource,
        their_allocated as allocated,
        0 as down,
        0 as planned
    from attempt_sums
    union all
    select
        usage_date,
        hour_at,
        cluster,
        resource,
        case when their_category = 'allocated' then charged_units else 0 end,
        0,
        case when their_category = 'planned_down' then charged_units else 0 end
    from charged
    union all
    select
        usage_date,
        hour_at,
        cluster,
        resource,
        0,
        their_down,
        their_planned
    from node_sums
    union all
    select
        usage_date,
        hour_at,
        cluster,
        resource,
        0,
        down_units,
        0
    from disconnected_sums
),

their_sums as (
    select
        registered.usage_date,
        registered.hour_at,
        registered.cluster,
        registered.resource,
        registered.registered_units,
        cast(sum(parts.allocated) as bigint) as uncut_allocated,
        least(cast(sum(parts.allocated) as bigint), registered.registered_units) as allocated,
        cast(sum(parts.down) as bigint) as uncut_down,
        cast(sum(parts.planned) as bigint) as uncut_planned
    from registered
    inner join their_parts as parts
        on registered.usage_date = parts.usage_date
        and registered.hour_at = parts.hour_at
        and registered.cluster = parts.cluster
        and registered.resource = parts.resource
    where registered.registered_units > 0
    group by
        registered.usage_date,
        registered.hour_at,
        registered.cluster,
        registered.resource,
        registered.registered_units
),

clamped as (
    select
        usage_date,
        hour_at,
        cluster,
        resource,
        uncut_allocated - allocated as cut_allocated,
        uncut_down - least(uncut_down, registered_units - allocated) as cut_down,
        uncut_planned - least(
            uncut_planned, registered_units - allocated - least(uncut_down, registered_units - allocated)
        ) as cut_planned
    from their_sums
),

lines as (
    select usage_date, hour_at, cluster, resource,
        'resize_overlap' as line, 'idle' as our_category, 'allocated' as their_category, resize_overlap as unit_seconds
    from attempt_sums
    union all
    select usage_date, hour_at, cluster, resource, 'eligible_later', 'allocated', 'idle', eligible_later
    from attempt_sums
    union all
    select usage_date, hour_at, cluster, resource, 'reservation_replaced', 'allocated', 'idle', reservation_replaced
    from attempt_sums
    union all
    select usage_date, hour_at, cluster, resource, 'typed_otherwise', 'allocated', 'idle', -held_units
    from attempt_sums
    union all
    select usage_date, hour_at, cluster, resource, 'typed_otherwise', 'allocated', 'idle', held_units
    from placed
    union all
    select usage_date, hour_at, cluster, resource, 'node_overcommit', 'idle', 'allocated', overcommit_units
    from placed
    union all
    select usage_date, hour_at, cluster, resource, 'unplaced_held', 'idle', 'allocated', unplaced_units
    from placed
    union all
    select usage_date, hour_at, cluster, resource, 'reservation_charged', 'idle', their_category, charged_units
    from charged
    union all
    select usage_date, hour_at, cluster, resource, 'stranded_as_idle', 'stranded', 'idle', stranded_units
    from stranded
    union all
    select usage_date, hour_at, cluster, resource,
        case when taken_as = 'idle' then 'planned_as_idle' else 'planned_as_down' end, 'planned_down', taken_as, planned
    from node_sums
    where taken_as <> 'planned_down'
    union all
    select usage_date, hour_at, cluster, resource,
        case when taken_as = 'idle' then 'down_as_idle' else 'down_as_planned' end, 'down', taken_as, down
    from node_sums
    where taken_as <> 'down'
    union all
    select usage_date, hour_at, cluster, resource,
        case when taken_as = 'idle' then 'draining_as_idle' else 'draining_as_down' end, 'draining', taken_as, draining
    from node_sums
    union all
    select usage_date, hour_at, cluster, resource,
        case when taken_as = 'idle' then 'reserved_as_idle' else 'free_as_down' end, 'reserved', taken_as, reserved
    from node_sums
    union all
    select usage_date, hour_at, cluster, resource, 'free_as_down', 'idle', taken_as, idle
    from node_sums
    where taken_as <> 'idle'
    union all
    select usage_date, hour_at, cluster, resource, 'allocated_while_down', 'idle', taken_as, allocated
    from node_sums
    where taken_as <> 'idle'
    union all
    select usage_date, hour_at, cluster, resource, 'event_excess', 'idle', 'planned_down', planned_excess
    from node_sums
    union all
    select usage_date, hour_at, cluster, resource, 'event_excess', 'idle', 'down', down_excess
    from node_sums
    union all
    select usage_date, hour_at, cluster, resource, 'controller_down', 'idle', 'down', down_units
    from disconnected_sums
    union all
    select usage_date, hour_at, cluster, resource, 'registration', 'reported', 'none', -registered_units
    from registered
    union all
    select usage_date, hour_at, cluster, resource, 'registration', 'idle', 'none', -registered_units
    from registered
    union all
    select
        installed.usage_date, installed.hour_at, installed.cluster, installed.resource, 'registration',
        categories.category, 'none', installed.installed_units
    from installed
    inner join registered
        on installed.usage_date = registered.usage_date
        and installed.hour_at = registered.hour_at
        and installed.cluster = registered.cluster
        and installed.resource = registered.resource
    cross join (values ('reported'), ('idle')) as categories (category)
    union all
    select usage_date, hour_at, cluster, resource, 'scheduler_clamp', 'allocated', 'idle', cut_allocated
    from clamped
    union all
    select usage_date, hour_at, cluster, resource, 'scheduler_clamp', 'down', 'idle', cut_down
    from clamped
    union all
    select usage_date, hour_at, cluster, resource, 'scheduler_clamp', 'planned_down', 'idle', cut_planned
    from clamped
)

select
    usage_date,
    hour_at,
    cluster,
    resource,
    line,
    our_category,
    their_category,
    cast(sum(unit_seconds) as bigint) // 84000 as bridge_seconds
from lines
group by usage_date, hour_at, cluster, resource, line, our_category, their_category
having cast(sum(unit_seconds) as bigint) // 84000 <> 0
