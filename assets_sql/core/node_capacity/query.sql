-- Each node and model from the beginning to the end of time, cut where its count or pool changes; before and after its
-- service, and for nodes that only attempts know, nothing is installed.
with edges as (
    select
        cluster,
        node,
        accelerator_model,
        in_service_at as valid_from_at
    from core.inventory
    union
    select
        cluster,
        node,
        accelerator_model,
        retired_at
    from core.inventory
    where retired_at is not null
    union
    select
        cluster,
        node,
        accelerator_model,
        timestamp '1900-01-01'
    from core.inventory
),

periods as (
    select
        cluster,
        node,
        accelerator_model,
        valid_from_at,
        coalesce(
            lead(valid_from_at) over (partition by cluster, node, accelerator_model order by valid_from_at),
            timestamp '9999-01-01'
        ) as valid_to_at
    from edges
),

sizes as (
    select
        cluster,
        node,
        max(node_cpus) as node_cpus,
        max(memory_mib) as memory_mib
    from core.node_snapshots
    group by cluster, node
),

cut_nodes as (
    select distinct
        cluster,
        node
    from core.node_gres
    where share <> ''
)

select
    periods.cluster,
    periods.node,
    periods.accelerator_model,
    coalesce(min(inventory.pool), 'unassigned') as pool,
    coalesce(cast(sum(inventory.installed_accelerators) as bigint), 0) * 84000 as installed_units,
    max(sizes.node_cpus) as node_cpus,
    max(sizes.memory_mib) as memory_mib,
    count(inventory.sharing) + count(cut_nodes.node) > 0 as is_shared,
    periods.valid_from_at,
    periods.valid_to_at
from periods
left join sizes on periods.cluster = sizes.cluster and periods.node = sizes.node
left join cut_nodes on periods.cluster = cut_nodes.cluster and periods.node = cut_nodes.node
left join core.inventory as inventory
    on periods.cluster = inventory.cluster
    and periods.node = inventory.node
    and periods.accelerator_model = inventory.accelerator_model
    and periods.valid_from_at >= inventory.in_service_at
    and periods.valid_from_at < coalesce(inventory.retired_at, timestamp '9999-01-01')
group by
    periods.cluster,
    periods.node,
    periods.accelerator_model,
    periods.valid_from_at,
    periods.valid_to_at
