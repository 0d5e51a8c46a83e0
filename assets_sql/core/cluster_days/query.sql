-- Local midnights in UTC, so that days of 23 and 25 hours are right; the last day ends at as_of.
with days as (
    select
        cluster,
        reporting_time_zone,
        as_of_at,
        unnest(generate_series(
            cast(timezone(reporting_time_zone, timezone('UTC', first_at)) as date),
            cast(timezone(reporting_time_zone, timezone('UTC', as_of_at - interval 1 second)) as date),
            interval 1 day
        )) as day_at
    from core.clusters
    where as_of_at > first_at
),

bounded as (
    select
        cluster,
        as_of_at,
        cast(day_at as date) as usage_date,
        first_instant(day_at, reporting_time_zone) as starts_at,
        first_instant(day_at + interval 1 day, reporting_time_zone) as ends_at
    from days
)

select
    usage_date,
    cluster,
    starts_at,
    least(ends_at, as_of_at) as ends_at,
    as_of_at < ends_at as is_partial
from bounded
