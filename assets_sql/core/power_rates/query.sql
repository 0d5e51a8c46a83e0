-- What an accelerator draws, with its share of the node, times what the site draws for each kilowatt of it (PUE), times the
-- tariff. A rate of a model goes before one of any model.
with named as (
    select
        rates.*,
        coalesce(aliases.accelerator_model, lower(rates.accelerator_model), '') as model
    from raw.power_rates as rates
    left join site.accelerators as aliases on lower(rates.accelerator_model) = aliases.alias
)

select
    cluster,
    pool,
    model as accelerator_model,
    valid_from_at,
    coalesce(valid_to_at, timestamp '9999-01-01') as valid_to_at,
    kilowatts,
    pue,
    amount_picos(kilowatts) * amount_picos(pue) // 1000000000000 * amount_picos(price_per_kwh) // 1000000000000
        as hourly_picos,
    currency,
    source_file,
    source_line
from named
qualify row_number() over (
    partition by cluster, pool, model, valid_from_at
    order by collected_at desc nulls last, content_sha256 desc, source_line desc
) = 1
