-- The times between which nothing about a cluster's capacity changed; a shape of an allocation is placed once in each.
select
    cluster,
    valid_from_at as epoch_at,
    coalesce(lead(valid_from_at) over (partition by cluster order by valid_from_at), timestamp '9999-01-01')
        as epoch_end_at
from (select distinct cluster, valid_from_at from core.node_capacity)
