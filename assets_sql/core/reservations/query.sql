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

entries as (
    select
        reserved_tres,
        unnest(regexp_extract_all(reserved_tres, 'gres/gpu(?::[^=,]+)?=[0-9]{1,9}')) as entry
    from (select distinct reserved_tres from winners where reserved_tres is not null)
),

counts as (
    select
        reserved_tres,
        regexp_extract(entry, '^gres/gpu:([^=]+)=', 1) as accelerator_type,
        cast(regexp_extract(entry, '=([0-9]+)$', 1) as bigint) as accelerators
    from entries
),

-- Typed and untyped counts of one string overlap: the untyped count is the total, and what the types leave is untyped.
named_accelerators as (
    select
        counts.reserved_tres,
        coalesce(aliases.accelerator_model, lower(counts.accelerator_type)) as reserved_model,
        cast(sum(counts.accelerators) as bigint) as reserved_accelerators
    from counts
    left join site.accelerators as aliases on lower(counts.accelerator_type) = aliases.alias
    where counts.accelerator_type <> ''
    group by counts.reserved_tres, coalesce(aliases.accelerator_model, lower(counts.accelerator_type))
    union all
    select
        reserved_tres,
        '' as reserved_model,
        cast(
            max(case when accelerator_type = '' then accelerators else 0 end)
            - sum(case when accelerator_type <> '' then accelerators else 0 end) as bigint
        ) as reserved_accelerators
    from counts
    group by reserved_tres
    having max(case when accelerator_type = '' then accelerators else 0 end)
        > sum(case when accelerator_type <> '' then accelerators else 0 end)
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
        try_cast(regexp_extract(winners.reserved_tres, '(?:^|,)cpu=([0-9]{1,9})', 1) as bigint) as reserved_cpus,
        winners.reserved_tres,
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
    judged.source_file,
    judged.source_line
from judged
left join named_accelerators
    on judged.reserved_tres = named_accelerators.reserved_tres and not judged.takes_whole_node
