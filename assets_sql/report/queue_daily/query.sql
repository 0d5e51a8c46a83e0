with submitted as (
    select
        usage_date,
        cluster,
        partition_name,
        cast(sum(job_count) as bigint) as jobs_submitted,
        cast(case when count(submitted_unit_seconds) = count(*) then sum(submitted_unit_seconds) end as bigint)
            as submitted_unit_seconds
    from mart.queue_waits
    where wait_kind = 'submit' and usage_date in (select usage_date from days)
    group by usage_date, cluster, partition_name
),

percentiles as (
    select
        usage_date,
        cluster,
        partition_name,
        max(case when wait_kind = 'eligible' and weighting = 'jobs' then queue_p50_seconds end) as eligible_p50,
        max(case when wait_kind = 'eligible' and weighting = 'jobs' then queue_p90_seconds end) as eligible_p90,
        max(case when wait_kind = 'eligible' and weighting = 'jobs' then queue_p95_seconds end) as eligible_p95,
        max(case when wait_kind = 'eligible' and weighting = 'jobs' then longest_wait_seconds end) as eligible_longest,
        max(case when wait_kind = 'submit' and weighting = 'jobs' then queue_p50_seconds end) as submit_p50,
        max(case when wait_kind = 'submit' and weighting = 'jobs' then queue_p90_seconds end) as submit_p90,
        max(case when wait_kind = 'submit' and weighting = 'jobs' then queue_p95_seconds end) as submit_p95,
        max(case when wait_kind = 'submit' and weighting = 'jobs' then longest_wait_seconds end) as submit_longest,
        max(case when wait_kind = 'eligible' and weighting <> 'jobs' then queue_p50_seconds end) as weighted_eligible_p50,
        max(case when wait_kind = 'eligible' and weighting <> 'jobs' then queue_p90_seconds end) as weighted_eligible_p90,
        max(case when wait_kind = 'eligible' and weighting <> 'jobs' then queue_p95_seconds end) as weighted_eligible_p95,
        max(case when wait_kind = 'submit' and weighting <> 'jobs' then queue_p50_seconds end) as weighted_submit_p50,
        max(case when wait_kind = 'submit' and weighting <> 'jobs' then queue_p90_seconds end) as weighted_submit_p90,
        max(case when wait_kind = 'submit' and weighting <> 'jobs' then queue_p95_seconds end) as weighted_submit_p95
    from mart.queue_percentiles_daily
    where grouped_by = 'partition' and usage_date in (select usage_date from days)
    group by usage_date, cluster, partition_name
),

-- The date on the clocks decides; where they are put back, they may show it again after midnight.
bounds as (
    select
        cluster_days.cluster,
        min(cluster_days.usage_date) as first_date,
        max(cluster_days.usage_date) as last_date,
        min(cluster_days.starts_at) - interval 1 day as first_at,
        max(cluster_days.ends_at) + interval 1 day as last_at
    from core.cluster_days as cluster_days
    inner join days on cluster_days.usage_date = days.usage_date
    group by cluster_days.cluster
),

-- Who waited in these days has not ended before them. What has no end is read apart, so that an engine can leave out what
-- it stores of other times.
present as (
    select
        attempts.*,
        bounds.first_date,
        bounds.last_date
    from mart.attempts as attempts
    inner join bounds
        on attempts.cluster = bounds.cluster
        and attempts.submitted_at < bounds.last_at
        and attempts.ended_at >= bounds.first_at
    union all
    select
        attempts.*,
        bounds.first_date,
        bounds.last_date
    from mart.attempts as attempts
    inner join bounds on attempts.cluster = bounds.cluster and attempts.submitted_at < bounds.last_at
    where attempts.ended_at is null
),

-- Whatever happened after as_of has not happened yet.
waits as (
    select
        attempts.cluster,
        coalesce(attempts.partition_name, '') as partition_name,
        attempts.job_count,
        attempts.first_date,
        attempts.last_date,
        attempts.is_waiting,
        not attempts.is_waiting and attempts.started_at is not null as has_started,
        cast(timezone(settings.reporting_time_zone, timezone('UTC', attempts.submitted_at)) as date) as submit_date,
        cast(timezone(
            settings.reporting_time_zone, timezone('UTC', coalesce(attempts.started_at, attempts.ended_at))
        ) as date) as end_date
    from (
        select
            *,
            attempt_id in (select waiting.attempt_id from core.waiting_attempts as waiting) as is_waiting
        from present
    ) as attempts
    cross join site.settings as settings
    where attempts.job_count > 0 and not attempts.is_resize_follower and attempts.end_class <> 'revoked'
),

-- Who waits through a midnight is among the waiting at the end of each day before the one on which the wait ended.
waiting_days as (
    select
        cluster,
        partition_name,
        job_count,
        cast(unnest(generate_series(
            greatest(submit_date, first_date),
            case when is_waiting then last_date else least(end_date - 1, last_date) end,
            interval 1 day
        )) as date) as usage_date
    from waits
    where is_waiting or end_date > submit_date
),

happened as (
    select
        end_date as usage_date,
        cluster,
        partition_name,
        case when has_started then job_count else 0 end as started,
        case when has_started then 0 else job_count end as cancelled,
        0 as waiting
    from waits
    where not is_waiting
    union all
    select
        usage_date,
        cluster,
        partition_name,
        0 as started,
        0 as cancelled,
        job_count as waiting
    from waiting_days
),

