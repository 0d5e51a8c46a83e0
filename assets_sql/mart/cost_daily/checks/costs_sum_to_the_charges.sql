-- severity: error
-- The cost of all days of a component differs from what its charges accrued up to as_of, to the trillionth.
with amounts as (
    select
        cluster,
        pool,
        cost_component,
        currency,
        cost_picos as amount_picos,
        starts_at,
        ends_at
    from core.accruals
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

-- Power that is drawn at a rate is not charged.
costs as (
    select
        cluster,
        pool,
        cost_component,
        currency,
        amount_picos(sum(cost)) as cost_picos
    from mart.cost_daily
    where cost_component <> 'power' or (cluster, pool) not in (select (cluster, pool) from core.power_rates)
    group by cluster, pool, cost_component, currency
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
    and (cost_component <> 'power' or (cluster, pool) not in (select (cluster, pool) from core.power_rates))
