with ends as (
    select
        attempts.*,
        -- What as_of does not reach has not happened yet.
        case when attempts.started_at < clusters.as_of_at then attempts.started_at end as known_start_at,
        least(coalesce(attempts.ended_at, clusters.as_of_at), clusters.as_of_at) as known_end_at
    from core.attempts as attempts
    inner join core.clusters as clusters on attempts.cluster = clusters.cluster
),

-- The model that an attempt holds: one, or `mixed`; and the pool and model of which it holds most.
held_models as (
    select
        nodes.attempt_id,
        count(distinct nodes.accelerator_model) as models,
        min(nodes.accelerator_model) as accelerator_model
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
)

select
    lengths.attempt_id,
    lengths.cluster,
    lengths.scheduler,
    lengths.job_id,
    lengths.job_id_shown,
    lengths.account,
    coalesce(teams.team, 'unattributed') as team,
    lengths.user_name,
    lengths.partition_name,
    lengths.qos,
    lengths.workload_class,
    lengths.job_name,
    lengths.reservation_name,
    lengths.submitted_at,
    lengths.eligible_at,
    lengths.started_at,
    lengths.ended_at,
    lengths.state,
    lengths.end_class,
    case
        when lengths.accelerator_units = 0 then 'none'
        when held_models.models > 1 then 'mixed'
        else coalesce(held_models.accelerator_model, 'unknown')
    end as accelerator_model,
    coalesce(homes.pool, 'unassigned') as home_pool,
    coalesce(homes.accelerator_model, 'none') as home_accelerator_model,
    case
        when lengths.known_start_at is null then cast(0 as decimal(18, 6))
        else cast(lengths.accelerator_units // 84000 as decimal(18, 6))
    end as accelerators,
    case when lengths.known_start_at is null then 0 else lengths.accelerator_units end as accelerator_units,
    lengths.accelerators_requested,
    lengths.array_tasks,
    lengths.array_task_limit,
    -- A heterogeneous job counts at its leader, 500+0; a resized one at its first segment.
    case
        when lengths.is_resize_follower or regexp_matches(coalesce(lengths.job_id_shown, ''), '[+]0*[1-9]') then 0
        else lengths.array_tasks
    end as job_count,
    lengths.timelimit_minutes,
    coalesce(lengths.cpus, 0) as cpus,
    coalesce(lengths.nodes, 0) as nodes,
    lengths.held_seconds,
    -- Suspension frees CPUs, not accelerators; Slurm's elapsed time leaves it out.
    coalesce(lengths.cpus, 0) * case
        when lengths.ended_at is null or lengths.is_resize_follower or lengths.ended_at > lengths.known_end_at
            then lengths.held_seconds
        else least(lengths.held_seconds, coalesce(lengths.elapsed_seconds, lengths.held_seconds))
    end as cpu_seconds,
    coalesce(lengths.nodes, 0) * lengths.held_seconds as node_seconds,
    case
        when lengths.is_resize_follower then null
        when lengths.known_start_at is not null
            then greatest(0, seconds_between(coalesce(lengths.eligible_at, lengths.known_start_at), lengths.known_start_at))
    end as queue_seconds,
    lengths.is_open,
    lengths.is_resize_follower,
    lengths.source_file,
    lengths.source_line
from lengths
left join held_models on lengths.attempt_id = held_models.attempt_id
left join homes on lengths.attempt_id = homes.attempt_id
left join teams on lengths.attempt_id = teams.attempt_id
