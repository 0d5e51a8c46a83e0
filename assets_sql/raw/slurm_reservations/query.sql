with typed as (
    select
        source_line,
        record_text,
        problem,
        coalesce(given(cluster), $cluster) as cluster,
        given(reservation_id) as reservation_id,
        given(reservation_name) as reservation_name,
        given(node_list) as node_list,
        instant(given(started_at), $time_zone) as started_at,
        instant(given(ended_at), $time_zone) as ended_at,
        upper(given(flags)) as flags,
        given(tres) as reserved_tres,
        given(started_at) as start_text,
        given(ended_at) as end_text
    from delivered
)

select
    cluster,
    reservation_id,
    reservation_name,
    node_list,
    started_at,
    ended_at,
    flags,
    reserved_tres,
    source_line,
    record_text,
    case
        when problem is not null then problem
        when cluster is null then 'no_cluster'
        when not list_contains($clusters, cluster) then 'undeclared_cluster'
        when reservation_name is null then 'no_name'
        when $time_zone is null and (is_local_time(start_text) or is_local_time(end_text)) then 'undeclared_time_zone'
        when started_at is null then 'unreadable_start'
        when ended_at is null then 'unreadable_end'
        when ended_at < started_at then 'end_before_start'
        when not is_hostlist(node_list) then 'unreadable_node_list'
        when is_implausible_hostlist(node_list) then 'implausible_node_list'
    end as reject_reason,
    coalesce(plausible(started_at), plausible(ended_at)) as record_at,
    null::bigint as record_accelerator_seconds
from typed
