-- severity: error
-- A pool's model has two power rates at the same time.
select
    one.cluster,
    one.pool,
    one.accelerator_model,
    greatest(one.valid_from_at, other.valid_from_at) as since_at
from core.power_rates as one
inner join core.power_rates as other
    on one.cluster = other.cluster
    and one.pool = other.pool
    and one.accelerator_model = other.accelerator_model
    and one.valid_from_at < other.valid_from_at
    and other.valid_from_at < one.valid_to_at
