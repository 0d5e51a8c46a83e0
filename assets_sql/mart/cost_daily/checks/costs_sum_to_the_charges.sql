-- severity: error
-- The cost of all days of a component differs from what its charges accrued up to as_of, and from what power was drawn at a
-- rate, to the trillionth.
with charged as (
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
    union all
    select
        energy.cluster,
        energy.pool,
        'power',
        coalesce(rates.to_currency, energy.currency),
        sum(converted_picos(amount_picos(energy.power_cost), rates.rate_picos))
    from mart.energy_daily as energy
    inner join core.cluster_days as cluster_days
        on energy.usage_date = cluster_days.usage_date and energy.cluster = cluster_days.cluster
    left join core.exchange_rates as rates
        on rates.provider_name = ''
        and energy.currency = rates.from_currency
        and cluster_days.starts_at >= rates.valid_from_at
        and cluster_days.starts_at < rates.valid_to_at
    group by energy.cluster, energy.pool, coalesce(rates.to_currency, energy.currency)
),

accrued as (
    select
        cluster,
        pool,
        cost_component,
        currency,
        sum(accrued_picos) as accrued_picos
    from charged
    group by cluster, pool, cost_component, currency
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
