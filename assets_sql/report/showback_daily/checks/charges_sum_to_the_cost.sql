-- severity: error
-- Under a policy the teams' charges do not sum to the day's cost.
with costs as (
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
),

policies as (
    select unnest(['central', 'proportional', 'entitlement', 'hybrid']) as idle_policy
),

charged as (
    select
        usage_date,
        cluster,
        pool,
        accelerator_model,
        currency,
        idle_policy,
        sum(total_cost) as charged_cost
    from report.showback_daily
    where usage_date in (select usage_date from days)
    group by usage_date, cluster, pool, accelerator_model, currency, idle_policy
)

select
    coalesce(charged.usage_date, costs.usage_date) as usage_date,
    coalesce(charged.cluster, costs.cluster) as cluster,
    coalesce(charged.pool, costs.pool) as pool,
    coalesce(charged.accelerator_model, costs.accelerator_model) as accelerator_model,
    coalesce(charged.currency, costs.currency) as currency,
    coalesce(charged.idle_policy, policies.idle_policy) as idle_policy,
    costs.cost,
    charged.charged_cost
from costs
cross join policies
full outer join charged
    on costs.usage_date = charged.usage_date
    and costs.cluster = charged.cluster
    and costs.pool = charged.pool
    and costs.accelerator_model = charged.accelerator_model
    and costs.currency = charged.currency
    and policies.idle_policy = charged.idle_policy
where costs.cost is distinct from charged.charged_cost
