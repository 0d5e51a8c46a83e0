with typed as (
    select
        source_line,
        record_text,
        problem,
        given(team) as team,
        coalesce(given(cluster), $cluster) as cluster,
        given(pool) as pool,
        given(accelerator_model) as accelerator_model,
        case when regexp_full_match(given(accelerators), '[0-9]{1,9}(\.[0-9]{1,6})?')
            then try_cast(given(accelerators) as decimal(18, 6)) end as entitled_accelerators,
        instant(given(valid_from), $time_zone) as valid_from_at,
        instant(given(valid_to), $time_zone) as valid_to_at,
        given(valid_from) as from_text,
        given(valid_to) as to_text
    from delivered
)

select
    team,
    cluster,
    pool,
    accelerator_model,
    entitled_accelerators,
    valid_from_at,
    valid_to_at,
    source_line,
    record_text,
    case
        when problem is not null then problem
        when team is null then 'no_team'
        when cluster is null then 'no_cluster'
        when not list_contains($clusters, cluster) then 'undeclared_cluster'
        when pool is null then 'no_pool'
        when entitled_accelerators is null then 'unreadable_accelerators'
        when $time_zone is null and (is_local_time(from_text) or is_local_time(to_text)) then 'undeclared_time_zone'
        when valid_from_at is null then 'unreadable_valid_from'
        when to_text is not null and valid_to_at is null then 'unreadable_valid_to'
        when valid_to_at < valid_from_at then 'end_before_start'
    end as reject_reason,
    plausible(valid_from_at) as record_at,
    null::bigint as record_accelerator_seconds
from typed
