with holders as (
    select
        attempts.*,
        coalesce(epochs.epoch_at, timestamp '1900-01-01') as epoch_at
    from attempts_in_scope as attempts
    left join core.epoch_days as epochs
        on attempts.cluster = epochs.cluster
        and date_trunc('day', attempts.started_at) = epochs.start_day_at
        and attempts.started_at >= epochs.valid_from_at
        and attempts.started_at < epochs.valid_to_at
    where attempts.started_at is not null and attempts.holds_accelerators
)

select
    holders.attempt_id,
    holders.cluster,
    placements.node,
    placements.accelerator_model,
    placements.accelerator_units,
    placements.split_inferred,
    node_share(holders.cpus, holders.nodes) as cpus_on_node,
    node_share(holders.memory_mib, holders.nodes) as memory_mib_on_node,
    holders.started_at,
    coalesce(holders.ended_at, runaways.ended_at) as ended_at
from holders
left join core.runaway_attempts as runaways on holders.attempt_id = runaways.attempt_id
inner join core.placements as placements
    on holders.cluster = placements.cluster
    and holders.allocated_tres = placements.allocated_tres
    and coalesce(holders.node_list, '') = placements.node_list
    and holders.epoch_at = placements.epoch_at
