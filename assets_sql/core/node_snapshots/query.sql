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

typed_counts as (
    select
        cluster,
        node,
        lower(regexp_extract(entry, '^gres/gpu:([^=]+)=', 1)) as accelerator_type,
        cast(regexp_extract(entry, '=([0-9]+)$', 1) as bigint) as accelerators
    from typed
),

typed_totals as (
    select
        cluster,
        node,
        cast(sum(accelerators) as bigint) as typed_total
    from typed_counts
    group by cluster, node
),

untyped_totals as (
    select
        cluster,
        node,
        coalesce(try_cast(regexp_extract(configured_tres, 'gres/gpu=([0-9]{1,9})', 1) as bigint), 0) as untyped_total
    from newest
),

-- The untyped count is the total: what the types leave of it is of an unknown model.
counts as (
    select * from typed_counts
    union all
    select
        untyped_totals.cluster,
        untyped_totals.node,
        'unknown' as accelerator_type,
        untyped_totals.untyped_total - coalesce(typed_totals.typed_total, 0) as accelerators
    from untyped_totals
    left join typed_totals
        on untyped_totals.cluster = typed_totals.cluster and untyped_totals.node = typed_totals.node
    where typed_totals.typed_total is null or untyped_totals.untyped_total > typed_totals.typed_total
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
