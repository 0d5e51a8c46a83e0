-- Of what is collected as a whole (nodes, associations, the inventory, …): how many records the newest collection has,
-- beside the median of those of the four weeks before it.
with collections as (
    select
        source_kind as source,
        coalesce(cluster, '') as cluster,
        collected_at,
        cast(sum(accepted_rows + rejected_rows) as bigint) as records,
        max(collected_at) over (partition by source_kind, coalesce(cluster, '')) as newest_at
    from landing.deliveries
    where collected_at is not null
        and source_kind in ('slurm_nodes', 'slurm_associations', 'slurm_qos', 'inventory', 'org_mapping', 'entitlements')
    group by source_kind, coalesce(cluster, ''), collected_at
),

usual as (
    select
        source,
        cluster,
        median(records) as usual_records,
        count(*) as collections_before
    from collections
    where collected_at < newest_at and collected_at >= newest_at - interval 28 day
    group by source, cluster
)

select
    newest.source,
    newest.cluster,
    newest.collected_at,
    newest.records,
    usual.usual_records,
    case
        when usual.usual_records >= 10 and usual.collections_before >= 3
            then ratio(newest.records, usual.usual_records)
    end as share_of_usual
from collections as newest
left join usual on newest.source = usual.source and newest.cluster = usual.cluster
where newest.collected_at = newest.newest_at
