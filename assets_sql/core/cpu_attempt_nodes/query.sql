with accelerator_nodes as (
    select distinct
        cluster,
        node
    from core.node_capacity
    where installed_units > 0
),

-- Only distinct lists are joined with the nodes, so that most attempts are never expanded.
lists as (
    select
        accelerator_nodes.cluster,
        hostlists.node_list,
        hostlists.node
    from core.hostlists as hostlists
    inner join accelerator_nodes on hostlists.node = accelerator_nodes.node
)

select
    attempts.attempt_id,
    attempts.cluster,
    lists.node,
    node_share(attempts.cpus, attempts.nodes) as cpus_on_node,
    node_share(attempts.memory_mib, attempts.nodes) as memory_mib_on_node,
    attempts.started_at,
    coalesce(attempts.ended_at, runaways.ended_at) as ended_at
from attempts_in_scope as attempts
inner join lists on attempts.cluster = lists.cluster and attempts.node_list = lists.node_list
left join core.runaway_attempts as runaways on attempts.attempt_id = runaways.attempt_id
left join core.rejected_attempts as rejected on attempts.attempt_id = rejected.attempt_id
where attempts.started_at is not null and (not attempts.holds_accelerators or rejected.attempt_id is not null)
