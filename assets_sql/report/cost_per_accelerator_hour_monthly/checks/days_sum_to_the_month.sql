-- severity: error
-- The days of a month do not sum to what is known of its cost.
with days_known as (
    select
        cast(date_trunc('month', usage_date) as date) as usage_month,
        cluster,
        pool,
        accelerator_model,
        currency,
        sum(known_cost) as known_cost
    from report.cost_per_accelerator_hour_daily
    group by date_trunc('month', usage_date), cluster, pool, accelerator_model, currency
)

select
    coalesce(months.usage_month, days_known.usage_month) as usage_month,
    coalesce(months.cluster, days_known.cluster) as cluster,
    coalesce(months.pool, days_known.pool) as pool,
    coalesce(months.accelerator_model, days_known.accelerator_model) as accelerator_model,
    coalesce(months.currency, days_known.currency) as currency,
    months.known_cost,
    days_known.known_cost as days_known_cost
from report.cost_per_accelerator_hour_monthly as months
full outer join days_known
    on months.usage_month = days_known.usage_month
    and months.cluster = days_known.cluster
    and months.pool = days_known.pool
    and months.accelerator_model = days_known.accelerator_model
    and months.currency = days_known.currency
where months.known_cost is distinct from days_known.known_cost
