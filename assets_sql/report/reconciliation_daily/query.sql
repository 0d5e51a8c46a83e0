-- Ours and Slurm's own totals (`sreport`) for the same window, account or user and resource, and a bridge between them.
-- Slurm sums AllocTRES over every record with a Start that was eligible before the window's end; after a resize it
-- counts from the original start again, where the truth begins at the resize.
with usage as (
    select *
    from raw.slurm_account_usage
    where resource = 'gres/gpu' or resource like 'gres/gpu:%'
    qualify row_number() over (
        partition by cluster, account, coalesce(user_name, ''), resource, window_start_at, window_end_at
        order by collected_at desc nulls last, content_sha256 desc, source_line desc
    ) = 1
),

windows as (
    select distinct
        cluster,
        window_start_at,
        window_end_at
    from usage
),

counted as (
    select
        tres,
        'gres/gpu' as resource,
        cast(sum(accelerators_counted) as bigint) as accelerators_counted
    from core.tres
    group by tres
    union all
    select
        tres,
        'gres/gpu:' || accelerator_type as resource,
        accelerators_counted
    from core.tres
    where accelerator_type <> ''
),

held as (
    select
        attempts.cluster,
        windows.window_start_at,
        windows.window_end_at,
        coalesce(attempts.account, '') as account,
        coalesce(attempts.user_name, '') as user_name,
        counted.resource,
        cast(sum(counted.accelerators_counted * greatest(0, seconds_between(
            greatest(attempts.started_at, windows.window_start_at),
            least(coalesce(attempts.ended_at, windows.window_end_at), windows.window_end_at, clusters.as_of_at)
        ))) as bigint) as ours,
        cast(sum(case
            when attempts.eligible_at >= windows.window_end_at then 0
            else counted.accelerators_counted * greatest(0, seconds_between(
                greatest(attempts.recorded_start_at, windows.window_start_at),
                least(attempts.started_at, attempts.ended_at, windows.window_end_at)
            ))
        end) as bigint) as resize_overlap,
        cast(sum(case
            when attempts.eligible_at >= windows.window_end_at
                then counted.accelerators_counted * greatest(0, seconds_between(
                    greatest(attempts.started_at, windows.window_start_at),
                    least(coalesce(attempts.ended_at, windows.window_end_at), windows.window_end_at, clusters.as_of_at)
                ))
            else 0
        end) as bigint) as eligible_later
    from core.attempts as attempts
    inner join core.clusters as clusters on attempts.cluster = clusters.cluster
    inner join windows
        on attempts.cluster = windows.cluster
        and attempts.recorded_start_at < windows.window_end_at
        and coalesce(attempts.ended_at, windows.window_end_at) > windows.window_start_at
    inner join counted on attempts.allocated_tres = counted.tres
    where attempts.started_at is not null
    group by
        attempts.cluster,
        windows.window_start_at,
        windows.window_end_at,
        coalesce(attempts.account, ''),
        coalesce(attempts.user_name, ''),
        counted.resource
),

-- Each account with all accounts above it: sreport's row for an account holds everything below.
parents as (
    select distinct
        cluster,
        account,
        parent_account
    from raw.slurm_associations
    where parent_account is not null
),

ancestors as (
    with recursive above as (
        select
            cluster,
            account,
            parent_account as ancestor,
            1 as steps
        from parents
        union all
        select
            above.cluster,
            above.account,
            parents.parent_account as ancestor,
            above.steps + 1 as steps
        from above
        inner join parents on above.cluster = parents.cluster and above.ancestor = parents.account
        where above.steps < 64
    )

    select distinct
        cluster,
        account,
        ancestor
    from above
),

subjects as (
    select
        cluster,
        window_start_at,
        window_end_at,
        account,
        user_name,
        resource,
        ours,
        resize_overlap,
        eligible_later
    from held
    union all
    select
        cluster,
        window_start_at,
        window_end_at,
        account,
        '' as user_name,
        resource,
        ours,
        resize_overlap,
        eligible_later
    from held
    where user_name <> ''
    union all
    select
        held.cluster,
        held.window_start_at,
        held.window_end_at,
        ancestors.ancestor as account,
        '' as user_name,
        held.resource,
        held.ours,
        held.resize_overlap,
        held.eligible_later
    from held
    inner join ancestors
        on held.cluster = ancestors.cluster
        and held.account = ancestors.account
        and ancestors.ancestor <> ancestors.account
),

totals as (
    select
        cluster,
        window_start_at,
        window_end_at,
        account,
        user_name,
        resource,
        cast(sum(ours) as bigint) as ours,
        cast(sum(resize_overlap) as bigint) as resize_overlap,
        cast(sum(eligible_later) as bigint) as eligible_later
    from subjects
    group by cluster, window_start_at, window_end_at, account, user_name, resource
),

-- What sreport does not list is compared through the accounts above it, which it does list: a report may be a selection.
compared as (
    select
        usage.cluster,
        usage.resource as measure,
        usage.account,
        coalesce(usage.user_name, '') as user_name,
        usage.window_start_at,
        usage.window_end_at,
        coalesce(totals.ours, 0) as ours,
        usage.used_seconds as theirs,
        coalesce(totals.resize_overlap, 0) as resize_overlap,
        coalesce(totals.eligible_later, 0) as eligible_later
    from usage
    left join totals
        on usage.cluster = totals.cluster
        and usage.window_start_at = totals.window_start_at
        and usage.window_end_at = totals.window_end_at
        and usage.account = totals.account
        and coalesce(usage.user_name, '') = totals.user_name
        and usage.resource = totals.resource
)

select
    cast(timezone(clusters.reporting_time_zone, timezone('UTC', compared.window_start_at)) as date) as usage_date,
    compared.cluster,
    compared.measure,
    case when compared.user_name = '' then 'account' else 'user' end as subject_kind,
    compared.account,
    compared.user_name,
    compared.window_start_at as window_start,
    compared.window_end_at as window_end,
    compared.ours,
    compared.theirs,
    compared.ours - compared.theirs as difference,
    -compared.resize_overlap as resize_overlap,
    compared.eligible_later,
    concat_ws(
        '; ',
        case when compared.resize_overlap <> 0 then 'resize overlap ' || cast(-compared.resize_overlap as varchar) end,
        case when compared.eligible_later <> 0 then 'eligible later +' || cast(compared.eligible_later as varchar) end
    ) as explained_by,
    compared.ours - compared.theirs + compared.resize_overlap - compared.eligible_later as unexplained
from compared
inner join core.clusters as clusters on compared.cluster = clusters.cluster
