-- A month is the sum of its days; it has a cost only where each of them has one.
with months as (
    select
        cast(date_trunc('month', usage_date) as date) as usage_month,
        cluster,
        pool,
        accelerator_model,
        currency,
        case when count(cost) = count(*) then sum(cost) end as cost,
        sum(known_cost) as known_cost,
        sum(depreciation_cost) as depreciation_cost,
        sum(power_cost) as power_cost,
        sum(colo_cost) as colo_cost,
        sum(support_cost) as support_cost,
        sum(other_cost) as other_cost,
        sum(straight_line_cost) as straight_line_cost,
        sum(annuity_cost) as annuity_cost,
        count(*) as days_counted,
        count(cost) as days_priced,
        sum(unpriced_hours) as unpriced_hours,
        cast(sum(installed_unit_seconds) as bigint) as installed_unit_seconds,
        cast(sum(available_unit_seconds) as bigint) as available_unit_seconds,
        cast(sum(allocated_unit_seconds) as bigint) as allocated_unit_seconds
    from report.cost_per_accelerator_hour_daily
    group by date_trunc('month', usage_date), cluster, pool, accelerator_model, currency
)

select
    usage_month,
    cluster,
    pool,
    accelerator_model,
    currency,
    cost,
    known_cost,
    depreciation_cost,
    power_cost,
    colo_cost,
    support_cost,
    other_cost,
    straight_line_cost,
    annuity_cost,
    days_counted,
    days_priced,
    unpriced_hours,
    unit_hours(installed_unit_seconds) as installed_hours,
    unit_hours(available_unit_seconds) as available_hours,
    unit_hours(allocated_unit_seconds) as allocated_hours,
    cast(null as decimal(38, 6)) as sm_active_hours,
    cast(null as decimal(38, 6)) as productive_hours,
    cost_per_hour(cost, installed_unit_seconds) as cost_per_installed_hour,
    cost_per_hour(cost, available_unit_seconds) as cost_per_available_hour,
    cost_per_hour(cost, allocated_unit_seconds) as cost_per_allocated_hour,
    cast(null as double) as cost_per_sm_active_hour,
    cast(null as double) as cost_per_productive_hour,
    installed_unit_seconds,
    available_unit_seconds,
    allocated_unit_seconds
from months
