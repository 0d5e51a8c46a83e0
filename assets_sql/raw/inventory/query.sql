with typed as (
    select
        source_line,
        record_text,
        problem,
        coalesce(given(cluster), $cluster) as cluster,
        given(node) as node,
        given(pool) as pool,
        given(accelerator_model) as accelerator_model,
        whole(given(accelerators)) as installed_accelerators,
        lower(regexp_replace(given(sharing), '\s+', '', 'g')) as sharing,
        instant(given(in_service_at), $time_zone) as in_service_at,
        instant(given(retired_at), $time_zone) as retired_at,
        given(in_service_at) as in_service_text,
        given(retired_at) as retired_text
    from delivered
)

select
    cluster,
    node,
    pool,
    accelerator_model,
    installed_accelerators,
    in_service_at,
    retired_at,
    sharing,
    source_line,
    record_text,
    case
        when problem is not null then problem
        when cluster is null then 'no_cluster'
        when not list_contains($clusters, cluster) then 'undeclared_cluster'
        when node is null then 'no_node'
        when pool is null then 'no_pool'
        when installed_accelerators is null or installed_accelerators < 0 then 'unreadable_accelerators'
        when installed_accelerators > 4096 then 'implausible_accelerators'
        when installed_accelerators > 0 and accelerator_model is null then 'no_model'
        when not regexp_full_match(
            coalesce(sharing, 'mig'), 'mig|replicas=[1-9][0-9]{0,3}|([0-9]{1,4}g\.[0-9]{1,6}gb|shard|mps)=[0-9]{1,9}(,([0-9]{1,4}g\.[0-9]{1,6}gb|shard|mps)=[0-9]{1,9})*'
        ) then 'unreadable_sharing'
        when $time_zone is null and (is_local_time(in_service_text) or is_local_time(retired_text))
            then 'undeclared_time_zone'
        when in_service_at is null then 'unreadable_in_service'
        when retired_text is not null and retired_at is null then 'unreadable_retired'
        when retired_at < in_service_at then 'end_before_start'
    end as reject_reason,
    plausible(in_service_at) as record_at,
    null::bigint as record_accelerator_seconds
from typed
