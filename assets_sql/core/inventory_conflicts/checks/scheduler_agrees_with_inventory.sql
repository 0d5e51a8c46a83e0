-- severity: warn
-- The scheduler shows another number of accelerators on a node than the inventory, which rules.
select * from core.inventory_conflicts
