-- Requests submitted on a day and in the 28 days before it, by what they need on one node; an array is as many as its tasks.
with counted as (
    select
        tres,
        cast(sum(case when share = '' then accelerators_counted else 0 end) as bigint) as whole
    from core.tres
    group by tres
),

submitted as (
    select
        attempts.cluster,
        date_trunc('day', attempts.submitted_at) as submit_day_at,
        greatest(1, counted.whole // tres_count(attempts.requested_tres, 'node') * 84000) as needed_units,
        cast(sum(attempts.array_tasks) as bigint) as requests
    from core.attempts as attempts
    inner join counted on attempts.requested_tres = counted.tres
    where not attempts.is_resize_follower and tres_count(attempts.requested_tres, 'node') > 0
    group by
        attempts.cluster,
        date_trunc('day', attempts.submitted_at),
        greatest(1, counted.whole // tres_count(attempts.requested_tres, 'node') * 84000)
),

sizes as (
    select
        days.usage_date,
        days.cluster,
        submitted.needed_units,
        cast(sum(submitted.requests) as bigint) as size_requests
    from core.cluster_days as days
    inner join submitted
        on days.cluster = submitted.cluster
        and submitted.submit_day_at >= date_trunc('day', days.starts_at) - interval 28 day
        and submitted.submit_day_at < days.ends_at
    group by days.usage_date, days.cluster, submitted.needed_units
)

select
    usage_date,
    cluster,
    needed_units,
    size_requests,
    cast(sum(size_requests) over (partition by usage_date, cluster) as bigint) as all_requests
from sizes
