-- severity: error
-- The states of a day do not sum to what is installed.
select *
from report.fleet_efficiency_daily
where usage_date in (select usage_date from days)
    and installed_unit_seconds
    <> allocated_unit_seconds + reserved_idle_unit_seconds + idle_unit_seconds
    + down_planned_unit_seconds + down_unplanned_unit_seconds + draining_unit_seconds + stranded_unit_seconds
