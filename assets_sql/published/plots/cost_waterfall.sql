-- What the accelerator-hours of the newest month cost, by where they went: a step for each state of the ledger, in its
-- order. Of pools that only bills know nobody can say where they went. What is not priced is not here.
with days as (
    select
        costs.usage_date,
        costs.currency,
        cast(costs.known_cost as double) as cost,
        fleet.installed_unit_seconds,
        fleet.down_planned_unit_seconds,
        fleet.down_unplanned_unit_seconds,
        fleet.draining_unit_seconds,
        fleet.reserved_idle_unit_seconds,
        fleet.stranded_unit_seconds,
        fleet.idle_unit_seconds,
        fleet.allocated_unit_seconds
    from report.cost_per_accelerator_hour_daily as costs
    left join report.fleet_efficiency_daily as fleet
        on costs.usage_date = fleet.usage_date
        and costs.cluster = fleet.cluster
        and costs.pool = fleet.pool
        and costs.accelerator_model = fleet.accelerator_model
        and fleet.installed_unit_seconds > 0
    where costs.known_cost is not null
        and date_trunc('month', costs.usage_date) = (
            select date_trunc('month', max(newest.usage_date))
            from report.cost_per_accelerator_hour_daily as newest
            where newest.known_cost is not null
        )
)

select
    currency,
    max(usage_date) as last_date,
    sum(cost) as paid,
    sum(cost * down_planned_unit_seconds / installed_unit_seconds) as down_planned,
    sum(cost * down_unplanned_unit_seconds / installed_unit_seconds) as down_unplanned,
    sum(cost * draining_unit_seconds / installed_unit_seconds) as draining,
    sum(cost * reserved_idle_unit_seconds / installed_unit_seconds) as reserved_idle,
    sum(cost * stranded_unit_seconds / installed_unit_seconds) as stranded,
    sum(cost * idle_unit_seconds / installed_unit_seconds) as idle,
    sum(case when installed_unit_seconds is null then cost end) as unknown_use,
    sum(cost * allocated_unit_seconds / installed_unit_seconds) as allocated
from days
group by currency
having sum(cost) > 0
order by paid desc, currency asc
