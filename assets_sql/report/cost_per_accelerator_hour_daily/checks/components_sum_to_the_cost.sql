-- severity: error
-- The components of a day do not sum to its cost, or that is not what the day's charges cost.
with known as (
    select
        *,
        depreciation_cost + power_cost + colo_cost + support_cost + compute_cost + storage_cost + other_cost
            as component_cost
    from report.cost_per_accelerator_hour_daily
    where usage_date in (select usage_date from days)
),

costs as (
    select
        usage_date,
        cluster,
        pool,
        accelerator_model,
        currency,
        sum(cost) as cost
    from mart.cost_daily
    where usage_date in (select usage_date from days)
    group by usage_date, cluster, pool, accelerator_model, currency
)

select
    coalesce(known.usage_date, costs.usage_date) as usage_date,
    coalesce(known.cluster, costs.cluster) as cluster,
    coalesce(known.pool, costs.pool) as pool,
    coalesce(known.accelerator_model, costs.accelerator_model) as accelerator_model,
    coalesce(known.currency, costs.currency) as currency,
    known.known_cost,
    known.component_cost,
    costs.cost
from known
full outer join costs
    on known.usage_date = costs.usage_date
    and known.cluster = costs.cluster
    and known.pool = costs.pool
    and known.accelerator_model = costs.accelerator_model
    and known.currency = costs.currency
where known.known_cost is distinct from known.component_cost
    or coalesce(known.known_cost, 0) <> coalesce(costs.cost, 0)
