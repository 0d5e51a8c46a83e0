-- Kaplan–Meier: at each wait at which somebody started, the share that goes on waiting is multiplied by 1 - started / at
-- risk; at risk are all who waited that long. A percentile p is the first wait at which no more than 1 - p go on waiting.
with waits as (
    select *
    from mart.queue_waits
    where usage_date in (select usage_date from days)
),

times as (
    select
        usage_date,
        cluster,
        'partition' as grouped_by,
        partition_name,
        '' as team,
        '' as workload_class,
        wait_kind,
        wait_seconds,
        cast(sum(job_count) as bigint) as jobs,
        cast(sum(case when has_started then job_count else 0 end) as bigint) as jobs_started,
        cast(sum(coalesce(requested_unit_seconds, 0)) as bigint) as units,
        cast(sum(case when has_started then coalesce(requested_unit_seconds, 0) else 0 end) as bigint) as units_started,
        cast(sum(case when requested_unit_seconds is null then 1 else 0 end) as bigint) as unweighted
    from waits
    group by usage_date, cluster, partition_name, wait_kind, wait_seconds
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
        cast(sum(job_count) as bigint) as jobs,
        cast(sum(case when has_started then job_count else 0 end) as bigint) as jobs_started,
        cast(sum(coalesce(requested_unit_seconds, 0)) as bigint) as units,
        cast(sum(case when has_started then coalesce(requested_unit_seconds, 0) else 0 end) as bigint) as units_started,
        cast(sum(case when requested_unit_seconds is null then 1 else 0 end) as bigint) as unweighted
    from waits
    where wait_kind = 'eligible'
    group by usage_date, cluster, team, workload_class, wait_kind, wait_seconds
),

-- A number for each group: sorting by one is cheap.
groups as (
    select
        row_number() over (
            order by usage_date, cluster, grouped_by, partition_name, team, workload_class, wait_kind
        ) as group_id,
        *
    from (
        select
            usage_date,
            cluster,
            grouped_by,
            partition_name,
            team,
            workload_class,
            wait_kind,
            cast(sum(jobs) as bigint) as all_jobs,
            cast(sum(units) as bigint) as all_units
        from times
        group by usage_date, cluster, grouped_by, partition_name, team, workload_class, wait_kind
    ) as sums
),

risks as (
    select
        groups.group_id,
        times.wait_seconds,
        times.jobs,
        times.units,
        times.unweighted,
        times.jobs_started,
        times.units_started,
        groups.all_jobs + times.jobs - sum(times.jobs) over waited as jobs_at_risk,
        groups.all_units + times.units - sum(times.units) over waited as units_at_risk
    from times
    inner join groups
        on times.usage_date = groups.usage_date
        and times.cluster = groups.cluster
        and times.grouped_by = groups.grouped_by
        and times.partition_name = groups.partition_name
        and times.team = groups.team
        and times.workload_class = groups.workload_class
        and times.wait_kind = groups.wait_kind
    window waited as (partition by groups.group_id order by times.wait_seconds rows unbounded preceding)
),

-- The product as a sum of logarithms; -1000 stands for none left. Two shares differ by more than the 1e-10 allowed for
-- rounding, unless a thousand million weigh in.
curves as (
    select
        group_id,
        wait_seconds,
        jobs,
        units,
        unweighted,
        sum(
            case
                when jobs_started = 0 then 0
                when jobs_started = jobs_at_risk then -1000
                else ln(ratio(jobs_at_risk - jobs_started, jobs_at_risk))
            end
        ) over waited - 1e-10 as log_jobs,
        sum(
            case
                when units_started = 0 then 0
                when units_started = units_at_risk then -1000
                else ln(ratio(units_at_risk - units_started, units_at_risk))
            end
        ) over waited - 1e-10 as log_units
    from risks
    window waited as (partition by group_id order by wait_seconds rows unbounded preceding)
),

percentiles as (
    select
        group_id,
        'jobs' as weighting,
        min(case when log_jobs <= ln(0.5) then wait_seconds end) as p50,
        min(case when log_jobs <= ln(0.1) then wait_seconds end) as p90,
        min(case when log_jobs <= ln(0.05) then wait_seconds end) as p95,
        max(case when jobs > 0 then wait_seconds end) as longest_wait_seconds
    from curves
    group by group_id
    union all
    select
        group_id,
        'accelerator_hours' as weighting,
        case when sum(unweighted) = 0 then min(case when log_units <= ln(0.5) then wait_seconds end) end as p50,
        case when sum(unweighted) = 0 then min(case when log_units <= ln(0.1) then wait_seconds end) end as p90,
        case when sum(unweighted) = 0 then min(case when log_units <= ln(0.05) then wait_seconds end) end as p95,
        max(case when units > 0 or unweighted > 0 then wait_seconds end) as longest_wait_seconds
    from curves
    group by group_id
)

select
    groups.usage_date,
    groups.cluster,
    groups.grouped_by,
    groups.partition_name,
    groups.team,
    groups.workload_class,
    groups.wait_kind,
    percentiles.weighting,
    cast(percentiles.p50 as double) as queue_p50_seconds,
    cast(percentiles.p90 as double) as queue_p90_seconds,
    cast(percentiles.p95 as double) as queue_p95_seconds,
    percentiles.longest_wait_seconds
from percentiles
inner join groups on percentiles.group_id = groups.group_id
where percentiles.longest_wait_seconds is not null
