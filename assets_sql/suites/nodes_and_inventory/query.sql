-- Nodes on which attempts held accelerators, and those of them that the cluster's inventory has at no time. What
-- attempts held there is in no installed hour.
with declared as (
    select distinct
        cluster,
        node
    from core.inventory
    where not is_inferred
),

named as (
    select distinct
        shapes.cluster,
        hostlists.node
    from (select distinct cluster, node_list from core.allocation_shapes) as shapes
    inner join core.hostlists as hostlists on shapes.node_list = hostlists.node_list
    where shapes.cluster in (select cluster from declared)
)

select
    named.cluster,
    count(*) as nodes,
    count(case when declared.node is null then 1 end) as nodes_without_inventory
from named
left join declared on named.cluster = declared.cluster and named.node = declared.node
group by named.cluster
