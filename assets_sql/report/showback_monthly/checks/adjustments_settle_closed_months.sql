-- severity: error
-- What was charged for closed months, with the adjustments of the month after them, is not what they come to now.
with closed_costs as (
    select
        costs.cluster,
        costs.pool,
        costs.currency,
        whole_units(
            amount_picos(sum(costs.cost)) + minor_unit_picos(costs.currency) // 2, minor_unit_picos(costs.currency)
        ) * minor_unit_picos(costs.currency) as cost_picos
    from mart.cost_daily as costs
    inner join site.closed_months as closed_months
        on cast(date_trunc('month', costs.usage_date) as date) = closed_months.usage_month
    group by date_trunc('month', costs.usage_date), costs.cluster, costs.pool, costs.currency
),

policies as (
    select distinct idle_policy from report.showback_monthly
    union
    select distinct idle_policy from closed.showback_monthly
),

owed as (
    select
        closed_costs.cluster,
        closed_costs.pool,
        closed_costs.currency,
        policies.idle_policy,
        picos_amount(closed_costs.cost_picos) as cost
    from closed_costs
    cross join policies
),

charged as (
    select
        cluster,
        pool,
        currency,
        idle_policy,
        charged_cost
    from closed.showback_monthly
    union all
    select
        showback.cluster,
        showback.pool,
        showback.currency,
        showback.idle_policy,
        showback.adjustment_cost as charged_cost
    from report.showback_monthly as showback
    where showback.usage_month not in (select closed_months.usage_month from site.closed_months as closed_months)
),

amounts as (
    select
        cluster,
        pool,
        currency,
        idle_policy,
        cost,
        0 as charged_cost
    from owed
    union all
    select
        cluster,
        pool,
        currency,
        idle_policy,
        0 as cost,
        charged_cost
    from charged
)

select
    cluster,
    pool,
    currency,
    idle_policy,
    sum(cost) as cost,
    sum(charged_cost) as charged_cost
from amounts
group by cluster, pool, currency, idle_policy
having sum(cost) <> sum(charged_cost)
