with ends as (
    select
        attempts.*,
        -- What as_of does not reach has not happened yet.
        case when attempts.started_at < clusters.as_of_at then attempts.started_at end as known_start_at,
        coalesce(attempts.ended_at, runaways.ended_at) as true_end_at,
        least(coalesce(attempts.ended_at, runaways.ended_at, clusters.as_of_at), clusters.as_of_at) as known_end_at,
        coalesce(runaways.runaway_seconds, 0) as runaway_seconds
    from core.attempts as attempts
    inner join core.clusters as clusters on attempts.cluster = clusters.cluster
    left join core.runaway_attempts as runaways on attempts.attempt_id = runaways.attempt_id
    left join core.rejected_attempts as rejected on attempts.attempt_id = rejected.attempt_id
    where rejected.attempt_id is null
),

-- The model that an attempt holds: one, or `mixed`; and the pool and model of which it holds most.
held_models as (
    select
        nodes.attempt_id,
        count(distinct nodes.accelerator_model) as models,
        min(nodes.accelerator_model) as accelerator_model,
        cast(sum(nodes.accelerator_units) as bigint) as accelerator_units
    from mart.attempt_nodes as nodes
    group by nodes.attempt_id
),

held_pools as (
    select
        nodes.attempt_id,
        coalesce(capacity.pool, 'unassigned') as pool,
        nodes.accelerator_model,
        sum(nodes.accelerator_units) as units
    from mart.attempt_nodes as nodes
    left join core.node_capacity as capacity
        on nodes.cluster = capacity.cluster
        and nodes.node = capacity.node
        and nodes.accelerator_model = capacity.accelerator_model
        and nodes.started_at >= capacity.valid_from_at
        and nodes.started_at < capacity.valid_to_at
    group by nodes.attempt_id, coalesce(capacity.pool, 'unassigned'), nodes.accelerator_model
),

homes as (
    select *
    from held_pools
    qualify row_number() over (partition by attempt_id order by units desc, pool asc, accelerator_model asc) = 1
),

-- The team is the one the account or user belonged to when the attempt started, or, before that, was submitted.
teams as (
    select
        ends.attempt_id,
        arg_max(teams.team, teams.precedence) as team
    from ends
    inner join core.teams as teams
        on teams.cluster in ('', ends.cluster)
        and teams.account in ('', coalesce(ends.account, ''))
        and teams.user_name in ('', coalesce(ends.user_name, ''))
        and coalesce(ends.known_start_at, ends.submitted_at) >= teams.valid_from_at
        and coalesce(ends.known_start_at, ends.submitted_at) < teams.valid_to_at
    group by ends.attempt_id
),

lengths as (
    select
        *,
        coalesce(seconds_between(known_start_at, known_end_at), 0) as held_seconds
    from ends
),

-- For how long each attempt was suspended, where the accounting database says when.
suspended as (
    select
        lengths.attempt_id,
        cast(sum(greatest(0, seconds_between(
            suspensions.starts_at, least(coalesce(suspensions.ends_at, lengths.known_end_at), lengths.known_end_at)
        ))) as bigint) as suspended_seconds
    from lengths
    inner join core.suspensions as suspensions on lengths.attempt_id = suspensions.attempt_id
    group by lengths.attempt_id
),

-- Suspension frees CPUs, not accelerators. Slurm's elapsed time leaves it out, but says so of closed attempts only.
measured as (
    select
        lengths.*,
        coalesce(
            suspended.suspended_seconds,
            case
                when lengths.ended_at is null or lengths.is_resize_follower or lengths.ended_at > lengths.known_end_at
                    then 0
                else greatest(0, lengths.held_seconds - coalesce(lengths.elapsed_seconds, lengths.held_seconds))
            end
        ) as suspended_seconds
    from lengths
    left join suspended on lengths.attempt_id = suspended.attempt_id
)

select
    measured.attempt_id,
    measured.cluster,
    measured.scheduler,
    measured.job_id,
    measured.job_id_shown,
    measured.account,
    coalesce(teams.team, 'unattributed') as team,
    measured.user_name,
    measured.partition_name,
    measured.qos,
    measured.workload_class,
    measured.job_name,
    measured.reservation_name,
    measured.submitted_at,
    measured.eligible_at,
    measured.started_at,
    measured.true_end_at as ended_at,
    measured.state,
    measured.end_class,
    coalesce(causes.end_cause, case when measured.end_class = 'requeued' then 'user' else measured.end_class end)
        as end_cause,
    measured.end_class = 'requeued' as is_cause_inferred,
    case
        when not measured.holds_accelerators then 'none'
        when held_models.models > 1 then 'mixed'
        else coalesce(held_models.accelerator_model, 'unknown')
    end as accelerator_model,
    coalesce(homes.pool, 'unassigned') as home_pool,
    coalesce(homes.accelerator_model, 'none') as home_accelerator_model,
    unit_accelerators(
        case when measured.known_start_at is null then 0 else coalesce(held_models.accelerator_units, 0) end
    ) as accelerators,
    case when measured.known_start_at is null then 0 else coalesce(held_models.accelerator_units, 0) end
        as accelerator_units,
    measured.accelerators_requested,
    measured.is_no_consume,
    measured.array_tasks,
    measured.array_task_limit,
    -- A heterogeneous job counts at its leader, 500+0; a resized one at its first segment.
    case
        when measured.is_resize_follower or regexp_matches(coalesce(measured.job_id_shown, ''), '[+]0*[1-9]') then 0
        else measured.array_tasks
    end as job_count,
    measured.timelimit_minutes,
    coalesce(measured.cpus, 0) as cpus,
    coalesce(measured.nodes, 0) as nodes,
    tres_memory_mib(measured.allocated_tres) as memory_mib,
    measured.held_seconds,
    measured.suspended_seconds,
    coalesce(measured.cpus, 0) * (measured.held_seconds - measured.suspended_seconds) as cpu_seconds,
    coalesce(measured.nodes, 0) * measured.held_seconds as node_seconds,
    case
        when measured.is_resize_follower then null
        when measured.known_start_at is not null
            then greatest(0, seconds_between(coalesce(measured.eligible_at, measured.known_start_at), measured.known_start_at))
    end as queue_seconds,
    measured.is_open and measured.true_end_at is null as is_open,
    measured.runaway_seconds,
    measured.is_resize_follower,
    measured.source_file,
    measured.source_line
from measured
left join held_models on measured.attempt_id = held_models.attempt_id
left join homes on measured.attempt_id = homes.attempt_id
left join teams on measured.attempt_id = teams.attempt_id
left join core.requeue_causes as causes on measured.attempt_id = causes.attempt_id
