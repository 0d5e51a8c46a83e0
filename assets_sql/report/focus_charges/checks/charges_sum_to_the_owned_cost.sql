-- severity: error
-- A day's charges, with their corrections, do not sum to what owned capacity cost.
with costs as (
    select
        usage_date,
        cluster,
        pool,
        accelerator_model,
        currency,
        cost
    from mart.cost_daily
    where tenure = 'owned'
),

amounts as (
    select
        usage_date,
        cluster,
        pool,
        accelerator_model,
        currency,
        cost,
        0 as charged
    from costs
    union all
    select
        usage_date,
        cluster,
        pool,
        accelerator_model,
        currency,
        0 as cost,
        effective_cost as charged
    from report.focus_charges
)

select
    amounts.usage_date,
    amounts.cluster,
    amounts.pool,
    amounts.accelerator_model,
    amounts.currency,
    sum(amounts.cost) as cost,
    sum(amounts.charged) as charged
from amounts
inner join days on amounts.usage_date = days.usage_date
group by amounts.usage_date, amounts.cluster, amounts.pool, amounts.accelerator_model, amounts.currency
having sum(amounts.cost) <> sum(amounts.charged)
