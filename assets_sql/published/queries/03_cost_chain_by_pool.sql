-- What did an accelerator-hour of each pool cost: installed, available, allocated?
-- The same cost over ever fewer hours. It is null where a day of the pool has no cost: known_cost shows what is known.
select
    cluster,
    pool,
    currency,
    report.whole_sum(cost) as cost,
    sum(known_cost) as known_cost,
    report.cost_rate(report.whole_sum(cost), sum(installed_unit_seconds)) as cost_per_installed_hour,
    report.cost_rate(report.whole_sum(cost), sum(available_unit_seconds)) as cost_per_available_hour,
    report.cost_rate(report.whole_sum(cost), sum(allocated_unit_seconds)) as cost_per_allocated_hour,
    string_agg(distinct missing_components, '; ' order by missing_components) as missing_components,
    sum(unpriced_hours) as unpriced_hours
from report.cost_per_accelerator_hour_daily
group by cluster, pool, currency
order by cluster, pool, currency
