-- Kaplan–Meier: at each wait at which somebody started, the share that goes on waiting is multiplied by 1 - started / at
-- risk; at risk are all who waited that long. A percentile p is the first wait at which no more than 1 - p go on waiting.
with grouped as (
    select
        usage_date,
        cluster,
        'partition' as grouped_by,
        partition_name,
        '' as team,
        '' as workload_class,
        wait_kind,
        wait_seconds,
        has_started,
        job_count,
        requested_unit_seconds
    from mart.queue_waits
    where usage_date in (select usage_date from days)
    union all
    select
        usage_date,
        cluster,
        'team' as grouped_by,
        '' as partition_name,
        team,
        workload_class,
        wait_kind,
        wait_seconds,
        has_started,
        job_count,
        requested_unit_seconds
    from mart.queue_waits
    where usage_date in (select usage_date from days)
),

weighted as (
    select
        *,
        'jobs' as weighting,
        job_count as weight,
        0 as unweighted
    from grouped
    where job_count > 0
    union all
    select
        *,
        'accelerator_hours' as weighting,
        coalesce(requested_unit_seconds, 0) as weight,
        case when requested_unit_seconds is null then 1 else 0 end as unweighted
    from grouped
    where requested_unit_seconds > 0 or requested_unit_seconds is null
),

times as (
    select
        usage_date,
        cluster,
        grouped_by,
        partition_name,
        team,
        workload_class,
        wait_kind,
        weighting,
        wait_seconds,
        sum(case when has_started then weight else 0 end) as started,
        sum(weight) as leaving,
        sum(unweighted) as unweighted
    from weighted
    group by
        usage_date, cluster, grouped_by, partition_name, team, workload_class, wait_kind, weighting, wait_seconds
),

risks as (
    select
        *,
        sum(leaving) over (
            partition by usage_date, cluster, grouped_by, partition_name, team, workload_class, wait_kind, weighting
            order by wait_seconds desc
            rows unbounded preceding
        ) as at_risk
    from times
),

-- The product as a sum of logarithms; -1000 stands for none left. Two shares differ by more than the 1e-10 allowed for
-- rounding, unless a thousand million weigh in.
curves as (
    select
        *,
        sum(
            case
                when started = 0 then 0
                when started = at_risk then -1000
                else ln(ratio(at_risk - started, at_risk))
            end
        ) over (
            partition by usage_date, cluster, grouped_by, partition_name, team, workload_class, wait_kind, weighting
            order by wait_seconds asc
            rows unbounded preceding
        ) - 1e-10 as log_survival
    from risks
)

select
    usage_date,
    cluster,
    grouped_by,
    partition_name,
    team,
    workload_class,
    wait_kind,
    weighting,
    cast(case when sum(unweighted) = 0 then min(case when log_survival <= ln(0.5) then wait_seconds end) end as double)
        as queue_p50_seconds,
    cast(case when sum(unweighted) = 0 then min(case when log_survival <= ln(0.1) then wait_seconds end) end as double)
        as queue_p90_seconds,
    cast(case when sum(unweighted) = 0 then min(case when log_survival <= ln(0.05) then wait_seconds end) end as double)
        as queue_p95_seconds,
    max(wait_seconds) as longest_wait_seconds
from curves
group by usage_date, cluster, grouped_by, partition_name, team, workload_class, wait_kind, weighting
