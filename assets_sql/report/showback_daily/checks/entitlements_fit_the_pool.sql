-- severity: warn
-- Teams are entitled to more of a model than is installed.
select
    showback.usage_date,
    showback.cluster,
    showback.pool,
    showback.accelerator_model,
    fleet.installed_hours,
    sum(showback.entitled_hours) as entitled_hours
from report.showback_daily as showback
inner join report.fleet_efficiency_daily as fleet
    on showback.usage_date = fleet.usage_date
    and showback.cluster = fleet.cluster
    and showback.pool = fleet.pool
    and showback.accelerator_model = fleet.accelerator_model
where showback.usage_date in (select usage_date from days) and showback.idle_policy = 'entitlement'
group by
    showback.usage_date,
    showback.cluster,
    showback.pool,
    showback.accelerator_model,
    showback.currency,
    fleet.installed_hours,
    fleet.installed_unit_seconds
having sum(showback.entitled_unit_seconds) > fleet.installed_unit_seconds
