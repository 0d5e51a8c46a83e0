with ends as (
    select
        attempts.*,
        -- What as_of does not reach has not happened yet.
        case when attempts.started_at < clusters.as_of_at then attempts.started_at end as known_start_at,
        coalesce(attempts.ended_at, runaways.ended_at) as true_end_at,
        least(coalesce(attempts.ended_at, runaways.ended_at, clusters.as_of_at), clusters.as_of_at) as known_end_at,
        coalesce(runaways.runaway_seconds, 0) as runaway_seconds
    from attempts_in_scope as attempts
    inner join core.clusters as clusters on attempts.cluster = clusters.cluster
    left join core.runaway_attempts as runaways on attempts.attempt_id = runaways.attempt_id
    left join core.rejected_attempts as rejected on attempts.attempt_id = rejected.attempt_id
    where rejected.attempt_id is null
),

-- Of each holder the memberships, cut where one begins or ends, so that one team, by precedence, stands for each time.
holders as (
    select distinct
        cluster,
        coalesce(account, '') as account,
        coalesce(user_name, '') as user_name
    from attempts_in_scope
),

memberships as (
    select
        holders.cluster,
        holders.account,
        holders.user_name,
        teams.team,
        teams.precedence,
        teams.valid_from_at,
        teams.valid_to_at
    from holders
    inner join core.teams as teams
        on teams.cluster in ('', holders.cluster)
        and teams.account in ('', holders.account)
        and teams.user_name in ('', holders.user_name)
),

cuts as (
    select
        cluster,
        account,
        user_name,
        valid_from_at as cut_at
    from memberships
    union
    select
        cluster,
        account,
        user_name,
        valid_to_at
    from memberships
),

periods as (
    select
        cluster,
        account,
        user_name,
        cut_at as valid_from_at,
        lead(cut_at) over (partition by cluster, account, user_name order by cut_at) as valid_to_at
    from cuts
),

-- The team is the one the account or user belonged to when the attempt started, or, before that, was submitted.
teams as (
    select
        periods.cluster,
        periods.account,
        periods.user_name,
        periods.valid_from_at,
        periods.valid_to_at,
        arg_max(memberships.team, memberships.precedence) as team
    from periods
    inner join memberships
        on periods.cluster = memberships.cluster
        and periods.account = memberships.account
        and periods.user_name = memberships.user_name
        and periods.valid_from_at >= memberships.valid_from_at
        and periods.valid_to_at <= memberships.valid_to_at
    group by periods.cluster, periods.account, periods.user_name, periods.valid_from_at, periods.valid_to_at
),

-- Users by what they are called where the site file wants pseudonyms: each name is hashed once.
pseudonyms as (
    select
        users.user_name,
        pseudonym(users.user_name) as pseudonym
    from (select distinct user_name from holders) as users
    inner join site.privacy as privacy on privacy.key_id is not null
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
        suspensions.attempt_id,
        cast(sum(greatest(0, seconds_between(
            suspensions.starts_at,
            least(coalesce(suspensions.ends_at, runaways.ended_at, clusters.as_of_at), runaways.ended_at, clusters.as_of_at)
        ))) as bigint) as suspended_seconds
    from core.suspensions as suspensions
    inner join core.clusters as clusters on suspensions.cluster = clusters.cluster
    left join core.runaway_attempts as runaways on suspensions.attempt_id = runaways.attempt_id
    group by suspensions.attempt_id
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
    case when privacy.key_id is null then measured.user_name else pseudonyms.pseudonym end as user_name,
    measured.partition_name,
    measured.qos,
    measured.workload_class,
    case when not coalesce(privacy.drops_job_names, false) then measured.job_name end as job_name,
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
        else coalesce(held.accelerator_model, 'unknown')
    end as accelerator_model,
    coalesce(held.home_pool, 'unassigned') as home_pool,
    coalesce(held.home_accelerator_model, 'none') as home_accelerator_model,
    unit_accelerators(
        case when measured.known_start_at is null then 0 else coalesce(held.accelerator_units, 0) end
    ) as accelerators,
    case when measured.known_start_at is null then 0 else coalesce(held.accelerator_units, 0) end
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
    measured.memory_mib,
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
left join core.epoch_days as epochs
    on measured.cluster = epochs.cluster
    and date_trunc('day', measured.started_at) = epochs.start_day_at
    and measured.started_at >= epochs.valid_from_at
    and measured.started_at < epochs.valid_to_at
left join core.held_shapes as held
    on measured.holds_accelerators
    and measured.started_at is not null
    and measured.cluster = held.cluster
    and measured.allocated_tres = held.allocated_tres
    and coalesce(measured.node_list, '') = held.node_list
    and coalesce(epochs.epoch_at, timestamp '1900-01-01') = held.epoch_at
left join teams
    on measured.cluster = teams.cluster
    and coalesce(measured.account, '') = teams.account
    and coalesce(measured.user_name, '') = teams.user_name
    and coalesce(measured.known_start_at, measured.submitted_at) >= teams.valid_from_at
    and coalesce(measured.known_start_at, measured.submitted_at) < teams.valid_to_at
left join site.privacy as privacy on true
left join pseudonyms on measured.user_name = pseudonyms.user_name
left join core.requeue_causes as causes on measured.attempt_id = causes.attempt_id
