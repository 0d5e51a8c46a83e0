-- severity: error
-- The components of a day do not sum to its cost.
select *
from report.cost_per_accelerator_hour_daily
where usage_date in (select usage_date from days)
    and known_cost <> depreciation_cost + power_cost + colo_cost + support_cost + compute_cost + storage_cost + other_cost
