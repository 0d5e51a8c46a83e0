-- How the attempts ended that were submitted in the last four weeks, by cluster, and how far the last week is from the
-- three before it: half the sum of the differences of the shares of each way to end, 0 where they are alike, 1 where
-- they have nothing in common.
with recent as (
    select
        attempts.cluster,
        attempts.end_class,
        attempts.started_at is null as is_never_started,
        attempts.started_at = attempts.ended_at as is_zero_seconds,
        attempts.submitted_at >= clusters.as_of_at - interval 7 day as is_last_week
    from core.attempts as attempts
    inner join core.clusters as clusters on attempts.cluster = clusters.cluster
    where attempts.submitted_at >= clusters.as_of_at - interval 28 day and attempts.ended_at is not null
),

classes as (
    select
        cluster,
        end_class,
        count(*) as attempts,
        count(case when is_never_started then 1 end) as never_started,
        count(case when is_zero_seconds then 1 end) as zero_seconds,
        count(case when is_last_week then 1 end) as last_week,
        count(case when not is_last_week then 1 end) as before
    from recent
    group by cluster, end_class
),

shares as (
    select
        *,
        ratio(last_week, sum(last_week) over (partition by cluster)) as last_share,
        ratio(before, sum(before) over (partition by cluster)) as share_before
    from classes
)

select
    cluster,
    cast(sum(attempts) as bigint) as attempts,
    case when sum(attempts) >= 1000 then ratio(sum(never_started), sum(attempts)) end as never_started_rate,
    case when sum(attempts) >= 1000 then ratio(sum(zero_seconds), sum(attempts)) end as zero_seconds_rate,
    case
        when sum(attempts) >= 1000
            then ratio(sum(case when end_class = 'infra_failure' then attempts else 0 end), sum(attempts))
    end as infra_failure_rate,
    case
        when sum(last_week) >= 1000 and sum(before) >= 1000 then sum(abs(last_share - share_before)) * 0.5
    end as outcome_drift
from shares
group by cluster
