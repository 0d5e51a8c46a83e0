-- What demand went unserved, and was it a shortage or fragmentation?
-- Demand is what was allocated and what waited for capacity. Unmet is what waited beyond what was free in the same hour;
-- in a fragmented hour accelerators were free while jobs waited for capacity. Null: no snapshots of the queue say.
select
    usage_date,
    cluster,
    allocated_hours,
    pending_accelerator_hours,
    pending_capacity_hours,
    capacity_demand_hours,
    unmet_hours,
    fragmented_hours,
    queue_coverage
from report.demand_daily
order by unmet_hours desc nulls last, usage_date asc, cluster asc
