-- severity: error
-- What was held of a node's model on a day, summed over hours, differs from the intervals of the attempts, cut to the day.
with windows as (
    select
        cluster_days.usage_date,
        cluster_days.cluster,
        cluster_days.starts_at,
        cluster_days.ends_at
    from core.cluster_days as cluster_days
    inner join days on cluster_days.usage_date = days.usage_date
),

bounds as (
    select
        cluster,
        min(starts_at) as first_at,
        max(ends_at) as last_at
    from windows
    group by cluster
),

-- Days of another zone are cut at UTC's midnights, so that dates find them.
dated as (
    select
        *,
        unnest(generate_series(
            date_trunc('day', starts_at), ends_at - interval 1 second, interval 1 day
        )) as date_at
    from windows
),

ends as (
    select
        cluster,
        node,
        accelerator_model,
        accelerator_units,
        started_at,
        ended_at
    from mart.attempt_nodes
    where ended_at is not null
    union all
    select
        cluster,
        node,
        accelerator_model,
        accelerator_units,
        started_at,
        timestamp '9999-01-01' as ended_at
    from mart.attempt_nodes
    where ended_at is null
),

held as (
    select
        ends.cluster,
        ends.node,
        ends.accelerator_model,
        ends.accelerator_units,
        greatest(ends.started_at, bounds.first_at) as starts_at,
        least(ends.ended_at, bounds.last_at) as ends_at
    from ends
    inner join bounds
        on ends.cluster = bounds.cluster and ends.started_at < bounds.last_at and ends.ended_at > bounds.first_at
),

held_dates as (
    select
        *,
        unnest(generate_series(
            date_trunc('day', starts_at), ends_at - interval 1 second, interval 1 day
        )) as date_at
    from held
),

by_interval as (
    select
        dated.usage_date,
        held.cluster,
        held.node,
        held.accelerator_model,
        cast(sum(held.accelerator_units * greatest(0, seconds_between(
            greatest(held.starts_at, dated.starts_at, dated.date_at),
            least(held.ends_at, dated.ends_at, dated.date_at + interval 1 day)
        ))) as bigint) as held_unit_seconds
    from held_dates as held
    inner join dated on held.cluster = dated.cluster and held.date_at = dated.date_at
    group by dated.usage_date, held.cluster, held.node, held.accelerator_model
),

by_hours as (
    select
        usage_date,
        cluster,
        node,
        accelerator_model,
        cast(sum(held_unit_seconds) as bigint) as held_unit_seconds
    from mart.attempt_hours
    where usage_date in (select usage_date from days)
    group by usage_date, cluster, node, accelerator_model
)

select
    coalesce(by_interval.usage_date, by_hours.usage_date) as usage_date,
    coalesce(by_interval.cluster, by_hours.cluster) as cluster,
    coalesce(by_interval.node, by_hours.node) as node,
    coalesce(by_interval.accelerator_model, by_hours.accelerator_model) as accelerator_model,
    by_interval.held_unit_seconds,
    by_hours.held_unit_seconds as in_hours
from by_interval
full outer join by_hours
    on by_interval.usage_date = by_hours.usage_date
    and by_interval.cluster = by_hours.cluster
    and by_interval.node = by_hours.node
    and by_interval.accelerator_model = by_hours.accelerator_model
where coalesce(by_interval.held_unit_seconds, 0) <> coalesce(by_hours.held_unit_seconds, 0)
