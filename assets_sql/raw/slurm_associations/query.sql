with typed as (
    select
        source_line,
        record_text,
        problem,
        coalesce(given(cluster), $cluster) as cluster,
        given(account) as account,
        given(user_name) as user_name,
        given(parent_account) as parent_account
    from delivered
)

select
    cluster,
    account,
    user_name,
    parent_account,
    source_line,
    record_text,
    case
        when problem is not null then problem
        when cluster is null then 'no_cluster'
        when not list_contains($clusters, cluster) then 'undeclared_cluster'
        when account is null then 'no_account'
    end as reject_reason,
    null::timestamp as record_at,
    null::bigint as record_accelerator_seconds
from typed
