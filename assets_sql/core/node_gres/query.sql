with newest as (
    select
        cluster,
        node,
        configured_tres,
        node_tres(configured_tres, gres) as tres
    from raw.slurm_nodes
    qualify row_number() over (
        partition by cluster, node
        order by collected_at desc nulls last, content_sha256 desc, source_line desc
    ) = 1
)

select
    newest.cluster,
    newest.node,
    tres.gres_name,
    tres.accelerator_type,
    coalesce(
        aliases.accelerator_model, case when tres.device_type = '' then 'unknown' else tres.device_type end
    ) as accelerator_model,
    tres.share,
    tres.accelerators_counted as share_count,
    weights.slice_units,
    regexp_matches(coalesce(newest.configured_tres, ''), 'gres/(gpu|shard|mps)(:[^=,]+)?=') as is_accounted
from newest
inner join core.tres as tres on newest.tres = tres.tres
left join site.accelerators as aliases on tres.device_type = aliases.alias
left join core.mig_weights as weights
    on aliases.accelerator_model = weights.accelerator_model and tres.share = weights.share
