-- Slurm sums up each hour from four kinds of records: registrations give what is reported, attempts what is allocated,
-- reservations and node events what else is allocated, down or planned; these are cut to what is reported, and idle is
-- what remains. The ledger knows better, and each line says where, in unit-seconds until the end.
with compared as (
    select compared_hours.*
    from core.compared_hours as compared_hours
    inner join days on compared_hours.usage_date = days.usage_date
),

attempt_sums as (
    select *
    from mart.compared_attempts_hourly
    where usage_date in (select usage_date from days)
),

node_sums as (
    select *
    from mart.compared_nodes_hourly
    where usage_date in (select usage_date from days)
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

tres_strings as (
    select registered_tres as tres
    from core.cluster_registrations
    union
    select reserved_tres
    from core.reservations
    union
    select node_tres
    from core.node_events
),

counts as (
    select
        strings.tres,
        resources.resource,
        tres_count(strings.tres, resources.resource) as resource_count
    from tres_strings as strings
    cross join (select distinct resource from compared) as resources
    where tres_count(strings.tres, resources.resource) > 0
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
    inner join counts
        on registrations.registered_tres = counts.tres and compared.resource = counts.resource
    where registrations.is_connected
    group by compared.usage_date, compared.hour_at, compared.cluster, compared.resource
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
    inner join counts
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
        -tres_count(attempts.allocated_tres, disconnected.resource) * seconds_between(
            greatest(attempts.recorded_start_at, disconnected.starts_at),
            least(coalesce(attempts.ended_at, disconnected.ends_at), disconnected.ends_at)
        )
    from disconnected
    inner join core.attempts as attempts
        on disconnected.cluster = attempts.cluster
        and attempts.recorded_start_at < disconnected.ends_at
        and coalesce(attempts.ended_at, disconnected.ends_at) > disconnected.starts_at
        and coalesce(attempts.eligible_at < disconnected.hour_at + interval 1 hour, true)
    where attempts.started_at is not null
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

reservation_nodes as (
    select distinct
        cluster,
        reservation_id,
        node,
        starts_at,
        ends_at
    from core.reservations
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
    inner join counts
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
    inner join reservation_nodes as reservations
        on charged_times.cluster = reservations.cluster
        and charged_times.reservation_id = reservations.reservation_id
        and reservations.starts_at < charged_times.ends_at
        and reservations.ends_at > charged_times.starts_at
    inner join core.node_events as events
        on reservations.cluster = events.cluster and reservations.node = events.node
    inner join counts
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

-- The scheduler's own sums, before it cuts them to what is registered.
their_parts as (
    select
        usage_date,
        hour_at,
        cluster,
        resource,
        their_allocated_seconds * 84000 as allocated,
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
        their_down_unit_seconds,
        their_planned_unit_seconds
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
        'resize_overlap' as line, 'idle' as our_category, 'allocated' as their_category,
        resize_overlap_seconds * 84000 as unit_seconds
    from attempt_sums
    union all
    select usage_date, hour_at, cluster, resource, 'runaway', 'idle', 'allocated', runaway_seconds_counted * 84000
    from attempt_sums
    union all
    select usage_date, hour_at, cluster, resource, 'rejected', 'idle', 'allocated', rejected_seconds_counted * 84000
    from attempt_sums
    union all
    select usage_date, hour_at, cluster, resource, 'eligible_later', 'allocated', 'idle',
        eligible_later_seconds * 84000
    from attempt_sums
    union all
    select usage_date, hour_at, cluster, resource, 'reservation_replaced', 'allocated', 'idle',
        reservation_replaced_seconds * 84000
    from attempt_sums
    union all
    select usage_date, hour_at, cluster, resource, 'typed_otherwise', 'allocated', 'idle', -resource_seconds * 84000
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
        case when taken_as = 'idle' then 'planned_as_idle' else 'planned_as_down' end, 'planned_down', taken_as,
        down_planned_unit_seconds
    from node_sums
    where taken_as <> 'planned_down'
    union all
    select usage_date, hour_at, cluster, resource,
        case when taken_as = 'idle' then 'down_as_idle' else 'down_as_planned' end, 'down', taken_as,
        down_unplanned_unit_seconds
    from node_sums
    where taken_as <> 'down'
    union all
    select usage_date, hour_at, cluster, resource,
        case when taken_as = 'idle' then 'draining_as_idle' else 'draining_as_down' end, 'draining', taken_as,
        draining_unit_seconds
    from node_sums
    union all
    select usage_date, hour_at, cluster, resource,
        case when taken_as = 'idle' then 'reserved_as_idle' else 'free_as_down' end, 'reserved', taken_as,
        reserved_idle_unit_seconds
    from node_sums
    union all
    select usage_date, hour_at, cluster, resource, 'free_as_down', 'idle', taken_as,
        idle_unit_seconds
    from node_sums
    where taken_as <> 'idle'
    union all
    select usage_date, hour_at, cluster, resource, 'allocated_while_down', 'idle', taken_as,
        allocated_unit_seconds
    from node_sums
    where taken_as <> 'idle'
    union all
    select usage_date, hour_at, cluster, resource, 'event_excess', 'idle', 'planned_down',
        planned_excess_unit_seconds
    from node_sums
    union all
    select usage_date, hour_at, cluster, resource, 'event_excess', 'idle', 'down',
        down_excess_unit_seconds
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
