with placed as (
    select
        placements.cluster,
        placements.allocated_tres,
        placements.node_list,
        placements.epoch_at,
        coalesce(capacity.pool, 'unassigned') as pool,
        placements.accelerator_model,
        cast(sum(placements.accelerator_units) as bigint) as units
    from shapes_in_scope as shapes
    inner join core.placements as placements
        on shapes.cluster = placements.cluster
        and shapes.allocated_tres = placements.allocated_tres
        and shapes.node_list = placements.node_list
        and shapes.epoch_at = placements.epoch_at
    left join core.node_capacity as capacity
        on placements.cluster = capacity.cluster
        and placements.node = capacity.node
        and placements.accelerator_model = capacity.accelerator_model
        and placements.epoch_at >= capacity.valid_from_at
        and placements.epoch_at < capacity.valid_to_at
    group by
        placements.cluster,
        placements.allocated_tres,
        placements.node_list,
        placements.epoch_at,
        coalesce(capacity.pool, 'unassigned'),
        placements.accelerator_model
),

ranked as (
    select
        *,
        row_number() over (
            partition by cluster, allocated_tres, node_list, epoch_at
            order by units desc, pool asc, accelerator_model asc
        ) as place
    from placed
)

select
    cluster,
    allocated_tres,
    node_list,
    epoch_at,
    case when min(accelerator_model) < max(accelerator_model) then 'mixed' else min(accelerator_model) end
        as accelerator_model,
    cast(sum(units) as bigint) as accelerator_units,
    min(case when place = 1 then pool end) as home_pool,
    min(case when place = 1 then accelerator_model end) as home_accelerator_model
from ranked
group by cluster, allocated_tres, node_list, epoch_at
