select
    usage_date,
    count(*) as hours,
    100 * sum(seconds_between(starts_at, ends_at)) // 3600 as hours_of_100_accelerators
from result
group by usage_date
