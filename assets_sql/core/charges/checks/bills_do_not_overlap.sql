-- severity: error
-- Two flat costs of one component bill the same seconds of a pool; one of them would be counted twice.
select
    one.charge_id,
    other.charge_id as other_charge_id,
    other.starts_at as since_at
from core.charges as one
inner join core.charges as other
    on one.cluster = other.cluster
    and one.pool = other.pool
    and one.cost_component = other.cost_component
    and one.currency = other.currency
    and one.accelerator_model is null
    and other.accelerator_model is null
    and one.starts_at < other.starts_at
    and other.starts_at < one.ends_at
