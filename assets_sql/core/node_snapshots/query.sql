-- What the scheduler itself says that nodes have: the newest snapshot of each node.
with newest as (
    select *
    from raw.slurm_nodes
    qualify row_number() over (
        partition by cluster, node
        order by collected_at desc nulls last, content_sha256 desc, source_line desc
    ) = 1
),

typed as (
    select
        cluster,
        node,
        unnest(regexp_extract_all(coalesce(configured_tres, ''), 'gres/gpu:[^=,]+=[0-9]{1,9}')) as entry
    from newest
),

counts as (
    select
        cluster,
        node,
        lower(regexp_extract(entry, '^gres/gpu:([^=]+)=', 1)) as accelerator_type,
        cast(regexp_extract(entry, '=([0-9]+)$', 1) as bigint) as accelerators
    from typed
    union all
    select
        cluster,
        node,
        'unknown' as accelerator_type,
        coalesce(try_cast(regexp_extract(configured_tres, 'gres/gpu=([0-9]{1,9})', 1) as bigint), 0) as accelerators
    from newest
    where not regexp_matches(coalesce(configured_tres, ''), 'gres/gpu:')
)

select
    newest.cluster,
    newest.node,
    coalesce(aliases.accelerator_model, counts.accelerator_type) as accelerator_model,
    cast(sum(counts.accelerators) as bigint) as installed_accelerators,
    max(newest.cpus) as node_cpus,
    max(newest.node_state) as node_state,
    max(newest.collected_at) as collected_at
from newest
inner join counts on newest.cluster = counts.cluster and newest.node = counts.node
left join site.accelerators as aliases on counts.accelerator_type = aliases.alias
group by newest.cluster, newest.node, coalesce(aliases.accelerator_model, counts.accelerator_type)
