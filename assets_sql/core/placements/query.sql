-- Which accelerators an allocation took on which node. Slurm's accounting says how many of each type in all, and on which
-- nodes; the split follows accounting rules: each node gets an equal share (the remainder goes to the first nodes by
-- name); nodes with one model take their type first; the rest goes where the installed count permits; a count that no
-- node has installed goes by the nodes' own inventory. Shares of devices are placed apart; a shape of which a share cannot
-- be weighed is not placed at all.
with unweighable as (
    select distinct
        cluster,
        allocated_tres,
        node_list,
        epoch_at
    from core.share_placements
    where reject_reason is not null
),

-- Numbered, because what names a shape is long, and all that follows is by shape.
shapes as materialized (
    select
        shapes.*,
        row_number() over () as shape
    from shapes_in_scope as shapes
    left join unweighable using (cluster, allocated_tres, node_list, epoch_at)
    where unweighable.cluster is null
),

shares as (
    select
        shapes.shape,
        shares.*
    from core.share_placements as shares
    inner join shapes using (cluster, allocated_tres, node_list, epoch_at)
),

-- Counts of whole devices that are shares on these nodes.
counted_shares as (
    select distinct
        shape,
        accelerator_type
    from shares
    where share = ''
),

demand as (
    select
        shapes.shape,
        coalesce(aliases.accelerator_model, tres.accelerator_type) as demanded_model,
        cast(sum(tres.accelerators_counted) as bigint) as demanded
    from shapes
    inner join core.tres as tres
        on shapes.allocated_tres = tres.tres and tres.share = ''
    left join counted_shares
        on shapes.shape = counted_shares.shape and tres.accelerator_type = counted_shares.accelerator_type
    left join site.accelerators as aliases on tres.accelerator_type = aliases.alias
    where counted_shares.shape is null
    group by shapes.shape, coalesce(aliases.accelerator_model, tres.accelerator_type)
),

shape_nodes as (
    select
        shapes.shape,
        shapes.cluster,
        shapes.epoch_at,
        coalesce(hostlists.node, 'unassigned') as node,
        row_number() over (
            partition by shapes.shape order by coalesce(hostlists.node, 'unassigned')
        ) as node_place,
        count(*) over (partition by shapes.shape) as node_count
    from shapes
    left join core.hostlists as hostlists on shapes.node_list = hostlists.node_list
),

totals as (
    select
        shape,
        cast(sum(demanded) as bigint) as demanded_total
    from demand
    group by shape
),

node_shares as (
    select
        shape_nodes.*,
        totals.demanded_total // shape_nodes.node_count
        + case when shape_nodes.node_place <= totals.demanded_total % shape_nodes.node_count then 1 else 0 end
            as node_share
    from shape_nodes
    inner join totals using (shape)
),

-- What each node has; a node that the inventory does not know is taken to have what was demanded.
known_slots as (
    select
        node_shares.*,
        capacity.accelerator_model,
        capacity.installed_units // 84000 as installed
    from node_shares
    inner join core.node_capacity as capacity
        on node_shares.cluster = capacity.cluster
        and node_shares.node = capacity.node
        and node_shares.epoch_at >= capacity.valid_from_at
        and node_shares.epoch_at < capacity.valid_to_at
    where capacity.installed_units > 0
),

unknown_nodes as (
    select node_shares.*
    from node_shares
    left join known_slots using (shape, node)
    where known_slots.node is null
),

slots as (
    select * from known_slots
    union all
    select
        unknown_nodes.*,
        case when demand.demanded_model = '' then 'unknown' else demand.demanded_model end as accelerator_model,
        demand.demanded as installed
    from unknown_nodes
    inner join demand using (shape)
),

counted_slots as (
    select
        *,
        count(*) over (partition by shape, node) as models_on_node
    from slots
),

-- A demanded type that no node of the list has goes by the inventory, like an untyped count.
typed_demand as (
    select
        demand.shape,
        demand.demanded_model as accelerator_model,
        demand.demanded
    from demand
    where exists (
        select 1
        from slots
        where slots.shape = demand.shape and slots.accelerator_model = demand.demanded_model
    )
),

-- First: nodes with one model take their type, up to their share.
first_offers as (
    select
        counted_slots.*,
        coalesce(typed_demand.demanded, 0) as demanded,
        case when models_on_node = 1 then node_share else 0 end as offer
    from counted_slots
    left join typed_demand using (shape, accelerator_model)
),

