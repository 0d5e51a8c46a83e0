-- severity: error
-- The held time of an attempt, summed over its hours, differs from its interval within the days that are accounted for.
with by_hours as (
    select
        attempt_id,
        cast(sum(held_unit_seconds) as bigint) as held_unit_seconds
    from mart.attempt_hours
    group by attempt_id
),

by_interval as (
    select
        nodes.attempt_id,
        cast(sum(nodes.accelerator_units * greatest(0, seconds_between(
            greatest(nodes.started_at, clusters.first_at),
            least(coalesce(nodes.ended_at, clusters.as_of_at), clusters.as_of_at)
        ))) as bigint) as held_unit_seconds
    from mart.attempt_nodes as nodes
    inner join core.clusters as clusters on nodes.cluster = clusters.cluster
    group by nodes.attempt_id
)

select
    by_interval.attempt_id,
    by_interval.held_unit_seconds,
    by_hours.held_unit_seconds as in_hours
from by_interval
full outer join by_hours on by_interval.attempt_id = by_hours.attempt_id
where coalesce(by_interval.held_unit_seconds, 0) <> coalesce(by_hours.held_unit_seconds, 0)
