-- What was submitted on a day and in the 28 days before it. A request over several nodes needs its smallest share on each;
-- what a request does not say, it does not need.
with requests as (
    select distinct
        cluster,
        date_trunc('day', submitted_at) as submit_day_at,
        requested_tres
    from core.attempts
    where requested_tres is not null and not is_resize_follower
),

counted as (
    select
        tres,
        cast(sum(case when share = '' then accelerators_counted else 0 end) as bigint) as whole
    from core.tres
    group by tres
),

shapes as (
    select distinct
        requests.cluster,
        requests.submit_day_at,
        greatest(1, counted.whole // tres_count(requests.requested_tres, 'node') * 84000) as needed_units,
        tres_count(requests.requested_tres, 'cpu') // tres_count(requests.requested_tres, 'node')
            as needed_cpus,
        coalesce(tres_memory_mib(requests.requested_tres), 0) // tres_count(requests.requested_tres, 'node')
            as needed_memory_mib
    from requests
    inner join counted on requests.requested_tres = counted.tres
    where tres_count(requests.requested_tres, 'node') > 0
),

wanted as (
    select
        days.usage_date,
        days.cluster,
        shapes.needed_units,
        shapes.needed_cpus,
        min(shapes.needed_memory_mib) as needed_memory_mib
    from core.cluster_days as days
    inner join shapes
        on days.cluster = shapes.cluster
        and shapes.submit_day_at >= date_trunc('day', days.starts_at) - interval 28 day
        and shapes.submit_day_at < days.ends_at
    group by days.usage_date, days.cluster, shapes.needed_units, shapes.needed_cpus
),

-- Among shapes of as many accelerators, one with more CPUs matters only if it needs less memory than all with fewer.
compared as (
    select
        *,
        min(needed_memory_mib) over (
            partition by usage_date, cluster, needed_units
            order by needed_cpus rows between unbounded preceding and 1 preceding
        ) as least_memory_before
    from wanted
)

select
    usage_date,
    cluster,
    needed_units,
    needed_cpus,
    needed_memory_mib
from compared
where least_memory_before is null or needed_memory_mib < least_memory_before
