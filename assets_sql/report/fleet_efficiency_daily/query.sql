with ledger as (
    select
        usage_date,
        cluster,
        pool,
        accelerator_model,
        cast(sum(unit_seconds) as bigint) as installed_unit_seconds,
        cast(sum(case when state = 'allocated' then unit_seconds else 0 end) as bigint) as allocated_unit_seconds,
        cast(sum(case when state = 'reserved_idle' then unit_seconds else 0 end) as bigint)
            as reserved_idle_unit_seconds,
        cast(sum(case when state = 'idle_schedulable' then unit_seconds else 0 end) as bigint) as idle_unit_seconds,
        cast(sum(case when state = 'down_planned' then unit_seconds else 0 end) as bigint)
            as down_planned_unit_seconds,
        cast(sum(case when state = 'down_unplanned' then unit_seconds else 0 end) as bigint)
            as down_unplanned_unit_seconds,
        cast(sum(case when state = 'draining_unusable' then unit_seconds else 0 end) as bigint)
            as draining_unit_seconds,
        cast(sum(case when state = 'stranded' then unit_seconds else 0 end) as bigint) as stranded_unit_seconds
    from mart.capacity_ledger_hourly
    where usage_date in (select usage_date from days)
    group by usage_date, cluster, pool, accelerator_model
),

held as (
    select
        usage_date,
        cluster,
        pool,
        accelerator_model,
        cast(sum(overcommit_unit_seconds) as bigint) as overcommit_unit_seconds,
        cast(sum(unplaced_unit_seconds) as bigint) as unplaced_unit_seconds
    from mart.attempt_hours
    where usage_date in (select usage_date from days)
    group by usage_date, cluster, pool, accelerator_model
),

while_down as (
    select
        usage_date,
        cluster,
        pool,
        accelerator_model,
        cast(sum(
            least(held_units, installed_units) * seconds_between(starts_at, ends_at)
        ) as bigint) as allocated_while_down_unit_seconds
    from mart.node_timeline
    where usage_date in (select usage_date from days) and availability <> 'available'
    group by usage_date, cluster, pool, accelerator_model
),

joined as (
    select
        coalesce(ledger.usage_date, held.usage_date) as usage_date,
        coalesce(ledger.cluster, held.cluster) as cluster,
        coalesce(ledger.pool, held.pool) as pool,
        coalesce(ledger.accelerator_model, held.accelerator_model) as accelerator_model,
        coalesce(ledger.installed_unit_seconds, 0) as installed_unit_seconds,
        coalesce(ledger.allocated_unit_seconds, 0) as allocated_unit_seconds,
        coalesce(ledger.reserved_idle_unit_seconds, 0) as reserved_idle_unit_seconds,
        coalesce(ledger.idle_unit_seconds, 0) as idle_unit_seconds,
        coalesce(ledger.down_planned_unit_seconds, 0) as down_planned_unit_seconds,
        coalesce(ledger.down_unplanned_unit_seconds, 0) as down_unplanned_unit_seconds,
        coalesce(ledger.draining_unit_seconds, 0) as draining_unit_seconds,
        coalesce(ledger.stranded_unit_seconds, 0) as stranded_unit_seconds,
        coalesce(held.overcommit_unit_seconds, 0) as overcommit_unit_seconds,
        coalesce(held.unplaced_unit_seconds, 0) as unplaced_unit_seconds
    from ledger
    full outer join held
        on ledger.usage_date = held.usage_date
        and ledger.cluster = held.cluster
        and ledger.pool = held.pool
        and ledger.accelerator_model = held.accelerator_model
),

measured as (
    select
        joined.*,
        joined.installed_unit_seconds
        - joined.down_planned_unit_seconds
        - joined.down_unplanned_unit_seconds
        - joined.draining_unit_seconds as available_unit_seconds,
        coalesce(while_down.allocated_while_down_unit_seconds, 0) as allocated_while_down_unit_seconds
    from joined
    left join while_down
        on joined.usage_date = while_down.usage_date
        and joined.cluster = while_down.cluster
        and joined.pool = while_down.pool
        and joined.accelerator_model = while_down.accelerator_model
)

select
    measured.usage_date,
    measured.cluster,
    measured.pool,
    measured.accelerator_model,
    cluster_days.is_partial,
    unit_hours(measured.installed_unit_seconds) as installed_hours,
    unit_hours(measured.available_unit_seconds) as available_hours,
    unit_hours(measured.allocated_unit_seconds) as allocated_hours,
    unit_hours(measured.reserved_idle_unit_seconds) as reserved_idle_hours,
    unit_hours(measured.idle_unit_seconds) as idle_hours,
    unit_hours(measured.down_planned_unit_seconds) as down_planned_hours,
    unit_hours(measured.down_unplanned_unit_seconds) as down_unplanned_hours,
    unit_hours(measured.draining_unit_seconds) as draining_hours,
    unit_hours(measured.stranded_unit_seconds) as stranded_hours,
    unit_hours(measured.overcommit_unit_seconds) as overcommit_hours,
    unit_hours(measured.unplaced_unit_seconds) as unplaced_hours,
    unit_hours(measured.allocated_while_down_unit_seconds) as allocated_while_down_hours,
    ratio(measured.allocated_unit_seconds, measured.installed_unit_seconds) as allocation_rate_installed,
    ratio(measured.allocated_unit_seconds, measured.available_unit_seconds) as allocation_rate_available,
    cast(null as double) as sm_active_rate,
    cast(0 as double) as telemetry_coverage,
    cast(null as decimal(38, 6)) as productive_hours,
    measured.installed_unit_seconds,
    measured.available_unit_seconds,
    measured.allocated_unit_seconds,
    measured.reserved_idle_unit_seconds,
    measured.idle_unit_seconds,
    measured.down_planned_unit_seconds,
    measured.down_unplanned_unit_seconds,
    measured.draining_unit_seconds,
    measured.stranded_unit_seconds,
    measured.overcommit_unit_seconds,
    measured.unplaced_unit_seconds,
    day_trust.trust
from measured
inner join core.cluster_days as cluster_days
    on measured.usage_date = cluster_days.usage_date and measured.cluster = cluster_days.cluster
left join core.day_trust as day_trust on measured.usage_date = day_trust.usage_date and measured.cluster = day_trust.cluster
