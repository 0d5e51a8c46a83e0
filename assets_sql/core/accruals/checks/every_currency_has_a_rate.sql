-- severity: error
-- Charges in another currency than the site's, at a time for which no exchange rate was delivered; of bills, the first such
-- line of each file.
with unrated as (
    select
        accruals.*
    from core.accruals as accruals
    inner join site.settings as settings on accruals.currency <> settings.currency
),

unrated_bills as (
    select distinct
        provider_name,
        charged_currency,
        starts_at
    from unrated
    where accrual_id like 'bill/%'
)

select
    unrated.charged_currency,
    unrated.starts_at,
    unrated.accrual_id,
    charges.source_file,
    charges.source_line
from unrated
inner join core.charges as charges on unrated.accrual_id = charges.charge_id
union all
select
    charges.currency,
    min(charges.charge_period_start_at),
    'bill/' || coalesce(charges.provider_name, ''),
    charges.source_file,
    min(charges.source_line)
from raw.focus_charges as charges
inner join unrated_bills
    on coalesce(charges.provider_name, '') = unrated_bills.provider_name
    and charges.currency = unrated_bills.charged_currency
    and charges.charge_period_start_at = unrated_bills.starts_at
group by charges.currency, charges.provider_name, charges.source_file
