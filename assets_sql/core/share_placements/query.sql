-- Slices, shards and MPS shares are split evenly over those nodes of an allocation that have them, the remainder going to
-- the first by name, and weigh what the node's configuration makes of them. On a node in MIG mode an untyped count is of the
-- node's one profile; with several profiles, none declared, or whole devices beside the slices, it is rejected: a slice is
-- not a device.
with shape_nodes as (
    select
        shapes.*,
        coalesce(hostlists.node, 'unassigned') as node
    from shapes_in_scope as shapes
    left join core.hostlists as hostlists on shapes.node_list = hostlists.node_list
),

capacity_at as (
    select
        shape_nodes.*,
        capacity.accelerator_model
    from shape_nodes
    inner join core.node_capacity as capacity
        on shape_nodes.cluster = capacity.cluster
        and shape_nodes.node = capacity.node
        and shape_nodes.epoch_at >= capacity.valid_from_at
        and shape_nodes.epoch_at < capacity.valid_to_at
    where capacity.installed_units > 0
),

sharing_at as (
    select
        shape_nodes.*,
        sharing.accelerator_model,
        sharing.share,
        sharing.share_units,
        sharing.share_count
    from shape_nodes
    inner join core.node_sharing as sharing
        on shape_nodes.cluster = sharing.cluster
        and shape_nodes.node = sharing.node
        and shape_nodes.epoch_at >= sharing.valid_from_at
        and shape_nodes.epoch_at < sharing.valid_to_at
),

partly_cut_nodes as (
    select distinct
        cluster,
        node
    from core.node_gres
    where gres_name = 'gpu' and share = '' and accelerator_type <> ''
),

-- What a node in MIG mode is cut into, where that is one profile; of time-slicing, whatever is counted is a replica.
mig_nodes as (
    select
        sharing_at.cluster,
        sharing_at.allocated_tres,
        sharing_at.node_list,
        sharing_at.epoch_at,
        sharing_at.node,
        case
            when count(*) = 1 and min(sharing_at.share) = 'replicas' then 'replicas'
            when count(*) = 1 and count(partly_cut.node) = 0 and min(sharing_at.share) <> 'mig' then min(sharing_at.share)
        end as only_share
    from sharing_at
    left join partly_cut_nodes as partly_cut
        on sharing_at.cluster = partly_cut.cluster and sharing_at.node = partly_cut.node
    where sharing_at.share not in ('shard', 'mps')
    group by
        sharing_at.cluster,
        sharing_at.allocated_tres,
        sharing_at.node_list,
        sharing_at.epoch_at,
        sharing_at.node
),

demands as (
    select
        shapes.*,
        tres.gres_name,
        tres.accelerator_type,
        tres.share,
        aliases.accelerator_model as demanded_model,
        tres.accelerators_counted as demanded
    from shapes_in_scope as shapes
    inner join core.tres as tres on shapes.allocated_tres = tres.tres
    left join site.accelerators as aliases on tres.device_type = aliases.alias
    where tres.share <> ''
    union all
    select distinct
        shapes.*,
        tres.gres_name,
        tres.accelerator_type,
        '' as share,
        cast(null as varchar) as demanded_model,
        tres.accelerators_counted as demanded
    from shapes_in_scope as shapes
    inner join core.tres as tres on shapes.allocated_tres = tres.tres
    inner join mig_nodes using (cluster, allocated_tres, node_list, epoch_at)
    where tres.share = '' and (tres.accelerator_type = '' or mig_nodes.only_share = 'replicas')
),

-- Every model on which a node could hold the share, with what it is worth there.
candidates as (
    select
        demands.*,
        shape_nodes.node,
        coalesce(capacity_at.accelerator_model, demands.demanded_model, 'unknown') as accelerator_model,
        coalesce(sharing_at.share_units, weights.slice_units) as share_units,
        case when sharing_at.share_units is null then 1 else sharing_at.share_count end as share_count
    from demands
    inner join shape_nodes using (cluster, allocated_tres, node_list, epoch_at)
    left join capacity_at using (cluster, allocated_tres, node_list, epoch_at, node)
    left join mig_nodes using (cluster, allocated_tres, node_list, epoch_at, node)
    left join sharing_at
        on demands.cluster = sharing_at.cluster
        and demands.allocated_tres = sharing_at.allocated_tres
        and demands.node_list = sharing_at.node_list
        and demands.epoch_at = sharing_at.epoch_at
        and shape_nodes.node = sharing_at.node
        and capacity_at.accelerator_model = sharing_at.accelerator_model
        and case when demands.share = '' then mig_nodes.only_share else demands.share end = sharing_at.share
    left join core.mig_weights as weights
        on coalesce(capacity_at.accelerator_model, demands.demanded_model) = weights.accelerator_model
        and demands.share = weights.share
),

-- Of a node's models the one that the type names, else the first that has the share.
chosen as (
    select *
    from candidates
    qualify row_number() over (
        partition by cluster, allocated_tres, node_list, epoch_at, gres_name, accelerator_type, node
        order by
            share_units is null,
            coalesce(accelerator_model = demanded_model, false) desc,
            accelerator_model
    ) = 1
),

-- An untyped count is on all nodes of its list; a share is on those that have it, or, if none has, nowhere.
counted as (
    select
        *,
        count(share_units) over shape as usable_nodes,
        count(*) over shape as all_nodes,
        row_number() over (
            partition by cluster, allocated_tres, node_list, epoch_at, gres_name, accelerator_type
            order by share_units is null, node
        ) as node_place
    from chosen
    window shape as (partition by cluster, allocated_tres, node_list, epoch_at, gres_name, accelerator_type)
),

settled as (
    select
        *,
        case
            when usable_nodes = 0 or (share = '' and usable_nodes < all_nodes)
                then case when gres_name = 'gpu' then 'undeclared_profile' else 'undeclared_share' end
        end as reject_reason,
        demanded // greatest(usable_nodes, 1)
        + case when node_place <= demanded % greatest(usable_nodes, 1) then 1 else 0 end as taken
    from counted
)

select
    cluster,
    allocated_tres,
    node_list,
    epoch_at,
    gres_name,
    accelerator_type,
    share,
    node,
    accelerator_model,
    case when reject_reason is null then taken * share_units // share_count end as accelerator_units,
    usable_nodes > 1 as split_inferred,
    reject_reason
from settled
where reject_reason is not null or (share_units is not null and taken > 0)
