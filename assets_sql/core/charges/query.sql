-- Cost sheets as charges over an interval. A lot's price less its residual is written off by the second over its life; or an
-- annuity is, which also pays for the capital. The site file says which of the two counts.
-- Amounts are whole trillionths of the currency, so that every later slice is exact integer arithmetic.
with lots as (
    select *
    from raw.purchase_lots
    qualify row_number() over (
        partition by lot_id
        order by collected_at desc nulls last, content_sha256 desc, source_line desc
    ) = 1
),

priced as (
    select
        lots.*,
        settings.depreciation,
        amount_picos(lots.price - lots.residual) as straight_line_picos,
        amount_picos(cast(
            annuity_amount(lots.price, lots.residual, lots.life_months, settings.cost_of_capital) as decimal(38, 9)
        )) as annuity_picos
    from lots
    left join site.settings as settings on true
),

flat as (
    select *
    from raw.flat_costs
    qualify row_number() over (
        partition by cost_component, cluster, pool, currency, period_start_at
        order by collected_at desc nulls last, content_sha256 desc, source_line desc
    ) = 1
)

select
    'lot/' || lots.lot_id as charge_id,
    lots.cluster,
    lots.pool,
    coalesce(aliases.accelerator_model, lower(lots.accelerator_model)) as accelerator_model,
    'depreciation' as cost_component,
    coalesce(pools.tenure, 'owned') as tenure,
    lots.currency,
    case
        when lots.depreciation = 'annuity' then lots.annuity_picos
        else lots.straight_line_picos
    end as amount_picos,
    lots.straight_line_picos,
    lots.annuity_picos,
    amount_picos(lots.replacement_price) as replacement_picos,
    lots.in_service_at as starts_at,
    lots.in_service_at + to_months(cast(lots.life_months as integer)) as ends_at,
    cast(null as timestamp) as counts_until_at,
    lots.lot_accelerators,
    lots.source_file,
    lots.source_line
from priced as lots
left join site.accelerators as aliases on lower(lots.accelerator_model) = aliases.alias
left join site.pools as pools on lots.pool = pools.pool
union all
select
    'flat/' || flat.cluster || '/' || flat.pool || '/' || flat.cost_component || '/' || flat.currency || '/'
    || cast(epoch_us(flat.period_start_at) // 1000000 as varchar) as charge_id,
    flat.cluster,
    flat.pool,
    cast(null as varchar) as accelerator_model,
    flat.cost_component,
    coalesce(pools.tenure, 'owned') as tenure,
    flat.currency,
    amount_picos(flat.amount) as amount_picos,
    amount_picos(null) as straight_line_picos,
    amount_picos(null) as annuity_picos,
    amount_picos(null) as replacement_picos,
    flat.period_start_at as starts_at,
    flat.period_end_at as ends_at,
    flat.period_end_at as counts_until_at,
    cast(null as bigint) as lot_accelerators,
    flat.source_file,
    flat.source_line
from flat
left join site.pools as pools on flat.pool = pools.pool
