-- severity: error
-- The cost of all days of a component differs from what its charges accrued up to as_of, to the trillionth.
with accrued as (
    select
        accruals.cluster,
        accruals.pool,
        accruals.cost_component,
        accruals.currency,
        sum(
            accrued_picos(
                accruals.cost_picos,
                greatest(0, seconds_between(accruals.starts_at, least(accruals.ends_at, clusters.as_of_at))),
                seconds_between(accruals.starts_at, accruals.ends_at)
            ) - accrued_picos(
                accruals.cost_picos,
                greatest(0, seconds_between(
                    accruals.starts_at, least(accruals.ends_at, clusters.first_at, clusters.as_of_at)
                )),
                seconds_between(accruals.starts_at, accruals.ends_at)
            )
        ) as accrued_picos
    from core.accruals as accruals
    inner join core.clusters as clusters on accruals.cluster = clusters.cluster
    where clusters.as_of_at is not null
    group by accruals.cluster, accruals.pool, accruals.cost_component, accruals.currency
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
-- Power that is drawn at a rate is not charged.
where coalesce(accrued.accrued_picos, 0) <> coalesce(costs.cost_picos, 0)
    and (cost_component <> 'power' or (cluster, pool) not in (select (cluster, pool) from core.power_rates))
