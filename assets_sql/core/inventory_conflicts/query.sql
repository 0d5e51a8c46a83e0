-- Where the inventory and the scheduler's newest snapshot disagree about a node. The inventory rules; this says so.
with in_service as (
    select
        inventory.cluster,
        inventory.node,
        inventory.accelerator_model,
        cast(sum(inventory.installed_accelerators) as bigint) as installed_accelerators
    from core.inventory as inventory
    inner join core.clusters as clusters on inventory.cluster = clusters.cluster
    where not inventory.is_inferred
        and inventory.in_service_at < clusters.as_of_at
        and coalesce(inventory.retired_at, timestamp '9999-01-01') >= clusters.as_of_at
    group by inventory.cluster, inventory.node, inventory.accelerator_model
),

-- An untyped count is compared with the node's total, as the scheduler does not know the model.
untyped_nodes as (
    select distinct
        cluster,
        node
    from core.node_snapshots
    where accelerator_model = 'unknown'
),

ours as (
    select
        in_service.cluster,
        in_service.node,
        case when untyped_nodes.node is null then in_service.accelerator_model else 'unknown' end as accelerator_model,
        cast(sum(in_service.installed_accelerators) as bigint) as installed_accelerators
    from in_service
    left join untyped_nodes on in_service.cluster = untyped_nodes.cluster and in_service.node = untyped_nodes.node
    group by
        in_service.cluster,
        in_service.node,
        case when untyped_nodes.node is null then in_service.accelerator_model else 'unknown' end
),

theirs as (
    select
        snapshots.cluster,
        snapshots.node,
        case when untyped_nodes.node is null then snapshots.accelerator_model else 'unknown' end as accelerator_model,
        cast(sum(snapshots.installed_accelerators) as bigint) as installed_accelerators
    from core.node_snapshots as snapshots
    left join untyped_nodes on snapshots.cluster = untyped_nodes.cluster and snapshots.node = untyped_nodes.node
    group by
        snapshots.cluster,
        snapshots.node,
        case when untyped_nodes.node is null then snapshots.accelerator_model else 'unknown' end
),

snapshot_clusters as (
    select distinct cluster from core.node_snapshots
),

inventory_clusters as (
    select distinct cluster from core.inventory where not is_inferred
)

select
    coalesce(ours.cluster, theirs.cluster) as cluster,
    coalesce(ours.node, theirs.node) as node,
    coalesce(ours.accelerator_model, theirs.accelerator_model) as accelerator_model,
    coalesce(ours.installed_accelerators, 0) as inventory_accelerators,
    coalesce(theirs.installed_accelerators, 0) as scheduler_accelerators
from ours
full outer join theirs
    on ours.cluster = theirs.cluster and ours.node = theirs.node and ours.accelerator_model = theirs.accelerator_model
where coalesce(ours.installed_accelerators, 0) <> coalesce(theirs.installed_accelerators, 0)
    and coalesce(ours.cluster, theirs.cluster) in (select cluster from snapshot_clusters)
    and coalesce(ours.cluster, theirs.cluster) in (select cluster from inventory_clusters)
