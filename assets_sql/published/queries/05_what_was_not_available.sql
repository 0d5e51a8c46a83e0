-- Which nodes were not available, why, and for how much of their installed time?
-- Only accelerators that nobody held count: one that an attempt holds on a draining node is allocated.
with by_node as (
    select
        cluster,
        pool,
        node,
        accelerator_model,
        state,
        sum(unit_seconds) as unit_seconds,
        min(hour_at) as first_hour_at,
        max(hour_at) as last_hour_at,
        sum(sum(unit_seconds)) over (partition by cluster, pool, node, accelerator_model) as installed_unit_seconds
    from mart.capacity_ledger_hourly
    group by cluster, pool, node, accelerator_model, state
)

select
    cluster,
    pool,
    node,
    accelerator_model,
    state,
    report.accelerator_hours(unit_seconds) as accelerator_hours,
    report.rate(unit_seconds, installed_unit_seconds) as share_of_installed,
    first_hour_at,
    last_hour_at
from by_node
where state in ('down_planned', 'down_unplanned', 'draining_unusable')
order by accelerator_hours desc, cluster asc, pool asc, node asc, accelerator_model asc, state asc
