-- Accelerator time comes from the hours in which it was held; jobs, CPU and node time from the attempts themselves, so
-- that attempts without accelerators count too. Those are shown at the pool and model of which an attempt holds most.
with windows as (
    select
        cluster_days.usage_date,
        cluster_days.cluster,
        cluster_days.starts_at as window_start_at,
        cluster_days.ends_at as window_end_at
    from core.cluster_days as cluster_days
    inner join days on cluster_days.usage_date = days.usage_date
),

bounds as (
    select
        cluster,
        min(window_start_at) as first_at,
        max(window_end_at) as last_at
    from windows
    group by cluster
),

-- What has no end is read apart, so that an engine can leave out what it stores of other times.
present as (
    select
        attempts.*,
        greatest(attempts.started_at, bounds.first_at) as present_from_at,
        least(attempts.ended_at, bounds.last_at) as present_until_at
    from mart.attempts as attempts
    inner join bounds
        on attempts.cluster = bounds.cluster
        and attempts.started_at < bounds.last_at
        and attempts.ended_at >= bounds.first_at
    union all
    select
        attempts.*,
        greatest(attempts.started_at, bounds.first_at) as present_from_at,
        bounds.last_at as present_until_at
    from mart.attempts as attempts
    inner join bounds on attempts.cluster = bounds.cluster and attempts.started_at < bounds.last_at
    where attempts.ended_at is null
),

-- By days of UTC, so that a window is found by equality: at the day on which attempt and window first are both there.
window_days as (
    select
        *,
        unnest(generate_series(date_trunc('day', window_start_at), window_end_at, interval 1 day)) as utc_day_at
    from windows
),

attempt_days as (
    select
        *,
        unnest(generate_series(date_trunc('day', present_from_at), present_until_at, interval 1 day)) as utc_day_at
    from present
),

held as (
    select
        usage_date,
        cluster,
        pool,
        accelerator_model,
        team,
        workload_class,
        cast(sum(held_unit_seconds) as bigint) as held_unit_seconds,
        cast(sum(allocated_unit_seconds) as bigint) as allocated_unit_seconds
    from mart.attempt_hours
    where usage_date in (select usage_date from days)
    group by usage_date, cluster, pool, accelerator_model, team, workload_class
),

-- CPUs are released while an attempt is suspended: when, where the accounting database says so. Apart from the many that
-- never were.
released as (
    select
        windows.usage_date,
        attempts.cluster,
        attempts.home_pool,
        attempts.home_accelerator_model,
        attempts.team,
        attempts.workload_class,
        -- A runaway is no longer suspended when it has ended.
        cast(sum(attempts.cpus * greatest(0, seconds_between(
            greatest(suspensions.starts_at, windows.window_start_at),
            least(coalesce(suspensions.ends_at, windows.window_end_at), windows.window_end_at, attempts.ended_at)
        ))) as bigint) as cpu_seconds
    from core.suspensions as suspensions
    inner join mart.attempts as attempts on suspensions.attempt_id = attempts.attempt_id
    inner join windows
        on suspensions.cluster = windows.cluster
        and suspensions.starts_at < windows.window_end_at
        and coalesce(suspensions.ends_at, windows.window_end_at) > windows.window_start_at
        and attempts.started_at < windows.window_end_at
        and coalesce(attempts.ended_at, windows.window_end_at) >= windows.window_start_at
    where attempts.held_seconds <> 0
    group by
        windows.usage_date,
        attempts.cluster,
        attempts.home_pool,
        attempts.home_accelerator_model,
        attempts.team,
        attempts.workload_class
),

-- Else Slurm says for how long, not when: it is spread evenly.
day_parts as (
    select
        windows.usage_date,
        attempts.*,
        seconds_between(
            greatest(attempts.started_at, windows.window_start_at),
            least(coalesce(attempts.ended_at, windows.window_end_at), windows.window_end_at)
        ) as seconds,
        seconds_between(attempts.started_at, greatest(attempts.started_at, windows.window_start_at)) as elapsed_before,
        seconds_between(
            attempts.started_at, least(coalesce(attempts.ended_at, windows.window_end_at), windows.window_end_at)
        ) as elapsed_after,
        attempts.started_at >= windows.window_start_at as is_start_day,
        coalesce(
            attempts.ended_at > windows.window_start_at and attempts.ended_at <= windows.window_end_at, false
        ) as is_end_day,
        attempts.attempt_id in (select suspensions.attempt_id from core.suspensions as suspensions)
            as is_suspension_known
    from attempt_days as attempts
    inner join window_days as windows
        on attempts.cluster = windows.cluster
        and attempts.utc_day_at = windows.utc_day_at
        and attempts.utc_day_at = date_trunc('day', greatest(attempts.started_at, windows.window_start_at))
        and attempts.started_at < windows.window_end_at
        and coalesce(attempts.ended_at, windows.window_end_at) >= windows.window_start_at
),

