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
    named.node
from named
left join declared on named.cluster = declared.cluster and named.node = declared.node
where declared.node is null
order by named.cluster, named.node
