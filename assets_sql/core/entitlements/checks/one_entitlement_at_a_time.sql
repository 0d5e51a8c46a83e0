-- severity: error
-- A team has two entitlements to the same model of a pool at the same time.
select
    one.cluster,
    one.pool,
    one.accelerator_model,
    one.team,
    greatest(one.valid_from_at, other.valid_from_at) as since_at
from core.entitlements as one
inner join core.entitlements as other
    on one.cluster = other.cluster
    and one.pool = other.pool
    and one.accelerator_model = other.accelerator_model
    and one.team = other.team
    and one.valid_from_at < other.valid_from_at
    and other.valid_from_at < one.valid_to_at
