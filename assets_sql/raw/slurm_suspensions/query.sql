-- The table writes 0 for a suspension that has not ended.
with typed as (
    select
        source_line,
        record_text,
        problem,
        coalesce(given(cluster), $cluster) as cluster,
        whole(given(db_index)) as db_index,
        instant(given(suspended_at), $time_zone) as suspended_at,
        instant(nullif(given(resumed_at), '0'), $time_zone) as resumed_at,
        given(suspended_at) as suspended_text,
        nullif(given(resumed_at), '0') as resumed_text
    from delivered
)

select
    cluster,
    db_index,
    suspended_at,
    resumed_at,
    source_line,
    record_text,
    case
        when problem is not null then problem
        when cluster is null then 'no_cluster'
        when not list_contains($clusters, cluster) then 'undeclared_cluster'
        when db_index is null then 'no_db_index'
        when $time_zone is null and (is_local_time(suspended_text) or is_local_time(resumed_text))
            then 'undeclared_time_zone'
        when suspended_at is null then 'unreadable_start'
        when resumed_text is not null and resumed_at is null then 'unreadable_end'
        when resumed_at < suspended_at then 'end_before_start'
    end as reject_reason,
    plausible(suspended_at) as record_at,
    cast(null as bigint) as record_accelerator_seconds
from typed
