-- severity: error
-- Under a policy the teams' charges do not sum to the month's cost, rounded to whole minor units of the currency.
with costs as (
    select
        cast(date_trunc('month', usage_date) as date) as usage_month,
        cluster,
        pool,
        currency,
        amount_picos(sum(cost)) as cost_picos
    from mart.cost_daily
    group by date_trunc('month', usage_date), cluster, pool, currency
),

charged as (
    select
        usage_month,
        cluster,
        pool,
        currency,
        idle_policy,
        sum(total_cost) as charged_cost,
        bool_and(total_cost = direct_cost + idle_cost and charged_cost = total_cost + adjustment_cost) as sums_up
    from report.showback_monthly
    group by usage_month, cluster, pool, currency, idle_policy
)

select
    coalesce(charged.usage_month, costs.usage_month) as usage_month,
    coalesce(charged.cluster, costs.cluster) as cluster,
    coalesce(charged.pool, costs.pool) as pool,
    coalesce(charged.currency, costs.currency) as currency,
    charged.idle_policy,
    picos_amount(costs.cost_picos) as cost,
    charged.charged_cost
from costs
full outer join charged
    on costs.usage_month = charged.usage_month
    and costs.cluster = charged.cluster
    and costs.pool = charged.pool
    and costs.currency = charged.currency
where charged.sums_up is distinct from true
    -- A month may have nothing but adjustments of closed ones.
    or charged.charged_cost is distinct from coalesce(picos_amount(
        whole_units(costs.cost_picos + minor_unit_picos(costs.currency) // 2, minor_unit_picos(costs.currency))
        * minor_unit_picos(costs.currency)
    ), 0)
