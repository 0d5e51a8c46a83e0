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
        windows.cluster,
        min(windows.starts_at) - interval 1 day as first_at,
        max(windows.ends_at) + interval 1 day as last_at,
        max(waiting.waits_until_at) as as_of_at
    from windows
    -- Whoever still waits does so at the as_of of the cluster.
    left join (
        select
            cluster,
            max(waits_until_at) as waits_until_at
        from core.waiting_attempts
        group by cluster
    ) as waiting on windows.cluster = waiting.cluster
    group by windows.cluster
),

submitted as (
    select
        cast(timezone(settings.reporting_time_zone, timezone('UTC', attempts.submitted_at)) as date) as usage_date,
        attempts.*,
        -- Of shares that only a node can weigh, what is not known is not nothing.
        cast(round(coalesce(attempts.accelerators_requested, nullif(attempts.accelerators, 0)) * 84000) as bigint)
        * attempts.array_tasks as requested_units,
        not attempts.is_waiting and attempts.started_at is not null as has_started,
        case
            when attempts.is_waiting then bounds.as_of_at
            else coalesce(attempts.started_at, attempts.ended_at)
        end as waits_until_at
    from (
        select
            *,
            attempt_id in (select waiting.attempt_id from core.waiting_attempts as waiting) as is_waiting
        from mart.attempts
        where not is_resize_follower and end_class <> 'revoked'
    ) as attempts
    inner join bounds
        on attempts.cluster = bounds.cluster
        and attempts.submitted_at < bounds.last_at
        and attempts.submitted_at >= bounds.first_at
    cross join site.settings as settings
),

sized as (
    select
        submitted.usage_date,
        submitted.cluster,
        coalesce(submitted.partition_name, '') as partition_name,
        submitted.team,
        submitted.workload_class,
        submitted.job_count,
        submitted.has_started,
        greatest(0, seconds_between(submitted.submitted_at, submitted.waits_until_at)) as submit_seconds,
        -- What never became eligible, or has not yet, has no such wait.
        case
            when submitted.eligible_at is not null
                and (submitted.has_started or submitted.eligible_at <= submitted.waits_until_at)
                then greatest(0, seconds_between(
                    greatest(submitted.eligible_at, submitted.submitted_at), submitted.waits_until_at
                ))
        end as eligible_seconds,
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
        sized.*,
        kinds.wait_kind,
        case when kinds.wait_kind = 'submit' then sized.submit_seconds else sized.eligible_seconds end as wait_seconds
    from sized
    cross join (values ('submit'), ('eligible')) as kinds (wait_kind)
)

select
    usage_date,
    cluster,
    partition_name,
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
where wait_seconds is not null
group by usage_date, cluster, partition_name, team, workload_class, wait_kind, wait_seconds, has_started
