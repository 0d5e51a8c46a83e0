-- severity: error
-- A currency has two rates at the same time.
select
    one.from_currency,
    one.provider_name,
    greatest(one.valid_from_at, other.valid_from_at) as since_at
from core.exchange_rates as one
inner join core.exchange_rates as other
    on one.from_currency = other.from_currency
    and one.provider_name = other.provider_name
    and one.valid_from_at < other.valid_from_at
    and other.valid_from_at < one.valid_to_at
