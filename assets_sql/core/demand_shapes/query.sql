-- What was requested on a day and in the 28 days before it.
with wanted as (
    select
        days.usage_date,
        days.cluster,
        requests.needed_units,
        requests.needed_cpus,
        min(requests.needed_memory_mib) as needed_memory_mib
    from core.cluster_days as days
    inner join core.daily_requests as requests
        on days.cluster = requests.cluster
        and requests.submit_day_at >= date_trunc('day', days.starts_at) - interval 28 day
        and requests.submit_day_at < days.ends_at
    group by days.usage_date, days.cluster, requests.needed_units, requests.needed_cpus
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
