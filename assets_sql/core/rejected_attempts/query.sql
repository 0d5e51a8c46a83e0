-- Valued by count, as nobody says what one of them is worth.
with rejected_shapes as (
    select
        cluster,
        allocated_tres,
        node_list,
        epoch_at,
        min(reject_reason) as reject_reason
    from core.share_placements
    where reject_reason is not null
    group by cluster, allocated_tres, node_list, epoch_at
),

counted as (
    select
        tres,
        cast(sum(accelerators_counted) as bigint) as accelerators_counted
    from core.tres
    group by tres
)

select
    attempts.attempt_id,
    attempts.cluster,
    shapes.reject_reason,
    attempts.node_list,
    attempts.allocated_tres,
    attempts.started_at,
    coalesce(attempts.ended_at, runaways.ended_at) as ended_at,
    counted.accelerators_counted * greatest(0, seconds_between(
        attempts.started_at,
        least(coalesce(attempts.ended_at, runaways.ended_at, clusters.as_of_at), clusters.as_of_at)
    )) as accelerator_seconds_counted,
    attempts.source_file,
    attempts.source_line
from attempts_in_scope as attempts
inner join core.clusters as clusters on attempts.cluster = clusters.cluster
left join core.epoch_days as epochs
    on attempts.cluster = epochs.cluster
    and date_trunc('day', attempts.started_at) = epochs.start_day_at
    and attempts.started_at >= epochs.valid_from_at
    and attempts.started_at < epochs.valid_to_at
inner join rejected_shapes as shapes
    on attempts.cluster = shapes.cluster
    and attempts.allocated_tres = shapes.allocated_tres
    and coalesce(attempts.node_list, '') = shapes.node_list
    and coalesce(epochs.epoch_at, timestamp '1900-01-01') = shapes.epoch_at
left join core.runaway_attempts as runaways on attempts.attempt_id = runaways.attempt_id
inner join counted on attempts.allocated_tres = counted.tres
where attempts.started_at is not null
