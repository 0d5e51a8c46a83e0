-- severity: error
-- The seven states of a node-hour do not sum to what the inventory has installed, to the unit-second.
with hours as (
    select cluster_hours.*
    from core.cluster_hours as cluster_hours
    inner join days on cluster_hours.usage_date = days.usage_date
),

entries as (
    select
        hours.usage_date,
        hours.hour_at,
        capacity.cluster,
        capacity.node,
        capacity.accelerator_model,
        capacity.installed_units * seconds_between(
            greatest(capacity.valid_from_at, hours.starts_at), least(capacity.valid_to_at, hours.ends_at)
        ) as installed_unit_seconds,
        0 as ledger_unit_seconds
    from core.node_capacity as capacity
    inner join hours
        on capacity.cluster = hours.cluster
        and capacity.valid_from_at < hours.ends_at
        and capacity.valid_to_at > hours.starts_at
    where capacity.installed_units > 0
    union all
    select
        usage_date,
        hour_at,
        cluster,
        node,
        accelerator_model,
        0 as installed_unit_seconds,
        unit_seconds as ledger_unit_seconds
    from mart.capacity_ledger_hourly
    where usage_date in (select usage_date from days)
)

select
    usage_date,
    hour_at,
    cluster,
    node,
    accelerator_model,
    cast(sum(installed_unit_seconds) as bigint) as installed_unit_seconds,
    cast(sum(ledger_unit_seconds) as bigint) as ledger_unit_seconds
from entries
group by usage_date, hour_at, cluster, node, accelerator_model
having sum(installed_unit_seconds - ledger_unit_seconds) <> 0
