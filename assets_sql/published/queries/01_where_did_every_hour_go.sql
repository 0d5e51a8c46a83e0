-- Where did every installed accelerator-hour go, and what share is that?
-- The states sum to what was installed, exactly: they come from the conserved ledger.
select
    cluster,
    state,
    report.accelerator_hours(sum(unit_seconds)) as accelerator_hours,
    report.rate(sum(unit_seconds), sum(sum(unit_seconds)) over (partition by cluster)) as share_of_installed
from mart.capacity_ledger_hourly
group by cluster, state
order by
    cluster,
    list_position(
        [
            'allocated', 'reserved_idle', 'stranded', 'idle_schedulable', 'draining_unusable', 'down_planned',
            'down_unplanned'
        ],
        state
    )
