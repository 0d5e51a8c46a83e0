-- Kaplan–Meier: at each wait at which somebody started, the share that goes on waiting is multiplied by 1 - started / at
-- risk; at risk are all who waited that long. A percentile p is the first wait at which no more than 1 - p go on waiting.
-- What is multiplied cancels out, except where somebody left without a start.
with queues as (
    select
        usage_date,
        cluster,
        partition_name,
        team,
        workload_class,
        wait_kind,
        cast(sum(job_count) as bigint) as jobs,
        cast(sum(coalesce(requested_unit_seconds, 0)) as bigint) as units,
        cast(sum(case when requested_unit_seconds is null then 1 else 0 end) as bigint) as unweighted,
        max(case when job_count > 0 then wait_seconds end) as longest_of_jobs,
        max(case when requested_unit_seconds is null or requested_unit_seconds > 0 then wait_seconds end)
            as longest_of_units
    from mart.queue_waits
    where usage_date in (select usage_date from days)
    group by usage_date, cluster, partition_name, team, workload_class, wait_kind
),

-- A number for each group that a queue is in: sorting by one is cheap.
memberships as (
    select
        *,
        dense_rank() over (
            order by usage_date, cluster, grouped_by, group_partition_name, group_team, group_class, wait_kind
        ) as group_id
    from (
        select
            *,
            'partition' as grouped_by,
            partition_name as group_partition_name,
            '' as group_team,
            '' as group_class
        from queues
        union all
        select
            *,
            'team' as grouped_by,
            '' as group_partition_name,
            team as group_team,
            workload_class as group_class
        from queues
        where wait_kind = 'eligible'
    ) as named
),

groups as (
    select
        group_id,
        usage_date,
        cluster,
        grouped_by,
        group_partition_name,
        group_team,
        group_class,
        wait_kind,
        cast(sum(jobs) as bigint) as jobs,
        cast(sum(units) as bigint) as units,
        sum(unweighted) as unweighted,
        max(longest_of_jobs) as longest_of_jobs,
        max(longest_of_units) as longest_of_units
    from memberships
    group by
        group_id, usage_date, cluster, grouped_by, group_partition_name, group_team, group_class, wait_kind
),

-- At one wait, who leaves without a start goes last: all of them were at risk.
gone as (
    select
        memberships.group_id,
        waits.wait_seconds,
        waits.has_started,
        waits.job_count as jobs,
        coalesce(waits.requested_unit_seconds, 0) as units,
        cast(sum(waits.job_count) over waited as bigint) as jobs_gone,
        cast(sum(coalesce(waits.requested_unit_seconds, 0)) over waited as bigint) as units_gone
    from mart.queue_waits as waits
    inner join memberships
        on waits.usage_date = memberships.usage_date
        and waits.cluster = memberships.cluster
        and waits.partition_name = memberships.partition_name
        and waits.team = memberships.team
        and waits.workload_class = memberships.workload_class
        and waits.wait_kind = memberships.wait_kind
    where waits.usage_date in (select usage_date from days)
    window waited as (
        partition by memberships.group_id
        order by waits.wait_seconds * 2 + case when waits.has_started then 0 else 1 end
        rows unbounded preceding
    )
),

-- From one that leaves without a start to the next, the product is the share of all that is not gone, times one factor.
-- The first stretch begins with nobody gone.
leavings as (
    select
        group_id,
        'jobs' as weighting,
        jobs as total,
        0 as gone,
        0 as amount
    from groups
    union all
    select
        group_id,
        'accelerator_hours' as weighting,
        units as total,
        0 as gone,
        0 as amount
    from groups
    union all
    select
        gone.group_id,
        'jobs' as weighting,
        groups.jobs as total,
        gone.jobs_gone as gone,
        gone.jobs as amount
    from gone
    inner join groups on gone.group_id = groups.group_id
    where not gone.has_started and gone.jobs > 0
    union all
    select
        gone.group_id,
        'accelerator_hours' as weighting,
        groups.units as total,
        gone.units_gone as gone,
        gone.units as amount
    from gone
    inner join groups on gone.group_id = groups.group_id
    where not gone.has_started and gone.units > 0
),

