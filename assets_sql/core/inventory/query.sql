-- The inventory rules. A cluster without one has what its scheduler's newest snapshot shows, from its first record on.
-- Where a node stands in it under several names at once, one of them counts: the scheduler's, else the first.
with newest as (
    select *
    from raw.inventory
    qualify row_number() over (
        partition by cluster, node, lower(coalesce(accelerator_model, '')), in_service_at
        order by collected_at desc nulls last, content_sha256 desc, source_line desc
    ) = 1
),

winners as (
    select
        newest.*,
        coalesce(names.node, newest.node) as scheduler_node,
        dense_rank() over (
            partition by newest.cluster, coalesce(names.node, newest.node)
            order by newest.node = names.node desc, newest.node
        ) as name_place
    from newest
    left join core.node_names as names on newest.cluster = names.cluster and newest.node = names.written_name
),

declared as (
    select
        winners.cluster,
        winners.scheduler_node as node,
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
    where not exists (
        select 1
        from winners as better
        where better.cluster = winners.cluster
            and better.scheduler_node = winners.scheduler_node
            and better.name_place < winners.name_place
            and better.in_service_at < coalesce(winners.retired_at, timestamp '9999-01-01')
            and coalesce(better.retired_at, timestamp '9999-01-01') > winners.in_service_at
    )
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
