-- severity: error
-- A node's accelerators of one model are in two pools at the same time; a second belongs to exactly one pool.
select
    one.cluster,
    one.node,
    one.accelerator_model,
    one.pool,
    other.pool as other_pool,
    greatest(one.in_service_at, other.in_service_at) as since_at
from core.inventory as one
inner join core.inventory as other
    on one.cluster = other.cluster
    and one.node = other.node
    and one.accelerator_model = other.accelerator_model
    and one.pool < other.pool
    and one.in_service_at < coalesce(other.retired_at, timestamp '9999-01-01')
    and other.in_service_at < coalesce(one.retired_at, timestamp '9999-01-01')
