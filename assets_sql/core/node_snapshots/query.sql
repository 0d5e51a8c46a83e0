-- What the scheduler itself says that nodes have: the newest snapshot of each node. Slices count as the smallest number of
-- devices that they can be cut from; shards and MPS shares are of devices that are counted themselves.
with newest as (
    select *
    from raw.slurm_nodes
    qualify row_number() over (
        partition by cluster, node
        order by collected_at desc nulls last, content_sha256 desc, source_line desc
    ) = 1
),

devices as (
    select
        cluster,
        node,
        accelerator_model,
        cast(sum(case when share = '' then share_count else 0 end) as bigint) as whole,
        cast(sum(case when share <> '' then share_count * coalesce(slice_units, 0) else 0 end) as bigint) as slice_units
    from core.node_gres
    where gres_name = 'gpu'
    group by cluster, node, accelerator_model
)

select
    newest.cluster,
    newest.node,
    coalesce(devices.accelerator_model, 'unknown') as accelerator_model,
    coalesce(devices.whole + (devices.slice_units + 83999) // 84000, 0) as installed_accelerators,
    newest.cpus as node_cpus,
    newest.memory_mib,
    newest.node_state,
    newest.collected_at
from newest
left join devices on newest.cluster = devices.cluster and newest.node = devices.node
