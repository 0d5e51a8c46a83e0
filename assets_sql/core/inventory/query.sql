-- The inventory rules. A cluster without one has what its scheduler's newest snapshot shows, from its first record on.
with winners as (
    select *
    from raw.inventory
    qualify row_number() over (
        partition by cluster, node, lower(coalesce(accelerator_model, '')), in_service_at
        order by collected_at desc nulls last, content_sha256 desc, source_line desc
    ) = 1
),

declared as (
    select
        winners.cluster,
        winners.node,
        coalesce(aliases.accelerator_model, lower(winners.accelerator_model), 'none') as accelerator_model,
        winners.pool,
        winners.installed_accelerators,
        winners.in_service_at,
        winners.retired_at,
        winners.sharing,
        winners.source_file,
        winners.source_line
    from winners
    left join site.accelerators as aliases on lower(winners.accelerator_model) = aliases.alias
),

inferred as (
    select
        snapshots.cluster,
        snapshots.node,
        snapshots.accelerator_model,
        'unassigned' as pool,
        snapshots.installed_accelerators,
        clusters.first_record_at as in_service_at,
        cast(null as timestamp) as retired_at,
        cast(null as varchar) as sharing,
        cast(null as varchar) as source_file,
        cast(null as bigint) as source_line
    from core.node_snapshots as snapshots
    inner join core.clusters as clusters on snapshots.cluster = clusters.cluster
    left join declared on snapshots.cluster = declared.cluster
    where declared.cluster is null and clusters.first_record_at is not null
)

select
    cluster,
    node,
    accelerator_model,
    pool,
    installed_accelerators,
    in_service_at,
    retired_at,
    sharing,
    false as is_inferred,
    source_file,
    source_line
from declared
union all
select
    cluster,
    node,
    accelerator_model,
    pool,
    installed_accelerators,
    in_service_at,
    retired_at,
    sharing,
    true as is_inferred,
    source_file,
    source_line
from inferred
