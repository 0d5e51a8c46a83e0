-- severity: error
-- The cost of all days of a component differs from what its charges accrued up to as_of, to the trillionth.
with accrued as (
    select
        charges.cluster,
        charges.pool,
        charges.cost_component,
        charges.currency,
        sum(
            accrued_picos(
                charges.amount_picos,
                greatest(0, seconds_between(charges.starts_at, least(charges.ends_at, clusters.as_of_at))),
                seconds_between(charges.starts_at, charges.ends_at)
            ) - accrued_picos(
                charges.amount_picos,
                greatest(0, seconds_between(
                    charges.starts_at, least(charges.ends_at, clusters.first_at, clusters.as_of_at)
                )),
                seconds_between(charges.starts_at, charges.ends_at)
            )
        ) as accrued_picos
    from core.charges as charges
    inner join core.clusters as clusters on charges.cluster = clusters.cluster
    where clusters.as_of_at is not null
    group by charges.cluster, charges.pool, charges.cost_component, charges.currency
),

costs as (
    select
        cluster,
        pool,
        cost_component,
        currency,
        amount_picos(sum(cost)) as cost_picos
    from mart.cost_daily
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
