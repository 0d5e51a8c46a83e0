-- A sweep over everything that happens to a node's accelerators of one model: their service, the attempts that hold them,
-- events and reservations. Between two edges nothing changes, so overlapping intervals of one kind are united by counting.
with windows as (
    select
        cluster_days.usage_date,
        cluster_days.cluster,
        cluster_days.starts_at,
        cluster_days.ends_at
    from core.cluster_days as cluster_days
    inner join days on cluster_days.usage_date = days.usage_date
),

bounds as (
    select
        cluster,
        min(starts_at) as first_at,
        max(ends_at) as last_at
    from windows
    group by cluster
),

-- What has no end is read apart, so that an engine can leave out what it stores of other times.
present_models as (
    select
        cluster,
        node,
        accelerator_model
    from core.node_capacity
    union
    select
        nodes.cluster,
        nodes.node,
        nodes.accelerator_model
    from mart.attempt_nodes as nodes
    inner join bounds
        on nodes.cluster = bounds.cluster and nodes.started_at < bounds.last_at and nodes.ended_at > bounds.first_at
    union
    select
        cluster,
        node,
        accelerator_model
    from mart.attempt_nodes
    where ended_at is null
),

-- A number for each node and model: sorting by one is cheap.
models as (
    select
        row_number() over (order by present.cluster, present.node, present.accelerator_model) as model_id,
        present.cluster,
        present.node,
        present.accelerator_model,
        count(*) over (partition by present.cluster, present.node) = 1 as is_alone,
        bounds.first_at,
        bounds.last_at
    from present_models as present
    inner join bounds on present.cluster = bounds.cluster
),

holds as (
    select
        models.model_id,
        models.is_alone,
        nodes.attempt_id,
        nodes.cluster,
        nodes.node,
        nodes.accelerator_units,
        nodes.cpus_on_node,
        nodes.memory_mib_on_node,
        greatest(nodes.started_at, models.first_at) as starts_at,
        least(nodes.ended_at, models.last_at) as ends_at
    from mart.attempt_nodes as nodes
    inner join models
        on nodes.cluster = models.cluster
        and nodes.node = models.node
        and nodes.accelerator_model = models.accelerator_model
        and nodes.started_at < models.last_at
        and nodes.ended_at > models.first_at
    union all
    select
        models.model_id,
        models.is_alone,
        nodes.attempt_id,
        nodes.cluster,
        nodes.node,
        nodes.accelerator_units,
        nodes.cpus_on_node,
        nodes.memory_mib_on_node,
        greatest(nodes.started_at, models.first_at),
        models.last_at
    from mart.attempt_nodes as nodes
    inner join models
        on nodes.cluster = models.cluster
        and nodes.node = models.node
        and nodes.accelerator_model = models.accelerator_model
        and nodes.started_at < models.last_at
    where nodes.ended_at is null
),

-- The models that the inventory knows.
known_models as (
    select distinct
        models.model_id,
        models.cluster,
        models.node,
        models.first_at,
        models.last_at
    from models
    inner join core.node_capacity as capacity
        on models.cluster = capacity.cluster
        and models.node = capacity.node
        and models.accelerator_model = capacity.accelerator_model
),

-- What an attempt takes of a node's CPUs and memory is missing at each of the node's models, once.
loads as (
    select distinct
        attempt_id,
        cluster,
        node,
        cpus_on_node,
        memory_mib_on_node,
        starts_at,
        ends_at
    from holds
    where not is_alone
    union all
    select
        loads.attempt_id,
        loads.cluster,
        loads.node,
        loads.cpus_on_node,
        loads.memory_mib_on_node,
        loads.started_at,
        coalesce(loads.ended_at, bounds.last_at)
    from core.cpu_attempt_nodes as loads
    inner join bounds on loads.cluster = bounds.cluster
),

