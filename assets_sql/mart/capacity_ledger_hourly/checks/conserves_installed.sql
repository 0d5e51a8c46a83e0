-- severity: error
-- The seven states of a node-hour do not sum to what the inventory has installed, to the unit-second.
with installed as (
    select
        hours.usage_date,
        hours.hour_at,
        capacity.cluster,
        capacity.node,
        capacity.accelerator_model,
        cast(sum(capacity.installed_units * seconds_between(
            greatest(capacity.valid_from_at, hours.starts_at), least(capacity.valid_to_at, hours.ends_at)
        )) as bigint) as installed_unit_seconds
    from core.node_capacity as capacity
    inner join core.cluster_hours as hours
        on capacity.cluster = hours.cluster
        and capacity.valid_from_at < hours.ends_at
        and capacity.valid_to_at > hours.starts_at
    where capacity.installed_units > 0
    group by hours.usage_date, hours.hour_at, capacity.cluster, capacity.node, capacity.accelerator_model
),

ledger as (
    select
        usage_date,
        hour_at,
        cluster,
        node,
        accelerator_model,
        cast(sum(unit_seconds) as bigint) as ledger_unit_seconds
    from mart.capacity_ledger_hourly
    group by usage_date, hour_at, cluster, node, accelerator_model
)

select
    coalesce(installed.usage_date, ledger.usage_date) as usage_date,
    coalesce(installed.hour_at, ledger.hour_at) as hour_at,
    coalesce(installed.cluster, ledger.cluster) as cluster,
    coalesce(installed.node, ledger.node) as node,
    coalesce(installed.accelerator_model, ledger.accelerator_model) as accelerator_model,
    installed.installed_unit_seconds,
    ledger.ledger_unit_seconds
from installed
full outer join ledger
    on installed.usage_date = ledger.usage_date
    and installed.hour_at = ledger.hour_at
    and installed.cluster = ledger.cluster
    and installed.node = ledger.node
    and installed.accelerator_model = ledger.accelerator_model
where installed.installed_unit_seconds is distinct from ledger.ledger_unit_seconds
