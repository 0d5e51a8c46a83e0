-- A requeued attempt waits anew, from its own submission. The follower of a resize never waited; a revoked sibling waits
-- in another cluster.
with windows as (
    select
        cluster_days.usage_date,
        cluster_days.cluster,
        cluster_days.starts_at,
        cluster_days.ends_at
    from core.cluster_days as cluster_days
    inner join days on cluster_days.usage_date = days.usage_date
),

-- The date on the clocks decides; where they are put back, they may show it again after midnight.
bounds as (
    select
        cluster,
        min(starts_at) - interval 1 day as first_at,
        max(ends_at) + interval 1 day as last_at
    from windows
    group by cluster
),

submitted as (
    select
        cast(timezone(settings.reporting_time_zone, timezone('UTC', attempts.submitted_at)) as date) as usage_date,
        attempts.*,
        -- Of shares that only a node can weigh, what is not known is not nothing.
        cast(round(coalesce(attempts.accelerators_requested, nullif(attempts.accelerators, 0)) * 84000) as bigint)
        * attempts.array_tasks as requested_units,
        waiting.attempt_id is null and attempts.started_at is not null as has_started,
        coalesce(waiting.waits_until_at, attempts.started_at, attempts.ended_at) as waits_until_at
    from mart.attempts as attempts
    inner join bounds
        on attempts.cluster = bounds.cluster
        and attempts.submitted_at < bounds.last_at
        and attempts.submitted_at >= bounds.first_at
    cross join site.settings as settings
    left join core.waiting_attempts as waiting on attempts.attempt_id = waiting.attempt_id
    where not attempts.is_resize_follower and attempts.end_class <> 'revoked'
),

sized as (
    select
        submitted.*,
        case
            when submitted.requested_units = 0 then 0
            else submitted.requested_units * submitted.timelimit_minutes * 60
        end as requested_unit_seconds,
        -- How long it ran, where it ran and ended; else the time limit is the best guess of how long it would run.
        case
            when submitted.requested_units = 0 then 0
            when submitted.has_started and not submitted.is_open
                then submitted.requested_units * least(submitted.held_seconds, submitted.timelimit_minutes * 60)
            else submitted.requested_units * submitted.timelimit_minutes * 60
        end as submitted_unit_seconds
    from submitted
    inner join windows
        on submitted.cluster = windows.cluster
        and submitted.usage_date = windows.usage_date
        and submitted.submitted_at < windows.ends_at
    where submitted.waits_until_at is not null
),

waits as (
    select
        *,
        'submit' as wait_kind,
        greatest(0, seconds_between(submitted_at, waits_until_at)) as wait_seconds
    from sized
    union all
    -- What never became eligible, or has not yet, has no such wait.
    select
        *,
        'eligible' as wait_kind,
        greatest(0, seconds_between(greatest(eligible_at, submitted_at), waits_until_at)) as wait_seconds
    from sized
    where eligible_at is not null and (has_started or eligible_at <= waits_until_at)
)

select
    usage_date,
    cluster,
    coalesce(partition_name, '') as partition_name,
    team,
    workload_class,
    wait_kind,
    wait_seconds,
    has_started,
    cast(sum(job_count) as bigint) as job_count,
    cast(case when count(requested_unit_seconds) = count(*) then sum(requested_unit_seconds) end as bigint)
        as requested_unit_seconds,
    cast(case when count(submitted_unit_seconds) = count(*) then sum(submitted_unit_seconds) end as bigint)
        as submitted_unit_seconds
from waits
group by usage_date, cluster, coalesce(partition_name, ''), team, workload_class, wait_kind, wait_seconds, has_started