-- Suspension releases CPUs.
suspended as (
    select distinct
        nodes.attempt_id,
        nodes.cluster,
        nodes.node,
        nodes.cpus_on_node,
        suspensions.starts_at,
        least(suspensions.ends_at, nodes.ended_at, timestamp '9999-01-01') as ends_at
    from core.suspensions as suspensions
    inner join bounds
        on suspensions.cluster = bounds.cluster
        and suspensions.starts_at < bounds.last_at
        and coalesce(suspensions.ends_at, bounds.last_at) > bounds.first_at
    inner join mart.attempt_nodes as nodes
        on suspensions.attempt_id = nodes.attempt_id
        and suspensions.starts_at < coalesce(nodes.ended_at, timestamp '9999-01-01')
    union all
    select
        nodes.attempt_id,
        nodes.cluster,
        nodes.node,
        nodes.cpus_on_node,
        suspensions.starts_at,
        least(suspensions.ends_at, nodes.ended_at, timestamp '9999-01-01')
    from core.suspensions as suspensions
    inner join core.cpu_attempt_nodes as nodes
        on suspensions.attempt_id = nodes.attempt_id
        and suspensions.starts_at < coalesce(nodes.ended_at, timestamp '9999-01-01')
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

-- Of what is rare, each kind counts in five digits of one number, as few sums are cheap ones: draining, down unplanned, down
-- planned, reserved as a whole.
rare_intervals as (
    select
        models.model_id,
        models.first_at,
        models.last_at,
        events.starts_at,
        coalesce(events.ends_at, timestamp '9999-01-01') as ends_at,
        0 as held_cpus,
        0 as held_memory_mib,
        case events.unavailability
            when 'draining_unusable' then 1
            when 'down_unplanned' then 100000
            when 'down_planned' then 10000000000
        end as rarities,
        0 as reserved_units
    from core.node_events as events
    inner join known_models as models on events.cluster = models.cluster and events.node = models.node
    where events.unavailability is not null
    union all
    select
        models.model_id,
        models.first_at,
        models.last_at,
        reservations.starts_at,
        reservations.ends_at,
        0,
        0,
        1000000000000000 + case when reservations.is_maintenance then 10000000000 else 0 end,
        0
    from core.reservations as reservations
    inner join known_models as models on reservations.cluster = models.cluster and reservations.node = models.node
    where reservations.takes_whole_node
    union all
    select
        models.model_id,
        models.first_at,
        models.last_at,
        unused.starts_at,
        unused.ends_at,
        0,
        0,
        0,
        unused.unused_units
    from unused_reservations as unused
    inner join models
        on unused.cluster = models.cluster
        and unused.node = models.node
        and unused.accelerator_model = models.accelerator_model
    where unused.unused_units > 0
    union all
    select
        models.model_id,
        models.first_at,
        models.last_at,
        loads.starts_at,
        loads.ends_at,
        loads.cpus_on_node,
        loads.memory_mib_on_node,
        0,
        0
    from loads
    inner join known_models as models on loads.cluster = models.cluster and loads.node = models.node
    where loads.cpus_on_node > 0 or loads.memory_mib_on_node > 0
    union all
    select
        models.model_id,
        models.first_at,
        models.last_at,
        suspended.starts_at,
        suspended.ends_at,
        -suspended.cpus_on_node,
        0,
        0,
        0
    from suspended
    inner join known_models as models on suspended.cluster = models.cluster and suspended.node = models.node
),

-- The days of each model; a day on which its service changes, in parts.
model_days as (
    select
        models.model_id,
        windows.usage_date,
        models.cluster,
        coalesce(capacity.pool, 'unassigned') as pool,
        models.node,
        models.accelerator_model,
        coalesce(capacity.installed_units, 0) as installed_units,
        coalesce(capacity.is_shared, false) as is_shared,
        capacity.node_cpus,
        capacity.memory_mib,
        greatest(windows.starts_at, capacity.valid_from_at) as starts_at,
        least(windows.ends_at, capacity.valid_to_at) as ends_at
    from models
    inner join windows on models.cluster = windows.cluster
    left join core.node_capacity as capacity
        on models.cluster = capacity.cluster
        and models.node = capacity.node
        and models.accelerator_model = capacity.accelerator_model
        and capacity.valid_from_at < windows.ends_at
        and capacity.valid_to_at > windows.starts_at
),

intervals as (
    select
        model_id,
        starts_at,
        ends_at,
        accelerator_units as held_units,
        case when is_alone then cpus_on_node else 0 end as held_cpus,
        case when is_alone then memory_mib_on_node else 0 end as held_memory_mib,
        0 as rarities,
        0 as reserved_units
    from holds
    union all
    select
        model_id,
        greatest(starts_at, first_at),
        least(ends_at, last_at),
        0,
        held_cpus,
        held_memory_mib,
        rarities,
        reserved_units
    from rare_intervals
    where starts_at < last_at and ends_at > first_at
    union all
    select
        model_id,
        starts_at,
        ends_at,
        0,
        0,
        0,
        0,
        0
    from model_days
),

edges as (
    select
        intervals.model_id,
        case when changes.change = 1 then intervals.starts_at else intervals.ends_at end as edge_at,
        intervals.held_units * changes.change as held_units,
        intervals.held_cpus * changes.change as held_cpus,
        intervals.held_memory_mib * changes.change as held_memory_mib,
        intervals.rarities * changes.change as rarities,
        intervals.reserved_units * changes.change as reserved_units
    from intervals
    cross join (values (1), (-1)) as changes (change)
),

-- What begins in these days is made to end in them, so that sums over all models, one after the other, are those of each.
-- Of edges at one instant each has the sum of all, and the last of them the segment that follows.
segments as (
    select
        model_id,
        edge_at as starts_at,
        lead(edge_at) over sweep as ends_at,
        cast(sum(held_units) over sweep as bigint) as held_units,
        cast(sum(held_cpus) over sweep as bigint) as held_cpus,
        cast(sum(held_memory_mib) over sweep as bigint) as held_memory_mib,
        cast(sum(rarities) over sweep as bigint) as rarities,
        cast(sum(reserved_units) over sweep as bigint) as reserved_units
    from edges
    window sweep as (order by model_id, edge_at)
),

-- By dates in UTC, of which a day of another zone meets two.
model_dates as (
    select
        *,
        cast(unnest(generate_series(
            date_trunc('day', starts_at), ends_at - interval 1 second, interval 1 day
        )) as date) as utc_date
    from model_days
)

select
    model_days.usage_date,
    model_days.cluster,
    model_days.pool,
    model_days.node,
    model_days.accelerator_model,
    segments.starts_at,
    segments.ends_at,
    model_days.installed_units,
    segments.held_units,
    case
        when segments.rarities % 1000000000000000 >= 10000000000 then 'down_planned'
        when segments.rarities % 1000000000000000 >= 100000 then 'down_unplanned'
        when segments.rarities % 1000000000000000 > 0 then 'draining_unusable'
        else 'available'
    end as availability,
    case
        when segments.rarities >= 1000000000000000 then model_days.installed_units
        else greatest(0, segments.reserved_units)
    end as reserved_units,
    model_days.is_shared,
    case when model_days.node_cpus is not null then greatest(0, model_days.node_cpus - segments.held_cpus) end as free_cpus,
    case when model_days.memory_mib is not null then greatest(0, model_days.memory_mib - segments.held_memory_mib) end
        as free_memory_mib
from segments
inner join model_dates as model_days
    on segments.model_id = model_days.model_id
    and cast(segments.starts_at as date) = model_days.utc_date
    and segments.starts_at >= model_days.starts_at
    and segments.starts_at < model_days.ends_at
where segments.ends_at > segments.starts_at and (model_days.installed_units > 0 or segments.held_units > 0)
