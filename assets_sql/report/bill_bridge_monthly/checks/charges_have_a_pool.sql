-- severity: warn
-- Costs that no rule of the site assigns to a pool; they are in the cluster `unassigned`.
select *
from report.bill_bridge_monthly
where unassigned_cost <> 0
