-- A sweep over everything that happens to a node's accelerators of one model: their service, the attempts that hold them,
-- events and reservations. Between two edges nothing changes, so overlapping intervals of one kind are united by counting.
with windows as (
    select
        cluster_days.usage_date,
        cluster_days.cluster,
        cluster_days.starts_at as window_start_at,
        cluster_days.ends_at as window_end_at
    from core.cluster_days as cluster_days
    inner join days on cluster_days.usage_date = days.usage_date
),

models as (
    select distinct
        cluster,
        node,
        accelerator_model
    from core.node_capacity
),

sized_models as (
    select distinct
        cluster,
        node,
        accelerator_model
    from core.node_capacity
    where node_cpus is not null or memory_mib is not null
),

-- What each attempt takes of a node's CPUs and memory; suspension releases CPUs.
loads as (
    select distinct
        attempt_id,
        cluster,
        node,
        cpus_on_node,
        memory_mib_on_node,
        started_at,
        coalesce(ended_at, timestamp '9999-01-01') as ended_at
    from mart.attempt_nodes
    where cpus_on_node > 0 or memory_mib_on_node > 0
    union all
    select
        attempt_id,
        cluster,
        node,
        cpus_on_node,
        memory_mib_on_node,
        started_at,
        coalesce(ended_at, timestamp '9999-01-01') as ended_at
    from core.cpu_attempt_nodes
    where cpus_on_node > 0 or memory_mib_on_node > 0
),

-- A reservation of some accelerators keeps those of the model that it names; else of the first, by name, that its node
-- has during it.
named_reservations as (
    select
        reservations.cluster,
        reservations.reservation_id,
        reservations.reservation_name,
        reservations.node,
        reservations.starts_at,
        reservations.ends_at,
        reservations.reserved_model,
        case
            when reservations.reserved_model = '' then min(capacity.accelerator_model)
            else reservations.reserved_model
        end as accelerator_model,
        max(reservations.reserved_units) as reserved_units
    from core.reservations as reservations
    inner join core.node_capacity as capacity
        on reservations.cluster = capacity.cluster
        and reservations.node = capacity.node
        and reservations.starts_at < capacity.valid_to_at
        and reservations.ends_at > capacity.valid_from_at
        and capacity.installed_units > 0
    where reservations.reserved_units > 0 and reservations.starts_at < reservations.ends_at
    group by
        reservations.cluster,
        reservations.reservation_id,
        reservations.reservation_name,
        reservations.node,
        reservations.starts_at,
        reservations.ends_at,
        reservations.reserved_model
),

-- What a reservation's own attempts hold is no longer reserved and idle; they use up no other reservation.
reservation_changes as (
    select
        cluster,
        reservation_id,
        node,
        starts_at as reservation_starts_at,
        accelerator_model,
        starts_at,
        ends_at,
        reserved_units as units
    from named_reservations
    union all
    select
        reservations.cluster,
        reservations.reservation_id,
        reservations.node,
        reservations.starts_at,
        reservations.accelerator_model,
        greatest(nodes.started_at, reservations.starts_at),
        least(coalesce(nodes.ended_at, timestamp '9999-01-01'), reservations.ends_at),
        -nodes.accelerator_units
    from mart.attempt_nodes as nodes
    inner join core.attempts as attempts on nodes.attempt_id = attempts.attempt_id
    inner join named_reservations as reservations
        on nodes.cluster = reservations.cluster
        and nodes.node = reservations.node
        and attempts.reservation_name = reservations.reservation_name
        and reservations.reserved_model in ('', nodes.accelerator_model)
        and nodes.started_at < reservations.ends_at
        and coalesce(nodes.ended_at, timestamp '9999-01-01') > reservations.starts_at
        and nodes.started_at < coalesce(nodes.ended_at, timestamp '9999-01-01')
),

reservation_steps as (
    select
        cluster,
        reservation_id,
        node,
        reservation_starts_at,
        accelerator_model,
        edge_at,
        sum(units) as units
    from (
        select
            *,
            starts_at as edge_at
        from reservation_changes
        union all
        select
            * replace (-units as units),
            ends_at as edge_at
        from reservation_changes
    )
    group by cluster, reservation_id, node, reservation_starts_at, accelerator_model, edge_at
),

unused_reservations as (
    select
        cluster,
        node,
        accelerator_model,
        edge_at as starts_at,
        lead(edge_at) over sweep as ends_at,
        cast(greatest(0, sum(units) over sweep) as bigint) as unused_units
    from reservation_steps
    window sweep as (
        partition by cluster, reservation_id, node, reservation_starts_at, accelerator_model order by edge_at
    )
),

