-- Reservations by node. One that has fewer CPUs than its nodes reserves cores and no accelerators, unless it names some;
-- where the CPUs of its nodes are unknown it is taken to have the whole nodes.
with winners as (
    select *
    from raw.slurm_reservations
    qualify row_number() over (
        partition by cluster, coalesce(reservation_id, reservation_name), started_at
        order by collected_at desc nulls last, ended_at desc, content_sha256 desc, source_line desc
    ) = 1
),

node_cpus as (
    select
        cluster,
        node,
        max(node_cpus) as node_cpus
    from core.node_snapshots
    group by cluster, node
),

named_accelerators as (
    select
        tres.tres as reserved_tres,
        coalesce(aliases.accelerator_model, tres.device_type) as reserved_model,
        cast(sum(tres.accelerators_counted) as bigint) as reserved_accelerators
    from core.tres as tres
    left join site.accelerators as aliases on tres.device_type = aliases.alias
    where tres.gres_name = 'gpu' and tres.share = ''
    group by tres.tres, coalesce(aliases.accelerator_model, tres.device_type)
),

by_node as (
    select
        winners.cluster,
        winners.reservation_id,
        winners.reservation_name,
        hostlists.node,
        winners.started_at,
        winners.ended_at,
        coalesce(winners.flags, '') as flags,
        node_cpus.node_cpus,
        winners.reserved_tres,
        try_cast(regexp_extract(winners.reserved_tres, '(?:^|,)cpu=([0-9]{1,9})', 1) as bigint) as reserved_cpus,
        winners.source_file,
        winners.source_line
    from winners
    inner join core.hostlists as hostlists on winners.node_list = hostlists.node_list
    left join node_cpus on winners.cluster = node_cpus.cluster and hostlists.node = node_cpus.node
),

totals as (
    select
        *,
        count(*) over (partition by cluster, reservation_id, reservation_name, started_at) as node_count,
        row_number() over (
            partition by cluster, reservation_id, reservation_name, started_at order by node
        ) as node_place,
        case when count(node_cpus) over (partition by cluster, reservation_id, reservation_name, started_at)
            = count(*) over (partition by cluster, reservation_id, reservation_name, started_at)
            then sum(node_cpus) over (partition by cluster, reservation_id, reservation_name, started_at)
        end as nodes_cpus
    from by_node
),

judged as (
    select
        *,
        coalesce(reserved_cpus >= nodes_cpus, true) as takes_whole_node
    from totals
)

select
    judged.cluster,
    coalesce(judged.reservation_id, judged.reservation_name) as reservation_id,
    judged.reservation_name,
    judged.node,
    judged.started_at as starts_at,
    judged.ended_at as ends_at,
    regexp_matches(judged.flags, '(^|,)MAINT(,|$)') as is_maintenance,
    regexp_matches(judged.flags, '(^|,)IGNORE_JOBS(,|$)') as ignores_jobs,
    judged.takes_whole_node,
    coalesce(named_accelerators.reserved_model, '') as reserved_model,
    coalesce(
        named_accelerators.reserved_accelerators // judged.node_count
        + case when judged.node_place <= named_accelerators.reserved_accelerators % judged.node_count then 1 else 0 end,
        0
    ) * 84000 as reserved_units,
    judged.reserved_tres,
    judged.source_file,
    judged.source_line
from judged
left join named_accelerators
    on judged.reserved_tres = named_accelerators.reserved_tres and not judged.takes_whole_node
