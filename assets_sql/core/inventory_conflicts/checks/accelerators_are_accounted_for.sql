-- severity: error
-- The scheduler's accounting does not track accelerators that are installed (AccountingStorageTRES lacks gres/gpu), and
-- no job says what it held: all of them would look idle.
select *
from core.inventory_conflicts
where conflict = 'not_accounted'
    and inventory_accelerators > 0
    and cluster not in (select cluster from core.attempts where accelerator_units > 0)