stretches as (
    select
        group_id,
        weighting,
        total,
        gone,
        lead(gone - amount, 1, total) over left_in_turn as gone_at_end,
        exp(sum(ln(ratio(total - gone + amount, total - gone))) over left_in_turn) * (1 - 1e-10) as factor
    from leavings
    window left_in_turn as (partition by group_id, weighting order by gone)
),

-- How much is gone where a percentile is reached. Two shares differ by more than the 1e-10 allowed for rounding, unless a
-- thousand million weigh in.
reached as (
    select
        group_id,
        min(case when is_jobs and share_at_end <= 0.5 then total * (1 - ratio(0.5, factor)) end) as jobs_p50,
        min(case when is_jobs and share_at_end <= 0.1 then total * (1 - ratio(0.1, factor)) end) as jobs_p90,
        min(case when is_jobs and share_at_end <= 0.05 then total * (1 - ratio(0.05, factor)) end) as jobs_p95,
        min(case when not is_jobs and share_at_end <= 0.5 then total * (1 - ratio(0.5, factor)) end) as units_p50,
        min(case when not is_jobs and share_at_end <= 0.1 then total * (1 - ratio(0.1, factor)) end) as units_p90,
        min(case when not is_jobs and share_at_end <= 0.05 then total * (1 - ratio(0.05, factor)) end) as units_p95
    from (
        select
            group_id,
            weighting = 'jobs' as is_jobs,
            total,
            factor,
            ratio(total - gone_at_end, total) * factor as share_at_end
        from stretches
        where gone < gone_at_end
    ) as shares
    group by group_id
),

percentiles as (
    select
        gone.group_id,
        min(case when gone.jobs_gone >= reached.jobs_p50 then gone.wait_seconds end) as jobs_p50,
        min(case when gone.jobs_gone >= reached.jobs_p90 then gone.wait_seconds end) as jobs_p90,
        min(case when gone.jobs_gone >= reached.jobs_p95 then gone.wait_seconds end) as jobs_p95,
        min(case when gone.units_gone >= reached.units_p50 then gone.wait_seconds end) as units_p50,
        min(case when gone.units_gone >= reached.units_p90 then gone.wait_seconds end) as units_p90,
        min(case when gone.units_gone >= reached.units_p95 then gone.wait_seconds end) as units_p95
    from gone
    inner join reached on gone.group_id = reached.group_id
    group by gone.group_id
)

select
    groups.usage_date,
    groups.cluster,
    groups.grouped_by,
    groups.group_partition_name as partition_name,
    groups.group_team as team,
    groups.group_class as workload_class,
    groups.wait_kind,
    'jobs' as weighting,
    cast(percentiles.jobs_p50 as double) as queue_p50_seconds,
    cast(percentiles.jobs_p90 as double) as queue_p90_seconds,
    cast(percentiles.jobs_p95 as double) as queue_p95_seconds,
    groups.longest_of_jobs as longest_wait_seconds
from groups
left join percentiles on groups.group_id = percentiles.group_id
where groups.longest_of_jobs is not null
union all
select
    groups.usage_date,
    groups.cluster,
    groups.grouped_by,
    groups.group_partition_name as partition_name,
    groups.group_team as team,
    groups.group_class as workload_class,
    groups.wait_kind,
    'accelerator_hours' as weighting,
    cast(case when groups.unweighted = 0 then percentiles.units_p50 end as double) as queue_p50_seconds,
    cast(case when groups.unweighted = 0 then percentiles.units_p90 end as double) as queue_p90_seconds,
    cast(case when groups.unweighted = 0 then percentiles.units_p95 end as double) as queue_p95_seconds,
    groups.longest_of_units as longest_wait_seconds
from groups
left join percentiles on groups.group_id = percentiles.group_id
where groups.longest_of_units is not null
