-- The inventory says how a node's accelerators are shared; where it does not, the scheduler's newest snapshot does, for all
-- times. A count of 0 declares nothing. Slices that weigh more than the devices they are cut from are scaled down to
-- them; shards and MPS shares divide what the node has, and replicas each of its devices.
with declared as (
    select
        cluster,
        node,
        accelerator_model,
        installed_accelerators * 84000 as device_units,
        in_service_at as valid_from_at,
        coalesce(retired_at, timestamp '9999-01-01') as valid_to_at,
        unnest(string_split(lower(sharing), ',')) as entry
    from core.inventory
    where sharing is not null and installed_accelerators > 0
),

-- `mig` alone declares no count.
declared_shares as (
    select
        cluster,
        node,
        accelerator_model,
        device_units,
        valid_from_at,
        valid_to_at,
        trim(regexp_extract(entry, '^([^=]*)', 1)) as share,
        try_cast(regexp_extract(entry, '=([0-9]{1,9})$', 1) as bigint)
        * case when trim(entry) like 'replicas=%' then device_units // 84000 else 1 end as configured
    from declared
    where trim(entry) = 'mig' or regexp_matches(entry, '=0*[1-9][0-9]{0,8}$')
),

node_models as (
    select distinct
        cluster,
        node,
        accelerator_model
    from core.node_capacity
    where installed_units > 0
),

equipped_nodes as (
    select distinct
        cluster,
        node
    from node_models
),

-- A type by which the inventory knows nothing there is of what the inventory has there. Of slices without a weight, not
-- even the devices that they are cut from are known.
seen as (
    select
        gres.cluster,
        gres.node,
        capacity.accelerator_model,
        capacity.installed_units as device_units,
        capacity.valid_from_at,
        capacity.valid_to_at,
        gres.share,
        gres.share_count as configured
    from core.node_gres as gres
    inner join core.node_capacity as capacity
        on gres.cluster = capacity.cluster
        and gres.node = capacity.node
    left join equipped_nodes as equipped
        on capacity.cluster = equipped.cluster and capacity.node = equipped.node
    left join node_models
        on gres.cluster = node_models.cluster
        and gres.node = node_models.node
        and gres.accelerator_model = node_models.accelerator_model
    left join declared
        on capacity.cluster = declared.cluster
        and capacity.node = declared.node
        and capacity.valid_from_at < declared.valid_to_at
        and capacity.valid_to_at > declared.valid_from_at
    where gres.share <> ''
        and declared.node is null
        and (capacity.installed_units > 0 or (equipped.node is null and gres.share not in ('shard', 'mps')))
        and (node_models.node is null or node_models.accelerator_model = capacity.accelerator_model)
),

configured_shares as (
    select * from declared_shares
    union all
    select * from seen
),

weighed as (
    select
        configured_shares.*,
        weights.slice_units,
        sum(configured_shares.configured * weights.slice_units) over (
            partition by
                configured_shares.cluster,
                configured_shares.node,
                configured_shares.accelerator_model,
                configured_shares.valid_from_at
        ) as configured_units
    from configured_shares
    left join core.mig_weights as weights
        on configured_shares.accelerator_model = weights.accelerator_model and configured_shares.share = weights.share
)

select
    cluster,
    node,
    accelerator_model,
    share,
    cast(case
        when max(device_units) = 0 then null
        when share in ('shard', 'mps', 'replicas') then max(device_units)
        when max(configured_units) > max(device_units) then max(slice_units) * max(device_units)
        else max(slice_units)
    end as bigint) as share_units,
    cast(case
        when share in ('shard', 'mps', 'replicas') then sum(configured)
        when max(slice_units) is null then null
        when max(configured_units) > max(device_units) then max(configured_units)
        else 1
    end as bigint) as share_count,
    valid_from_at,
    max(valid_to_at) as valid_to_at
from weighed
group by cluster, node, accelerator_model, share, valid_from_at
