-- What sheets and bills charge, as costs, with what is beside them. An amount in another currency than the site's is
-- converted once: at the rate of its provider's invoices for the billing period, else at the rate of the day on which it
-- begins. No rate is carried forward. An empty model is the pool as a whole.
with amounts as (
    select
        charge_id as accrual_id,
        starts_at,
        ends_at,
        counts_until_at,
        cluster,
        pool,
        coalesce(accelerator_model, '') as accelerator_model,
        cost_component,
        tenure,
        currency,
        '' as provider_name,
        starts_at as invoiced_at,
        amount_picos as cost_picos,
        amount_picos(0) as unused_picos,
        amount_picos(0) as tax_picos,
        amount_picos(0) as credit_picos,
        straight_line_picos,
        annuity_picos
    from core.charges
    union all
    select
        concat_ws(
            '/', 'bill', provider_name, currency, cast(epoch_us(billing_period_start_at) // 1000000 as varchar)
        ),
        starts_at,
        ends_at,
        ends_at as counts_until_at,
        cluster,
        pool,
        accelerator_model,
        cost_component,
        tenure,
        currency,
        provider_name,
        billing_period_start_at,
        amount_picos(sum(bill_cost(charge_category, commitment_discount_id, effective_cost))),
        amount_picos(sum(case when charge_category = 'Usage' and is_unused then effective_cost else 0 end)),
        amount_picos(sum(case when charge_category = 'Tax' then effective_cost else 0 end)),
        amount_picos(sum(case when charge_category = 'Credit' then effective_cost else 0 end)),
        amount_picos(null),
        amount_picos(null)
    from core.billed_charges
    group by all
),

rated as (
    select
        amounts.*,
        settings.currency as site_currency,
        coalesce(invoices.rate_picos, dated.rate_picos) as rate_picos
    from amounts
    left join site.settings as settings on amounts.currency <> settings.currency
    left join core.exchange_rates as invoices
        on settings.currency is not null
        and amounts.provider_name <> ''
        and amounts.provider_name = invoices.provider_name
        and amounts.currency = invoices.from_currency
        and amounts.invoiced_at >= invoices.valid_from_at
        and amounts.invoiced_at < invoices.valid_to_at
    left join core.exchange_rates as dated
        on settings.currency is not null
        and dated.provider_name = ''
        and amounts.currency = dated.from_currency
        and amounts.starts_at >= dated.valid_from_at
        and amounts.starts_at < dated.valid_to_at
)

select
    accrual_id,
    starts_at,
    ends_at,
    counts_until_at,
    cluster,
    pool,
    accelerator_model,
    cost_component,
    tenure,
    case when rate_picos is null then currency else site_currency end as currency,
    currency as charged_currency,
    provider_name,
    converted_picos(cost_picos, rate_picos) as cost_picos,
    converted_picos(unused_picos, rate_picos) as unused_picos,
    converted_picos(tax_picos, rate_picos) as tax_picos,
    converted_picos(credit_picos, rate_picos) as credit_picos,
    converted_picos(straight_line_picos, rate_picos) as straight_line_picos,
    converted_picos(annuity_picos, rate_picos) as annuity_picos
from rated
