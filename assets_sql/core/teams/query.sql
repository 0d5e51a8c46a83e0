-- The organisation mapping by what it names; a line for a user goes before one for an account (`precedence`).
with winners as (
    select *
    from raw.org_mapping
    qualify row_number() over (
        partition by coalesce(cluster, ''), coalesce(account, ''), coalesce(user_name, ''), valid_from_at
        order by collected_at desc nulls last, content_sha256 desc, source_line desc
    ) = 1
)

select
    coalesce(cluster, '') as cluster,
    coalesce(account, '') as account,
    coalesce(user_name, '') as user_name,
    team,
    valid_from_at,
    coalesce(valid_to_at, timestamp '9999-01-01') as valid_to_at,
    case when user_name is not null then 4 else 0 end
    + case when account is not null then 2 else 0 end
    + case when cluster is not null then 1 else 0 end as precedence,
    source_file,
    source_line
from winners
