-- What was kept free by reservations that did not use it, on which node and in which hour?
select
    hour_at,
    cluster,
    pool,
    node,
    accelerator_model,
    report.accelerator_hours(sum(case when state = 'reserved_idle' then unit_seconds else 0 end)) as reserved_idle_hours,
    report.accelerator_hours(sum(unit_seconds)) as installed_hours,
    report.rate(
        sum(case when state = 'reserved_idle' then unit_seconds else 0 end), sum(unit_seconds)
    ) as share_of_installed
from mart.capacity_ledger_hourly
group by hour_at, cluster, pool, node, accelerator_model
having sum(case when state = 'reserved_idle' then unit_seconds else 0 end) > 0
order by hour_at, cluster, pool, node, accelerator_model
