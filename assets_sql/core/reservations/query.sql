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
        tres as reserved_tres,
        cast(sum(accelerators_counted) as bigint) as reserved_accelerators
    from core.tres
    where gres_name = 'gpu'
    group by tres
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
        named_accelerators.reserved_accelerators,
        winners.source_file,
        winners.source_line
    from winners
    inner join core.hostlists as hostlists on winners.node_list = hostlists.node_list
    left join node_cpus on winners.cluster = node_cpus.cluster and hostlists.node = node_cpus.node
    left join named_accelerators on winners.reserved_tres = named_accelerators.reserved_tres
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
)

select
    cluster,
    coalesce(reservation_id, reservation_name) as reservation_id,
    reservation_name,
    node,
    started_at as starts_at,
    ended_at as ends_at,
    regexp_matches(flags, '(^|,)MAINT(,|$)') as is_maintenance,
    regexp_matches(flags, '(^|,)IGNORE_JOBS(,|$)') as ignores_jobs,
    coalesce(reserved_cpus >= nodes_cpus, true) as takes_whole_node,
    case
        when coalesce(reserved_cpus >= nodes_cpus, true) then 0
        else coalesce(
            reserved_accelerators // node_count
            + case when node_place <= reserved_accelerators % node_count then 1 else 0 end,
            0
        )
    end * 84000 as reserved_units,
    reserved_tres,
    source_file,
    source_line
from totals
