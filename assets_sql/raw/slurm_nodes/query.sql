with typed as (
    select
        source_line,
        record_text,
        problem,
        $cluster as cluster,
        given(node) as node,
        upper(given(state)) as node_state,
        given(partitions) as partitions,
        whole(given(cpus)) as cpus,
        whole(given(memory_mib)) as memory_mib,
        given(gres) as gres,
        given(configured_tres) as configured_tres,
        given(reason) as reason,
        instant(given(reason_time), $time_zone) as reason_at,
        given(cpus) as cpus_text
    from delivered
)

select
    cluster,
    node,
    node_state,
    partitions,
    cpus,
    memory_mib,
    gres,
    configured_tres,
    reason,
    reason_at,
    source_line,
    record_text,
    case
        when problem is not null then problem
        when node is null then 'no_node'
        when cpus_text is not null and coalesce(cpus, -1) < 0 then 'unreadable_cpus'
    end as reject_reason,
    null::timestamp as record_at,
    null::bigint as record_accelerator_seconds
from typed
