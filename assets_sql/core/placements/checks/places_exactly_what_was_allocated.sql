-- severity: error
-- The whole devices placed on nodes differ from those that the allocation has.
with placed as (
    select
        cluster,
        allocated_tres,
        node_list,
        epoch_at,
        cast(sum(accelerator_units) as bigint) as placed_units
    from core.placements
    group by cluster, allocated_tres, node_list, epoch_at
),

allocated as (
    select
        tres,
        cast(sum(accelerators_counted) as bigint) * 84000 as allocated_units
    from core.tres
    group by tres
    having max(share) = ''
),

shared as (
    select distinct
        cluster,
        allocated_tres,
        node_list,
        epoch_at
    from core.share_placements
)

select
    placed.*,
    allocated.allocated_units
from placed
inner join allocated on placed.allocated_tres = allocated.tres
left join shared using (cluster, allocated_tres, node_list, epoch_at)
where shared.cluster is null and placed.placed_units is distinct from allocated.allocated_units
