-- Slurm rolls an hour up again when late records arrive: a later delivery of a window supersedes an earlier one. Reports
-- of one window with other columns (Format=) complete each other.
with reported as (
    select
        cluster,
        case when user_name is null then 'account' else 'user' end as subject_kind,
        account,
        coalesce(user_name, '') as user_name,
        resource,
        'used' as category,
        window_start_at,
        window_end_at,
        used_seconds as theirs,
        collected_at,
        content_sha256,
        source_file,
        source_line
    from raw.slurm_account_usage
    union all
    select
        usage.cluster,
        'cluster' as subject_kind,
        '' as account,
        '' as user_name,
        usage.resource,
        categories.category,
        usage.window_start_at,
        usage.window_end_at,
        case categories.category
            when 'allocated' then usage.allocated_seconds
            when 'down' then usage.down_seconds
            when 'planned_down' then usage.planned_down_seconds
            when 'idle' then usage.idle_seconds
            when 'planned' then usage.planned_seconds
            when 'overcommitted' then usage.overcommitted_seconds
            when 'reported' then usage.reported_seconds
            when 'count' then usage.resource_count
        end as theirs,
        usage.collected_at,
        usage.content_sha256,
        usage.source_file,
        usage.source_line
    from raw.slurm_cluster_usage as usage
    cross join (
        values ('allocated'), ('down'), ('planned_down'), ('idle'), ('planned'), ('overcommitted'), ('reported'), ('count')
    ) as categories (category)
),

ranked as (
    select
        *,
        dense_rank() over (
            partition by cluster, subject_kind, account, user_name, resource, category, window_start_at, window_end_at
            order by collected_at desc nulls last
        ) as collection_place,
        row_number() over (
            partition by
                cluster, subject_kind, account, user_name, resource, category, window_start_at, window_end_at, collected_at
            order by content_sha256 desc, source_line desc
        ) as place
    from reported
    where theirs is not null
)

select
    newest.cluster,
    newest.subject_kind,
    newest.account,
    newest.user_name,
    newest.resource,
    newest.category,
    newest.window_start_at,
    newest.window_end_at,
    newest.theirs,
    before.theirs as theirs_before,
    newest.collected_at,
    newest.source_file,
    newest.source_line
from ranked as newest
left join ranked as before
    on newest.cluster = before.cluster
    and newest.subject_kind = before.subject_kind
    and newest.account = before.account
    and newest.user_name = before.user_name
    and newest.resource = before.resource
    and newest.category = before.category
    and newest.window_start_at = before.window_start_at
    and newest.window_end_at = before.window_end_at
    and before.collection_place = 2
    and before.place = 1
where newest.collection_place = 1 and newest.place = 1
