-- An hour that holds a local midnight (zones with half hours) is cut there.
with hours as (
    select
        usage_date,
        cluster,
        starts_at,
        ends_at,
        unnest(generate_series(
            date_trunc('hour', starts_at), ends_at - interval 1 second, interval 1 hour
        )) as hour_at
    from core.cluster_days
)

select
    usage_date,
    cluster,
    hour_at,
    greatest(starts_at, hour_at) as starts_at,
    least(ends_at, hour_at + interval 1 hour) as ends_at
from hours
