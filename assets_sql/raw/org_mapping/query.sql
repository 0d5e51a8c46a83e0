with typed as (
    select
        source_line,
        record_text,
        problem,
        coalesce(given(cluster), $cluster) as cluster,
        given(account) as account,
        given(user_name) as user_name,
        given(team) as team,
        instant(given(valid_from), $time_zone) as valid_from_at,
        instant(given(valid_to), $time_zone) as valid_to_at,
        given(valid_from) as from_text,
        given(valid_to) as to_text
    from delivered
)

select
    cluster,
    account,
    user_name,
    team,
    valid_from_at,
    valid_to_at,
    source_line,
    record_text,
    case
        when problem is not null then problem
        when cluster is not null and not list_contains($clusters, cluster) then 'undeclared_cluster'
        when team is null then 'no_team'
        when account is null and user_name is null then 'no_account_or_user'
        when $time_zone is null and (is_local_time(from_text) or is_local_time(to_text)) then 'undeclared_time_zone'
        when valid_from_at is null then 'unreadable_valid_from'
        when to_text is not null and valid_to_at is null then 'unreadable_valid_to'
        when valid_to_at < valid_from_at then 'end_before_start'
    end as reject_reason,
    plausible(valid_from_at) as record_at,
    null::bigint as record_accelerator_seconds
from typed