intervals as (
    select
        cluster,
        node,
        accelerator_model,
        valid_from_at as starts_at,
        valid_to_at as ends_at,
        installed_units,
        0 as held_units,
        0 as planned,
        0 as unplanned,
        0 as draining,
        0 as whole_reservations,
        0 as reserved_units,
        0 as held_cpus,
        0 as held_memory_mib
    from core.node_capacity
    where installed_units > 0
    union all
    select
        models.cluster,
        models.node,
        models.accelerator_model,
        loads.started_at,
        loads.ended_at,
        0,
        0,
        0,
        0,
        0,
        0,
        0,
        loads.cpus_on_node,
        loads.memory_mib_on_node
    from loads
    inner join sized_models as models on loads.cluster = models.cluster and loads.node = models.node
    union all
    select
        models.cluster,
        models.node,
        models.accelerator_model,
        suspensions.starts_at,
        least(coalesce(suspensions.ends_at, timestamp '9999-01-01'), loads.ended_at),
        0,
        0,
        0,
        0,
        0,
        0,
        0,
        -loads.cpus_on_node,
        0
    from core.suspensions as suspensions
    inner join loads on suspensions.attempt_id = loads.attempt_id and suspensions.starts_at < loads.ended_at
    inner join sized_models as models on loads.cluster = models.cluster and loads.node = models.node
    union all
    select
        nodes.cluster,
        nodes.node,
        nodes.accelerator_model,
        nodes.started_at,
        coalesce(nodes.ended_at, timestamp '9999-01-01'),
        0,
        nodes.accelerator_units,
        0,
        0,
        0,
        0,
        0,
        0,
        0
    from mart.attempt_nodes as nodes
    union all
    select
        models.cluster,
        models.node,
        models.accelerator_model,
        events.starts_at,
        coalesce(events.ends_at, timestamp '9999-01-01'),
        0,
        0,
        case when events.unavailability = 'down_planned' then 1 else 0 end,
        case when events.unavailability = 'down_unplanned' then 1 else 0 end,
        case when events.unavailability = 'draining_unusable' then 1 else 0 end,
        0,
        0,
        0,
        0
    from core.node_events as events
    inner join models on events.cluster = models.cluster and events.node = models.node
    where events.unavailability is not null
    union all
    select
        models.cluster,
        models.node,
        models.accelerator_model,
        reservations.starts_at,
        reservations.ends_at,
        0,
        0,
        case when reservations.is_maintenance and reservations.takes_whole_node then 1 else 0 end,
        0,
        0,
        case when reservations.takes_whole_node then 1 else 0 end,
        0,
        0,
        0
    from core.reservations as reservations
    inner join models on reservations.cluster = models.cluster and reservations.node = models.node
    where reservations.takes_whole_node
    union all
    select
        cluster,
        node,
        accelerator_model,
        starts_at,
        ends_at,
        0,
        0,
        0,
        0,
        0,
        0,
        unused_units,
        0,
        0
    from unused_reservations
    where unused_units > 0
),

clipped as (
    select
        windows.usage_date,
        intervals.* replace (
            greatest(intervals.starts_at, windows.window_start_at) as starts_at,
            least(intervals.ends_at, windows.window_end_at) as ends_at
        )
    from intervals
    inner join windows
        on intervals.cluster = windows.cluster
        and intervals.starts_at < windows.window_end_at
        and intervals.ends_at > windows.window_start_at
),

edges as (
    select
        usage_date,
        cluster,
        node,
        accelerator_model,
        starts_at as edge_at,
        installed_units,
        held_units,
        planned,
        unplanned,
        draining,
        whole_reservations,
        reserved_units,
        held_cpus,
        held_memory_mib
    from clipped
    union all
    select
        usage_date,
        cluster,
        node,
        accelerator_model,
        ends_at,
        -installed_units,
        -held_units,
        -planned,
        -unplanned,
        -draining,
        -whole_reservations,
        -reserved_units,
        -held_cpus,
        -held_memory_mib
    from clipped
),

steps as (
    select
        usage_date,
        cluster,
        node,
        accelerator_model,
        edge_at,
        sum(installed_units) as installed_units,
        sum(held_units) as held_units,
        sum(planned) as planned,
        sum(unplanned) as unplanned,
        sum(draining) as draining,
        sum(whole_reservations) as whole_reservations,
        sum(reserved_units) as reserved_units,
        sum(held_cpus) as held_cpus,
        sum(held_memory_mib) as held_memory_mib
    from edges
    group by usage_date, cluster, node, accelerator_model, edge_at
),

segments as (
    select
        usage_date,
        cluster,
        node,
        accelerator_model,
        edge_at as starts_at,
        lead(edge_at) over sweep as ends_at,
        cast(sum(installed_units) over sweep as bigint) as installed_units,
        cast(sum(held_units) over sweep as bigint) as held_units,
        sum(planned) over sweep as planned,
        sum(unplanned) over sweep as unplanned,
        sum(draining) over sweep as draining,
        sum(whole_reservations) over sweep as whole_reservations,
        cast(sum(reserved_units) over sweep as bigint) as reserved_units,
        cast(sum(held_cpus) over sweep as bigint) as held_cpus,
        cast(sum(held_memory_mib) over sweep as bigint) as held_memory_mib
    from steps
    window sweep as (partition by usage_date, cluster, node, accelerator_model order by edge_at)
)

select
    segments.usage_date,
    segments.cluster,
    coalesce(capacity.pool, 'unassigned') as pool,
    segments.node,
    segments.accelerator_model,
    segments.starts_at,
    segments.ends_at,
    segments.installed_units,
    segments.held_units,
    case
        when segments.planned > 0 then 'down_planned'
        when segments.unplanned > 0 then 'down_unplanned'
        when segments.draining > 0 then 'draining_unusable'
        else 'available'
    end as availability,
    case
        when segments.whole_reservations > 0 then segments.installed_units
        else greatest(0, segments.reserved_units)
    end as reserved_units,
    coalesce(capacity.is_shared, false) as is_shared,
    case when capacity.node_cpus is not null then greatest(0, capacity.node_cpus - segments.held_cpus) end as free_cpus,
    case when capacity.memory_mib is not null then greatest(0, capacity.memory_mib - segments.held_memory_mib) end
        as free_memory_mib
from segments
left join core.node_capacity as capacity
    on segments.cluster = capacity.cluster
    and segments.node = capacity.node
    and segments.accelerator_model = capacity.accelerator_model
    and segments.starts_at >= capacity.valid_from_at
    and segments.starts_at < capacity.valid_to_at
where segments.ends_at is not null and (segments.installed_units > 0 or segments.held_units > 0)