first_takes as (
    select
        *,
        greatest(0, least(offer, demanded - coalesce(sum(offer) over (
            partition by shape, accelerator_model
            order by node rows between unbounded preceding and 1 preceding
        ), 0)))::bigint as first_take
    from first_offers
),

-- Second: nodes with several models share what is left of a type, up to what they have.
second_demands as (
    select
        *,
        demanded - sum(first_take) over (
            partition by shape, accelerator_model
        )::bigint as left_over,
        count(case when models_on_node > 1 then 1 end) over (
            partition by shape, accelerator_model
        ) as mixed_nodes,
        count(case when models_on_node > 1 then 1 end) over (
            partition by shape, accelerator_model
            order by node rows unbounded preceding
        ) as mixed_place
    from first_takes
),

second_takes as (
    select
        *,
        case when models_on_node > 1 then least(
            installed,
            left_over // greatest(mixed_nodes, 1)
            + case when mixed_place <= left_over % greatest(mixed_nodes, 1) then 1 else 0 end
        ) else 0 end as second_take
    from second_demands
),

-- Third: what is left goes wherever the installed count permits, and beyond that to the first node that has the type.
third_offers as (
    select
        *,
        left_over - sum(second_take) over (
            partition by shape, accelerator_model
        )::bigint as still_left,
        greatest(0, installed - first_take - second_take) as room
    from second_takes
),

third_takes as (
    select
        *,
        greatest(0, least(room, still_left - coalesce(sum(room) over (
            partition by shape, accelerator_model
            order by node rows between unbounded preceding and 1 preceding
        ), 0)))::bigint as third_take,
        row_number() over (
            partition by shape, accelerator_model order by node
        ) as model_place
    from third_offers
),

typed_takes as (
    select
        *,
        first_take + second_take + third_take
        + case when model_place = 1 then still_left - sum(third_take) over (
            partition by shape, accelerator_model
        )::bigint else 0 end as typed_take
    from third_takes
),

-- Then: untyped counts fill each node up to its share, by model name, and beyond that the first model.
untyped_demand as (
    select
        totals.shape,
        totals.demanded_total - coalesce(sum(typed_demand.demanded), 0)::bigint as untyped
    from totals
    left join typed_demand using (shape)
    group by totals.shape, totals.demanded_total
),

node_needs as (
    select
        typed_takes.*,
        untyped_demand.untyped,
        greatest(0, node_share - sum(typed_take) over (
            partition by shape, node
        ))::bigint as node_need,
        greatest(0, installed - typed_take) as free,
        row_number() over (
            partition by shape, node order by accelerator_model
        ) as slot_place
    from typed_takes
    inner join untyped_demand using (shape)
),

node_untyped as (
    select
        *,
        greatest(0, least(node_need, untyped - coalesce(sum(case when slot_place = 1 then node_need else 0 end) over (
            partition by shape
            order by node range between unbounded preceding and current row exclude group
        ), 0)))::bigint as node_take
    from node_needs
),

slot_untyped as (
    select
        *,
        greatest(0, least(free, node_take - coalesce(sum(free) over (
            partition by shape, node
            order by accelerator_model rows between unbounded preceding and 1 preceding
        ), 0)))::bigint as untyped_take
    from node_untyped
),

takes as (
    select
        *,
        typed_take + untyped_take + case when slot_place = 1 then node_take - sum(untyped_take) over (
            partition by shape, node
        )::bigint else 0 end as taken
    from slot_untyped
),

held as (
    select
        shape,
        node,
        accelerator_model,
        taken * 84000 as accelerator_units,
        node_count > 1 or (models_on_node > 1 and untyped > 0) as split_inferred
    from takes
    where taken > 0
    union all
    select
        shape,
        node,
        accelerator_model,
        accelerator_units,
        split_inferred
    from shares
    where accelerator_units > 0
),

placed as (
    select
        shape,
        node,
        accelerator_model,
        cast(sum(accelerator_units) as bigint) as accelerator_units,
        bool_or(split_inferred) as split_inferred
    from held
    group by shape, node, accelerator_model
)

select
    shapes.cluster,
    shapes.allocated_tres,
    shapes.node_list,
    shapes.epoch_at,
    placed.node,
    placed.accelerator_model,
    placed.accelerator_units,
    placed.split_inferred
from placed
inner join shapes on placed.shape = shapes.shape
