-- severity: error
-- A pool has a power rate and a bill for power at the same time: it would be paid twice.
select
    rates.cluster,
    rates.pool,
    charges.charge_id,
    greatest(rates.valid_from_at, charges.starts_at) as since_at
from core.power_rates as rates
inner join core.charges as charges
    on rates.cluster = charges.cluster
    and rates.pool = charges.pool
    and charges.cost_component = 'power'
    and charges.starts_at < rates.valid_to_at
    and charges.ends_at > rates.valid_from_at