-- Summed before the days are looked up.
sums as (
    select
        usage_date,
        cluster,
        partition_name,
        cast(sum(started) as bigint) as jobs_started,
        cast(sum(cancelled) as bigint) as jobs_cancelled_before_start,
        cast(sum(waiting) as bigint) as jobs_waiting
    from happened
    group by usage_date, cluster, partition_name
),

events as (
    select sums.*
    from sums
    inner join days on sums.usage_date = days.usage_date
    inner join core.cluster_days as cluster_days
        on sums.usage_date = cluster_days.usage_date and sums.cluster = cluster_days.cluster
),

pending as (
    select
        usage_date,
        cluster,
        partition_name,
        cast(sum(pending_unit_seconds) as bigint) as pending_unit_seconds,
        cast(sum(case when reason_class = 'capacity' then pending_unit_seconds else 0 end) as bigint) as capacity,
        cast(sum(case when reason_class = 'policy' then pending_unit_seconds else 0 end) as bigint) as policy,
        cast(sum(case when reason_class = 'user' then pending_unit_seconds else 0 end) as bigint) as by_user,
        cast(sum(case when reason_class = 'admin' then pending_unit_seconds else 0 end) as bigint) as admin,
        cast(sum(case when reason_class in ('other', 'unknown') then pending_unit_seconds else 0 end) as bigint)
            as not_known
    from mart.queue_hourly
    where usage_date in (select usage_date from days)
    group by usage_date, cluster, partition_name
),

covered as (
    select
        usage_date,
        cluster,
        sum(snapshot_seconds) as snapshot_seconds,
        sum(accounted_seconds) as accounted_seconds
    from mart.demand_hourly
    where usage_date in (select usage_date from days)
    group by usage_date, cluster
),

partitions as (
    select
        usage_date,
        cluster,
        partition_name
    from submitted
    union
    select
        usage_date,
        cluster,
        partition_name
    from events
    union
    select
        usage_date,
        cluster,
        partition_name
    from pending
)

select
    partitions.usage_date,
    partitions.cluster,
    partitions.partition_name,
    coalesce(submitted.jobs_submitted, 0) as jobs_submitted,
    coalesce(events.jobs_started, 0) as jobs_started,
    coalesce(events.jobs_cancelled_before_start, 0) as jobs_cancelled_before_start,
    coalesce(events.jobs_waiting, 0) as jobs_waiting,
    case
        when submitted.usage_date is null then unit_hours(0)
        else unit_hours(submitted.submitted_unit_seconds)
    end as submitted_accelerator_hours,
    percentiles.eligible_p50 as wait_eligible_p50_seconds,
    percentiles.eligible_p90 as wait_eligible_p90_seconds,
    percentiles.eligible_p95 as wait_eligible_p95_seconds,
    percentiles.eligible_longest as wait_eligible_longest_seconds,
    percentiles.submit_p50 as wait_submit_p50_seconds,
    percentiles.submit_p90 as wait_submit_p90_seconds,
    percentiles.submit_p95 as wait_submit_p95_seconds,
    percentiles.submit_longest as wait_submit_longest_seconds,
    percentiles.weighted_eligible_p50 as weighted_wait_eligible_p50_seconds,
    percentiles.weighted_eligible_p90 as weighted_wait_eligible_p90_seconds,
    percentiles.weighted_eligible_p95 as weighted_wait_eligible_p95_seconds,
    percentiles.weighted_submit_p50 as weighted_wait_submit_p50_seconds,
    percentiles.weighted_submit_p90 as weighted_wait_submit_p90_seconds,
    percentiles.weighted_submit_p95 as weighted_wait_submit_p95_seconds,
    unit_hours(coalesce(pending.pending_unit_seconds, 0)) as pending_accelerator_hours,
    case when covered.snapshot_seconds > 0 then unit_hours(coalesce(pending.capacity, 0)) end as pending_capacity_hours,
    case when covered.snapshot_seconds > 0 then unit_hours(coalesce(pending.policy, 0)) end as pending_policy_hours,
    case when covered.snapshot_seconds > 0 then unit_hours(coalesce(pending.by_user, 0)) end as pending_user_hours,
    case when covered.snapshot_seconds > 0 then unit_hours(coalesce(pending.admin, 0)) end as pending_admin_hours,
    case when covered.snapshot_seconds > 0 then unit_hours(coalesce(pending.not_known, 0)) end as pending_unknown_hours,
    ratio(covered.snapshot_seconds, covered.accounted_seconds) as queue_coverage,
    coalesce(pending.pending_unit_seconds, 0) as pending_unit_seconds,
    day_trust.trust
from partitions
left join submitted
    on partitions.usage_date = submitted.usage_date
    and partitions.cluster = submitted.cluster
    and partitions.partition_name = submitted.partition_name
left join percentiles
    on partitions.usage_date = percentiles.usage_date
    and partitions.cluster = percentiles.cluster
    and partitions.partition_name = percentiles.partition_name
left join events
    on partitions.usage_date = events.usage_date
    and partitions.cluster = events.cluster
    and partitions.partition_name = events.partition_name
left join pending
    on partitions.usage_date = pending.usage_date
    and partitions.cluster = pending.cluster
    and partitions.partition_name = pending.partition_name
left join covered
    on partitions.usage_date = covered.usage_date and partitions.cluster = covered.cluster
left join core.day_trust as day_trust
    on partitions.usage_date = day_trust.usage_date and partitions.cluster = day_trust.cluster
