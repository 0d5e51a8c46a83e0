-- Where the inventory and the scheduler disagree about a node, or the inventory names one node twice. The inventory
-- rules; this says so.
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
),

-- count: the scheduler's newest snapshot shows another number.
counts as (
    select
        coalesce(ours.cluster, theirs.cluster) as cluster,
        coalesce(ours.node, theirs.node) as node,
        coalesce(ours.accelerator_model, theirs.accelerator_model) as accelerator_model,
        coalesce(ours.installed_accelerators, 0) as inventory_accelerators,
        coalesce(theirs.installed_accelerators, 0) as scheduler_accelerators
    from ours
    full outer join theirs
        on ours.cluster = theirs.cluster
        and ours.node = theirs.node
        and ours.accelerator_model = theirs.accelerator_model
    where coalesce(ours.installed_accelerators, 0) <> coalesce(theirs.installed_accelerators, 0)
        and coalesce(ours.cluster, theirs.cluster) in (select cluster from snapshot_clusters)
        and coalesce(ours.cluster, theirs.cluster) in (select cluster from inventory_clusters)
),

-- allocated_model: attempts held a model that the inventory has at no time on any of their nodes.
shapes as (
    select distinct
        cluster,
        allocated_tres,
        node_list
    from core.allocation_shapes
    where node_list <> ''
),

allocated as (
    select
        shapes.cluster,
        shapes.node_list,
        hostlists.node,
        coalesce(aliases.accelerator_model, tres.device_type) as accelerator_model,
        cast(max(tres.accelerators_counted) as bigint) as allocated_accelerators
    from shapes
    inner join core.tres as tres on shapes.allocated_tres = tres.tres
    inner join core.hostlists as hostlists on shapes.node_list = hostlists.node_list
    left join site.accelerators as aliases on tres.device_type = aliases.alias
    where tres.device_type <> '' and tres.gres_name = 'gpu'
    group by
        shapes.cluster,
        shapes.node_list,
        hostlists.node,
        coalesce(aliases.accelerator_model, tres.device_type)
),

declared_models as (
    select
        cluster,
        node,
        accelerator_model,
        max(installed_accelerators) as installed_accelerators
    from core.inventory
    where not is_inferred and installed_accelerators > 0
    group by cluster, node, accelerator_model
),

declared_nodes as (
    select
        cluster,
        node,
        string_agg(
            cast(installed_accelerators as varchar) || ' ' || accelerator_model, ', ' order by accelerator_model
        ) as declared
    from declared_models
    group by cluster, node
),

understood as (
    select distinct
        allocated.cluster,
        allocated.node_list,
        allocated.accelerator_model
    from allocated
    inner join declared_models
        on allocated.cluster = declared_models.cluster
        and allocated.node = declared_models.node
        and allocated.accelerator_model = declared_models.accelerator_model
),

other_models as (
    select
        allocated.cluster,
        allocated.node,
        allocated.accelerator_model,
        max(allocated.allocated_accelerators) as scheduler_accelerators,
        max(declared_nodes.declared) as declared
    from allocated
    inner join declared_nodes
        on allocated.cluster = declared_nodes.cluster and allocated.node = declared_nodes.node
    left join understood
        on allocated.cluster = understood.cluster
        and allocated.node_list = understood.node_list
        and allocated.accelerator_model = understood.accelerator_model
    where understood.cluster is null
    group by allocated.cluster, allocated.node, allocated.accelerator_model
),

-- several_names: the inventory has one node under several names at once, told by the site file or by what stands
-- before the first dot. Where the site file tells it, the node counts once.
named as (
    select distinct
        inventory.cluster,
        names.node,
        regexp_extract(names.node, '^[^.]*') as short_name,
        inventory.node as written_name
    from raw.inventory as inventory
    inner join core.node_names as names
        on inventory.cluster = names.cluster and inventory.node = names.written_name
    inner join core.clusters as clusters on inventory.cluster = clusters.cluster
    where inventory.in_service_at < clusters.as_of_at
        and coalesce(inventory.retired_at, timestamp '9999-01-01') >= clusters.as_of_at
        and inventory.installed_accelerators > 0
),

several_names as (
    select
        cluster,
        short_name,
        string_agg(written_name, ', ' order by written_name) as written_names
    from named
    group by cluster, short_name
    having count(*) > 1
),

renamed as (
    select
        several_names.cluster,
        in_service.node,
        in_service.accelerator_model,
        in_service.installed_accelerators as inventory_accelerators,
        several_names.written_names
    from several_names
    inner join in_service
        on several_names.cluster = in_service.cluster
        and several_names.short_name = regexp_extract(in_service.node, '^[^.]*')
)

select
    cluster,
    node,
    accelerator_model,
    'count' as conflict,
    cast(null as varchar) as conflict_detail,
    inventory_accelerators,
    scheduler_accelerators
from counts
union all
select
    cluster,
    node,
    accelerator_model,
    'allocated_model' as conflict,
    'the inventory has ' || declared as conflict_detail,
    0 as inventory_accelerators,
    scheduler_accelerators
from other_models
union all
select
    cluster,
    node,
    accelerator_model,
    'several_names' as conflict,
    written_names as conflict_detail,
    inventory_accelerators,
    cast(null as bigint) as scheduler_accelerators
from renamed
