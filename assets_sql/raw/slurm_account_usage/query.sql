-- The report's window stands in its title; sreport writes the last second of the window, we the end.
with typed as (
    select
        source_line,
        record_text,
        problem,
        given(cluster) as cluster,
        given(account) as account,
        given(user_name) as user_name,
        lower(given(resource)) as resource,
        whole(given(used)) as used_seconds,
        instant($window_start, $time_zone) as window_start_at,
        instant($window_end, $time_zone) + interval 1 second as window_end_at
    from delivered
)

select
    cluster,
    account,
    user_name,
    resource,
    used_seconds,
    window_start_at,
    window_end_at,
    source_line,
    record_text,
    case
        when problem is not null then problem
        when cluster is null then 'no_cluster'
        when not list_contains($clusters, cluster) then 'undeclared_cluster'
        when account is null then 'no_account'
        when resource is null then 'no_resource'
        when used_seconds is null or used_seconds < 0 then 'unreadable_usage'
        when $time_zone is null and (is_local_time($window_start) or is_local_time($window_end))
            then 'undeclared_time_zone'
        when window_start_at is null or window_end_at is null then 'unreadable_window'
    end as reject_reason,
    plausible(window_start_at) as record_at,
    null::bigint as record_accelerator_seconds
from typed
