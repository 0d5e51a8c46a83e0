-- The rates into the currency of the site, if it names one.
select
    rates.from_currency,
    rates.to_currency,
    coalesce(rates.provider_name, '') as provider_name,
    rates.valid_from_at,
    rates.valid_to_at,
    amount_picos(rates.exchange_rate) as rate_picos,
    rates.source_file,
    rates.source_line
from raw.exchange_rates as rates
inner join site.settings as settings on rates.to_currency = settings.currency
qualify row_number() over (
    partition by rates.from_currency, coalesce(rates.provider_name, ''), rates.valid_from_at
    order by rates.collected_at desc nulls last, rates.content_sha256 desc, rates.source_line desc
) = 1
