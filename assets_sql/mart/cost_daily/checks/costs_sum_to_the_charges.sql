-- severity: error
-- The cost of all days of a component differs from what its charges accrued up to as_of, to the trillionth.
with amounts as (
    select
        cluster,
        pool,
        cost_component,
        currency,
        amount_picos,
        starts_at,
        ends_at
    from core.charges
    union all
    select
        cluster,
        pool,
        cost_component,
        currency,
        amount_picos(sum(case
            when charge_category = 'Purchase' and commitment_discount_id <> '' then 0
            when charge_category in ('Tax', 'Credit') then 0
            else effective_cost
        end)),
        starts_at,
        ends_at
    from core.billed_charges
    group by cluster, pool, accelerator_model, cost_component, tenure, currency, starts_at, ends_at
),

energy as (
    select
        cluster,
        pool,
        currency,
        amount_picos(sum(power_cost)) as power_picos
    from mart.energy_daily
    group by cluster, pool, currency
),

accrued as (
    select
        amounts.cluster,
        amounts.pool,
        amounts.cost_component,
        amounts.currency,
        sum(
            accrued_picos(
                amounts.amount_picos,
                greatest(0, seconds_between(amounts.starts_at, least(amounts.ends_at, clusters.as_of_at))),
                seconds_between(amounts.starts_at, amounts.ends_at)
            ) - accrued_picos(
                amounts.amount_picos,
                greatest(0, seconds_between(
                    amounts.starts_at, least(amounts.ends_at, clusters.first_at, clusters.as_of_at)
                )),
                seconds_between(amounts.starts_at, amounts.ends_at)
            )
        ) as accrued_picos
    from amounts
    inner join core.clusters as clusters on amounts.cluster = clusters.cluster
    where clusters.as_of_at is not null
    group by amounts.cluster, amounts.pool, amounts.cost_component, amounts.currency
),

-- What is not charged, but drawn at a rate, is in the cost of power.
costs as (
    select
        cost_daily.cluster,
        cost_daily.pool,
        cost_daily.cost_component,
        cost_daily.currency,
        amount_picos(sum(cost_daily.cost)) - coalesce(any_value(energy.power_picos), 0) as cost_picos
    from mart.cost_daily as cost_daily
    left join energy
        on cost_daily.cost_component = 'power'
        and cost_daily.cluster = energy.cluster
        and cost_daily.pool = energy.pool
        and cost_daily.currency = energy.currency
    group by cost_daily.cluster, cost_daily.pool, cost_daily.cost_component, cost_daily.currency
)

select
    coalesce(accrued.cluster, costs.cluster) as cluster,
    coalesce(accrued.pool, costs.pool) as pool,
    coalesce(accrued.cost_component, costs.cost_component) as cost_component,
    coalesce(accrued.currency, costs.currency) as currency,
    accrued.accrued_picos,
    costs.cost_picos
from accrued
full outer join costs using (cluster, pool, cost_component, currency)
where coalesce(accrued.accrued_picos, 0) <> coalesce(costs.cost_picos, 0)
