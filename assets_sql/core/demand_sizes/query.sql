-- What was requested on a day and in the 28 days before it, by how many accelerators it needs on one node.
with sizes as (
    select
        days.usage_date,
        days.cluster,
        requests.needed_units,
        cast(sum(requests.requests) as bigint) as size_requests
    from core.cluster_days as days
    inner join core.daily_requests as requests
        on days.cluster = requests.cluster
        and requests.submit_day_at >= date_trunc('day', days.starts_at) - interval 28 day
        and requests.submit_day_at < days.ends_at
    group by days.usage_date, days.cluster, requests.needed_units
)

select
    usage_date,
    cluster,
    needed_units,
    size_requests,
    cast(sum(size_requests) over (partition by usage_date, cluster) as bigint) as all_requests
from sizes
