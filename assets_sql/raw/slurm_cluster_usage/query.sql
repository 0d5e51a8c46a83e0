-- The report's window stands in its title; sreport writes the last second of the window, we the end.
with typed as (
    select
        source_line,
        record_text,
        problem,
        given(cluster) as cluster,
        lower(given(resource)) as resource,
        whole(given(resource_count)) as resource_count,
        whole(given(allocated)) as allocated_seconds,
        whole(given(down)) as down_seconds,
        whole(given(planned_down)) as planned_down_seconds,
        whole(given(idle)) as idle_seconds,
        whole(given(planned)) as planned_seconds,
        whole(given(overcommitted)) as overcommitted_seconds,
        whole(given(reported)) as reported_seconds,
        instant($window_start, $time_zone) as window_start_at,
        instant($window_end, $time_zone) + interval 1 second as window_end_at,
        given(resource_count) as count_text,
        given(down) as down_text,
        given(planned_down) as planned_down_text,
        given(idle) as idle_text,
        given(planned) as planned_text,
        given(overcommitted) as overcommitted_text,
        given(reported) as reported_text
    from delivered
)

select
    cluster,
    resource,
    resource_count,
    allocated_seconds,
    down_seconds,
    planned_down_seconds,
    idle_seconds,
    planned_seconds,
    overcommitted_seconds,
    reported_seconds,
    window_start_at,
    window_end_at,
    source_line,
    record_text,
    case
        when problem is not null then problem
        when cluster is null then 'no_cluster'
        when not list_contains($clusters, cluster) then 'undeclared_cluster'
        when resource is null then 'no_resource'
        when coalesce(allocated_seconds, -1) < 0
            or (down_text is not null and coalesce(down_seconds, -1) < 0)
            or (planned_down_text is not null and coalesce(planned_down_seconds, -1) < 0)
            or (idle_text is not null and coalesce(idle_seconds, -1) < 0)
            or (planned_text is not null and coalesce(planned_seconds, -1) < 0)
            or (overcommitted_text is not null and coalesce(overcommitted_seconds, -1) < 0)
            or (reported_text is not null and coalesce(reported_seconds, -1) < 0)
            or (count_text is not null and coalesce(resource_count, -1) < 0)
            then 'unreadable_usage'
        when $time_zone is null and (is_local_time($window_start) or is_local_time($window_end))
            then 'undeclared_time_zone'
        when window_start_at is null or window_end_at is null or window_end_at <= window_start_at
            then 'unreadable_window'
    end as reject_reason,
    plausible(window_start_at) as record_at,
    null::bigint as record_accelerator_seconds
from typed
