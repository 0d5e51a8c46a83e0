-- What did an accelerator-hour of each pool cost: installed, available, allocated?
-- The same cost over ever fewer hours. It is null where a day of the pool has no cost, in whatever currency: known_cost shows
-- what is known.
with costs as (
    select
        *,
        bool_and(cost is not null) over (partition by cluster, pool) as is_priced
    from report.cost_per_accelerator_hour_daily
)

select
    cluster,
    pool,
    currency,
    sum(case when is_priced then cost end) as cost,
    sum(known_cost) as known_cost,
    report.cost_rate(sum(case when is_priced then cost end), sum(installed_unit_seconds)) as cost_per_installed_hour,
    report.cost_rate(sum(case when is_priced then cost end), sum(available_unit_seconds)) as cost_per_available_hour,
    report.cost_rate(sum(case when is_priced then cost end), sum(allocated_unit_seconds)) as cost_per_allocated_hour,
    string_agg(distinct missing_components, '; ' order by missing_components) as missing_components,
    sum(unpriced_hours) as unpriced_hours
from costs
group by cluster, pool, currency
order by cluster, pool, currency
