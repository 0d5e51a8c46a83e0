-- Types node events. A row without a node is the cluster registering its resources.
with typed as (
    select
        source_line,
        record_text,
        problem,
        coalesce(given(cluster), $cluster) as cluster,
        given(node) as node,
        given(cluster_nodes) as cluster_nodes,
        instant(given(started_at), $time_zone) as started_at,
        instant(given(ended_at), $time_zone) as ended_at,
        upper(given(state)) as node_state,
        whole(given(state_raw)) as state_raw,
        reason,
        given(tres) as node_tres,
        given(user_name) as user_name,
        given(started_at) as start_text,
        given(ended_at) as end_text
    from delivered
)

select
    cluster,
    node,
    cluster_nodes,
    started_at,
    ended_at,
    node_state,
    state_raw,
    reason,
    node_tres,
    user_name,
    source_line,
    record_text,
    case
        when problem is not null then problem
        when cluster is null then 'no_cluster'
        when not list_contains($clusters, cluster) then 'undeclared_cluster'
        when $time_zone is null and (is_local_time(start_text) or is_local_time(end_text)) then 'undeclared_time_zone'
        when started_at is null then 'unreadable_start'
        when end_text is not null and ended_at is null then 'unreadable_end'
        when is_implausible(started_at) or is_implausible(ended_at) then 'implausible_time'
        when ended_at < started_at then 'end_before_start'
        when node is not null and node_state is null then 'no_state'
        when node is not null and not regexp_matches(
            node_state,
            '^(DOWN|DRAIN|DRAINED|DRAINING|DRNG|FAIL|FAILING|FAILG|FUTURE|FUTR|INVAL|MAINT|POWERED_DOWN|POW_DN|POWERING_DOWN'
            || '|POWERING_UP|POW_UP|REBOOT|REBOOT_ISSUED|REBOOT_REQUESTED|BOOT|UNKNOWN|UNK|NO_RESPOND|ERROR|ERR|PERFCTRS|NPC'
            || '|IDLE|MIXED|MIX|ALLOCATED|ALLOC|COMPLETING|COMP|RESERVED|RESV|PLANNED|PLND|BLOCKED)([+*$~#%@^!-]|$)'
        ) then 'unknown_state'
    end as reject_reason,
    coalesce(plausible(started_at), plausible(ended_at)) as record_at,
    null::bigint as record_accelerator_seconds
from typed