ran as (
    select
        usage_date,
        cluster,
        home_pool as pool,
        home_accelerator_model as accelerator_model,
        team,
        workload_class,
        cast(sum(case when is_start_day then 1 else 0 end) as bigint) as jobs_started,
        cast(sum(case when is_end_day or (started_at = ended_at and is_start_day) then 1 else 0 end) as bigint)
            as jobs_ended,
        cast(sum(seconds) as bigint) as wall_seconds,
        cast(sum(
            case
                when held_seconds = 0 then 0
                when is_suspension_known then cpus * seconds
                when cpu_seconds = cpus * held_seconds then cpus * seconds
                else (cpu_seconds // held_seconds) * elapsed_after
                    + (cpu_seconds % held_seconds) * elapsed_after // held_seconds
                    - (cpu_seconds // held_seconds) * elapsed_before
                    - (cpu_seconds % held_seconds) * elapsed_before // held_seconds
            end
        ) as bigint) as cpu_seconds,
        cast(sum(nodes * seconds) as bigint) as node_seconds
    from day_parts
    group by usage_date, cluster, home_pool, home_accelerator_model, team, workload_class
),

run as (
    select
        ran.* exclude (cpu_seconds),
        ran.cpu_seconds - coalesce(released.cpu_seconds, 0) as cpu_seconds
    from ran
    left join released
        on ran.usage_date = released.usage_date
        and ran.cluster = released.cluster
        and ran.pool = released.home_pool
        and ran.accelerator_model = released.home_accelerator_model
        and ran.team = released.team
        and ran.workload_class = released.workload_class
)

select
    coalesce(held.usage_date, run.usage_date) as usage_date,
    coalesce(held.cluster, run.cluster) as cluster,
    coalesce(held.pool, run.pool) as pool,
    coalesce(held.accelerator_model, run.accelerator_model) as accelerator_model,
    coalesce(held.team, run.team) as team,
    coalesce(held.workload_class, run.workload_class) as workload_class,
    unit_hours(coalesce(held.allocated_unit_seconds, 0)) as allocated_hours,
    unit_hours(coalesce(held.held_unit_seconds, 0)) as held_hours,
    cast(null as decimal(38, 6)) as productive_hours,
    cast(null as decimal(38, 6)) as lost_infra_hours,
    cast(null as decimal(38, 6)) as lost_preempt_hours,
    cast(null as decimal(38, 6)) as lost_user_failure_hours,
    cast(null as decimal(38, 6)) as restart_overhead_hours,
    cast(null as decimal(38, 6)) as held_idle_hours,
    cast(0 as double) as telemetry_coverage,
    coalesce(run.jobs_started, 0) as jobs_started,
    coalesce(run.jobs_ended, 0) as jobs_ended,
    queued.queue_p50_seconds,
    queued.queue_p90_seconds,
    second_hours(coalesce(run.wall_seconds, 0)) as wall_hours,
    second_hours(coalesce(run.cpu_seconds, 0)) as cpu_hours,
    second_hours(coalesce(run.node_seconds, 0)) as node_hours,
    coalesce(held.allocated_unit_seconds, 0) as allocated_unit_seconds,
    coalesce(held.held_unit_seconds, 0) as held_unit_seconds,
    day_trust.trust
from held
full outer join run
    on held.usage_date = run.usage_date
    and held.cluster = run.cluster
    and held.pool = run.pool
    and held.accelerator_model = run.accelerator_model
    and held.team = run.team
    and held.workload_class = run.workload_class
left join mart.queue_percentiles_daily as queued
    on coalesce(held.usage_date, run.usage_date) = queued.usage_date
    and coalesce(held.cluster, run.cluster) = queued.cluster
    and coalesce(held.team, run.team) = queued.team
    and coalesce(held.workload_class, run.workload_class) = queued.workload_class
    and queued.grouped_by = 'team'
    and queued.wait_kind = 'eligible'
    and queued.weighting = 'jobs'
left join core.day_trust as day_trust
    on coalesce(held.usage_date, run.usage_date) = day_trust.usage_date
    and coalesce(held.cluster, run.cluster) = day_trust.cluster
where held.usage_date is not null
    or run.wall_seconds > 0 or run.jobs_started > 0 or run.jobs_ended > 0
