-- severity: warn
-- The inventory, which rules, disagrees with what the scheduler shows of a node, or has one node under several names.
select * from core.inventory_conflicts
