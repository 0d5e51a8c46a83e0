-- Ours and Slurm's own totals (`sreport`) for the same window, and a bridge between them, line by line.
-- By account and user: what was held. Slurm sums AllocTRES over every record with a Start, in the hours before whose end
-- it was eligible; after a resize it counts from the original start again, where the truth begins at the resize, and a
-- runaway it counts on after the evidence that it is over. Attempts that are rejected here count there.
-- By cluster: what the ledger says became of what is installed, category by category.
with usage as (
    select *
    from core.scheduler_usage
    where (resource = 'gres/gpu' or resource like 'gres/gpu:%')
        and category in ('used', 'allocated', 'down', 'planned_down', 'idle', 'planned', 'reported')
),

windows as (
    select
        cluster,
        window_start_at,
        window_end_at,
        max(collected_at) as collected_at
    from usage
    group by cluster, window_start_at, window_end_at
),

bounds as (
    select
        cluster,
        min(window_start_at) as first_at,
        max(window_end_at) as last_at
    from windows
    group by cluster
),

-- Windows and attempts meet by day, so that not each attempt is compared with each hour of a year.
window_days as (
    select
        *,
        unnest(generate_series(
            date_trunc('day', window_start_at), window_end_at - interval 1 second, interval 1 day
        )) as day_at
    from windows
),

spans as (
    select
        attempts.cluster,
        coalesce(attempts.account, '') as account,
        coalesce(attempts.user_name, '') as user_name,
        attempts.allocated_tres,
        attempts.eligible_at,
        attempts.recorded_start_at,
        attempts.started_at,
        least(coalesce(attempts.ended_at, runaways.ended_at, clusters.as_of_at), clusters.as_of_at) as ended_at,
        least(coalesce(attempts.ended_at, clusters.as_of_at), clusters.as_of_at) as recorded_end_at,
        rejected.attempt_id is not null as is_rejected,
        late.known_at,
        greatest(attempts.recorded_start_at, bounds.first_at) as starts_at,
        -- The scheduler counts on after an end that it learned late.
        case
            when late.attempt_id is not null then bounds.last_at
            else least(coalesce(attempts.ended_at, bounds.last_at), bounds.last_at)
        end as ends_at
    from core.attempts as attempts
    inner join bounds on attempts.cluster = bounds.cluster and attempts.recorded_start_at < bounds.last_at
    inner join core.clusters as clusters on attempts.cluster = clusters.cluster
    left join core.late_ends as late on attempts.attempt_id = late.attempt_id
    left join core.runaway_attempts as runaways on attempts.attempt_id = runaways.attempt_id
    left join core.rejected_attempts as rejected on attempts.attempt_id = rejected.attempt_id
    where attempts.started_at is not null
),

span_days as (
    select
        *,
        unnest(generate_series(
            date_trunc('day', starts_at), ends_at - interval 1 second, interval 1 day
        )) as day_at
    from spans
    where starts_at < ends_at
),

-- Each attempt's part of each window on each day; what is before from_at the scheduler leaves out.
parts as (
    select
        windows.cluster,
        windows.window_start_at,
        windows.window_end_at,
        spans.account,
        spans.user_name,
        spans.allocated_tres,
        greatest(windows.window_start_at, windows.day_at) as part_start_at,
        least(windows.window_end_at, windows.day_at + interval 1 day) as part_end_at,
        spans.recorded_start_at,
        spans.started_at,
        spans.ended_at,
        spans.recorded_end_at,
        spans.is_rejected,
        coalesce(date_trunc('hour', spans.eligible_at), spans.recorded_start_at) as from_at,
        coalesce(spans.known_at > windows.collected_at, false) as is_late
    from span_days as spans
    inner join window_days as windows on spans.cluster = windows.cluster and spans.day_at = windows.day_at
    where spans.starts_at < windows.window_end_at and spans.ends_at > windows.window_start_at
),

part_seconds as (
    select
        *,
        greatest(0, seconds_between(
            greatest(started_at, part_start_at), least(ended_at, part_end_at)
        )) as held_seconds,
        greatest(0, seconds_between(
            greatest(started_at, part_start_at), least(ended_at, part_end_at, from_at)
        )) as eligible_later_seconds,
        greatest(0, seconds_between(
            greatest(recorded_start_at, part_start_at, from_at), least(started_at, ended_at, part_end_at)
        )) as resize_overlap_seconds,
        greatest(0, seconds_between(
            greatest(ended_at, part_start_at, from_at), least(recorded_end_at, part_end_at)
        )) as runaway_seconds,
        greatest(0, seconds_between(
            greatest(recorded_start_at, part_start_at, from_at), least(recorded_end_at, part_end_at)
        )) as recorded_seconds,
        case when is_late then greatest(0, seconds_between(
            greatest(ended_at, part_start_at, from_at), part_end_at
        )) else 0 end as late_seconds
    from parts
),

counts as (
    select
        strings.tres,
        resources.resource,
        tres_count(strings.tres, resources.resource) as resource_count
    from (select distinct allocated_tres as tres from spans) as strings
    cross join (select distinct resource from usage) as resources
    where tres_count(strings.tres, resources.resource) > 0
),

held as (
    select
        parts.cluster,
        parts.window_start_at,
        parts.window_end_at,
        parts.account,
        parts.user_name,
        counts.resource,
        cast(sum(counts.resource_count * case when is_rejected then 0 else held_seconds end) as bigint) as ours,
        cast(sum(
            counts.resource_count * case when is_rejected then 0 else resize_overlap_seconds end
        ) as bigint) as resize_overlap,
        cast(sum(
            counts.resource_count * case when is_rejected then 0 else eligible_later_seconds end
        ) as bigint) as eligible_later,
        cast(sum(counts.resource_count * parts.late_seconds) as bigint) as late_ends,
        cast(sum(counts.resource_count * case when is_rejected then 0 else runaway_seconds end) as bigint) as runaway,
        cast(sum(counts.resource_count * case when is_rejected then recorded_seconds else 0 end) as bigint) as rejected
    from part_seconds as parts
    inner join counts on parts.allocated_tres = counts.tres
    group by
        parts.cluster, parts.window_start_at, parts.window_end_at, parts.account, parts.user_name, counts.resource
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
        case when user_name = '' then 'account' else 'user' end as subject_kind,
        account,
        user_name,
        resource,
        ours,
        resize_overlap,
        eligible_later,
        late_ends,
        runaway,
        rejected
    from held
    union all
    select
        cluster,
        window_start_at,
        window_end_at,
        'account' as subject_kind,
        account,
        '' as user_name,
        resource,
        ours,
        resize_overlap,
        eligible_later,
        late_ends,
        runaway,
        rejected
    from held
    where user_name <> ''
    union all
    select
        held.cluster,
        held.window_start_at,
        held.window_end_at,
        'account' as subject_kind,
        ancestors.ancestor as account,
        '' as user_name,
        held.resource,
        held.ours,
        held.resize_overlap,
        held.eligible_later,
        held.late_ends,
        held.runaway,
        held.rejected
    from held
    inner join ancestors
        on held.cluster = ancestors.cluster
        and held.account = ancestors.account
        and ancestors.ancestor <> ancestors.account
),

-- The cluster's own hours inside each window.
cluster_windows as (
    select distinct
        usage.cluster,
        usage.resource,
        usage.window_start_at,
        usage.window_end_at,
        case
            when usage.resource <> 'gres/gpu' then coalesce(aliases.accelerator_model, substr(usage.resource, 10))
        end as accelerator_model
    from usage
    inner join core.clusters as clusters
        on usage.cluster = clusters.cluster and usage.window_start_at >= clusters.first_at
    left join site.accelerators as aliases on substr(usage.resource, 10) = aliases.alias
    where usage.subject_kind = 'cluster'
),

window_hours as (
    select
        *,
        unnest(generate_series(
            date_trunc('hour', window_start_at), window_end_at - interval 1 second, interval 1 hour
        )) as hour_at
    from cluster_windows
),

compared_hours as (
    select
        window_hours.*,
        cluster_hours.usage_date
    from window_hours
    inner join core.cluster_hours as cluster_hours
        on window_hours.cluster = cluster_hours.cluster
        and window_hours.hour_at = cluster_hours.hour_at
        and cluster_hours.starts_at >= window_hours.window_start_at
        and cluster_hours.starts_at < window_hours.window_end_at
),

ledger as (
    select
        usage_date,
        hour_at,
        cluster,
        accelerator_model,
        state,
        cast(sum(unit_seconds) as bigint) as unit_seconds
    from mart.capacity_ledger_hourly
    where cluster in (select cluster from cluster_windows)
    group by usage_date, hour_at, cluster, accelerator_model, state
),

ledger_sums as (
    select
        hours.cluster,
        hours.window_start_at,
        hours.window_end_at,
        hours.resource,
        categories.category,
        cast(sum(ledger.unit_seconds) as bigint) // 84000 as ours
    from ledger
    inner join compared_hours as hours
        on ledger.cluster = hours.cluster
        and ledger.usage_date = hours.usage_date
        and ledger.hour_at = hours.hour_at
        and ledger.accelerator_model = coalesce(hours.accelerator_model, ledger.accelerator_model)
    inner join (
        values
        ('allocated', 'allocated'),
        ('down', 'down_unplanned'),
        ('planned_down', 'down_planned'),
        ('idle', 'idle_schedulable'),
        ('reported', 'allocated'),
        ('reported', 'down_unplanned'),
        ('reported', 'down_planned'),
        ('reported', 'draining_unusable'),
        ('reported', 'reserved_idle'),
        ('reported', 'stranded'),
        ('reported', 'idle_schedulable')
    ) as categories (category, state)
        on ledger.state = categories.state
    group by hours.cluster, hours.window_start_at, hours.window_end_at, hours.resource, categories.category
),

bridge_hours as (
    select
        hours.cluster,
        hours.window_start_at,
        hours.window_end_at,
        hours.resource,
        bridge.line,
        bridge.our_category,
        bridge.their_category,
        bridge.bridge_seconds
    from mart.scheduler_bridge_hourly as bridge
    inner join compared_hours as hours
        on bridge.cluster = hours.cluster
        and bridge.usage_date = hours.usage_date
        and bridge.hour_at = hours.hour_at
        and bridge.resource = hours.resource
    union all
    select
        cluster,
        window_start_at,
        window_end_at,
        resource,
        'late_ends' as line,
        'idle' as our_category,
        'allocated' as their_category,
        late_ends as bridge_seconds
    from held
),

-- Every line, signed: what it adds to ours − theirs.
lines as (
    select
        cluster,
        window_start_at,
        window_end_at,
        'cluster' as subject_kind,
        '' as account,
        '' as user_name,
        resource,
        our_category as category,
        line,
        bridge_seconds as line_seconds
    from bridge_hours
    union all
    select
        cluster,
        window_start_at,
        window_end_at,
        'cluster',
        '',
        '',
        resource,
        their_category,
        line,
        -bridge_seconds
    from bridge_hours
    union all
    select
        subjects.cluster,
        subjects.window_start_at,
        subjects.window_end_at,
        subjects.subject_kind,
        subjects.account,
        subjects.user_name,
        subjects.resource,
        'used',
        names.line,
        case names.line
            when 'resize_overlap' then -subjects.resize_overlap
            when 'eligible_later' then subjects.eligible_later
            when 'late_ends' then -subjects.late_ends
            when 'runaway' then -subjects.runaway
            when 'rejected' then -subjects.rejected
        end
    from subjects
    cross join (
        values ('resize_overlap'), ('eligible_later'), ('late_ends'), ('runaway'), ('rejected')
    ) as names (line)
),

bridges as (
    select
        cluster,
        window_start_at,
        window_end_at,
        subject_kind,
        account,
        user_name,
        resource,
        category,
        cast(sum(case when line = 'resize_overlap' then line_seconds else 0 end) as bigint) as resize_overlap,
        cast(sum(case when line = 'eligible_later' then line_seconds else 0 end) as bigint) as eligible_later,
        cast(sum(case when line = 'late_ends' then line_seconds else 0 end) as bigint) as late_ends,
        cast(sum(case when line = 'runaway' then line_seconds else 0 end) as bigint) as runaway,
        cast(sum(case when line = 'rejected' then line_seconds else 0 end) as bigint) as rejected,
        cast(sum(case when line = 'reservation_replaced' then line_seconds else 0 end) as bigint) as reservation_replaced,
        cast(sum(case when line = 'reservation_charged' then line_seconds else 0 end) as bigint) as reservation_charged,
        cast(sum(case when line = 'node_overcommit' then line_seconds else 0 end) as bigint) as node_overcommit,
        cast(sum(case when line = 'unplaced_held' then line_seconds else 0 end) as bigint) as unplaced_held,
        cast(sum(case when line = 'typed_otherwise' then line_seconds else 0 end) as bigint) as typed_otherwise,
        cast(sum(case when line = 'allocated_while_down' then line_seconds else 0 end) as bigint) as allocated_while_down,
        cast(sum(case when line = 'draining_as_down' then line_seconds else 0 end) as bigint) as draining_as_down,
        cast(sum(case when line = 'draining_as_idle' then line_seconds else 0 end) as bigint) as draining_as_idle,
        cast(sum(case when line = 'planned_as_down' then line_seconds else 0 end) as bigint) as planned_as_down,
        cast(sum(case when line = 'planned_as_idle' then line_seconds else 0 end) as bigint) as planned_as_idle,
        cast(sum(case when line = 'down_as_planned' then line_seconds else 0 end) as bigint) as down_as_planned,
        cast(sum(case when line = 'down_as_idle' then line_seconds else 0 end) as bigint) as down_as_idle,
        cast(sum(case when line = 'reserved_as_idle' then line_seconds else 0 end) as bigint) as reserved_as_idle,
        cast(sum(case when line = 'stranded_as_idle' then line_seconds else 0 end) as bigint) as stranded_as_idle,
        cast(sum(case when line = 'free_as_down' then line_seconds else 0 end) as bigint) as free_as_down,
        cast(sum(case when line = 'event_excess' then line_seconds else 0 end) as bigint) as event_excess,
        cast(sum(case when line = 'controller_down' then line_seconds else 0 end) as bigint) as controller_down,
        cast(sum(case when line = 'registration' then line_seconds else 0 end) as bigint) as registration,
        cast(sum(case when line = 'scheduler_clamp' then line_seconds else 0 end) as bigint) as scheduler_clamp,
        cast(sum(line_seconds) as bigint) as explained
    from lines
    group by
        cluster, window_start_at, window_end_at, subject_kind, account, user_name, resource, category
),

our_totals as (
    select
        cluster,
        window_start_at,
        window_end_at,
        'cluster' as subject_kind,
        '' as account,
        '' as user_name,
        resource,
        category,
        ours
    from ledger_sums
    union all
    select
        cluster,
        window_start_at,
        window_end_at,
        subject_kind,
        account,
        user_name,
        resource,
        'used' as category,
        cast(sum(ours) as bigint) as ours
    from subjects
    group by cluster, window_start_at, window_end_at, subject_kind, account, user_name, resource
)

-- What sreport does not list is compared through the accounts above it, which it does list: a report may be a selection.
-- Days before the site's first are not in the ledger, and no cluster is compared there.
select
    cast(timezone(clusters.reporting_time_zone, timezone('UTC', usage.window_start_at)) as date) as usage_date,
    usage.cluster,
    case when usage.subject_kind = 'cluster' then usage.resource || '/' || usage.category else usage.resource end
        as measure,
    usage.subject_kind,
    usage.account,
    case
        when privacy.key_id is null or usage.user_name = '' then usage.user_name
        else pseudonym(usage.user_name)
    end as user_name,
    usage.window_start_at as window_start,
    usage.window_end_at as window_end,
    coalesce(our_totals.ours, 0) as ours,
    usage.theirs,
    usage.theirs_before,
    coalesce(our_totals.ours, 0) - usage.theirs as difference,
    coalesce(bridges.resize_overlap, 0) as resize_overlap,
    coalesce(bridges.eligible_later, 0) as eligible_later,
    coalesce(bridges.late_ends, 0) as late_ends,
    coalesce(bridges.runaway, 0) as runaway,
    coalesce(bridges.rejected, 0) as rejected,
    coalesce(bridges.reservation_replaced, 0) as reservation_replaced,
    coalesce(bridges.reservation_charged, 0) as reservation_charged,
    coalesce(bridges.node_overcommit, 0) as node_overcommit,
    coalesce(bridges.unplaced_held, 0) as unplaced_held,
    coalesce(bridges.typed_otherwise, 0) as typed_otherwise,
    coalesce(bridges.allocated_while_down, 0) as allocated_while_down,
    coalesce(bridges.draining_as_down, 0) as draining_as_down,
    coalesce(bridges.draining_as_idle, 0) as draining_as_idle,
    coalesce(bridges.planned_as_down, 0) as planned_as_down,
    coalesce(bridges.planned_as_idle, 0) as planned_as_idle,
    coalesce(bridges.down_as_planned, 0) as down_as_planned,
    coalesce(bridges.down_as_idle, 0) as down_as_idle,
    coalesce(bridges.reserved_as_idle, 0) as reserved_as_idle,
    coalesce(bridges.stranded_as_idle, 0) as stranded_as_idle,
    coalesce(bridges.free_as_down, 0) as free_as_down,
    coalesce(bridges.event_excess, 0) as event_excess,
    coalesce(bridges.controller_down, 0) as controller_down,
    coalesce(bridges.registration, 0) as registration,
    coalesce(bridges.scheduler_clamp, 0) as scheduler_clamp,
    concat_ws(
        '; ',
        bridge_line('resize overlap', bridges.resize_overlap),
        bridge_line('eligible later', bridges.eligible_later),
        bridge_line('late ends', bridges.late_ends),
        bridge_line('runaway', bridges.runaway),
        bridge_line('rejected', bridges.rejected),
        bridge_line('reservation replaced', bridges.reservation_replaced),
        bridge_line('reservation charged', bridges.reservation_charged),
        bridge_line('node overcommit', bridges.node_overcommit),
        bridge_line('unplaced held', bridges.unplaced_held),
        bridge_line('typed otherwise', bridges.typed_otherwise),
        bridge_line('allocated while down', bridges.allocated_while_down),
        bridge_line('draining as down', bridges.draining_as_down),
        bridge_line('draining as idle', bridges.draining_as_idle),
        bridge_line('planned as down', bridges.planned_as_down),
        bridge_line('planned as idle', bridges.planned_as_idle),
        bridge_line('down as planned', bridges.down_as_planned),
        bridge_line('down as idle', bridges.down_as_idle),
        bridge_line('reserved as idle', bridges.reserved_as_idle),
        bridge_line('stranded as idle', bridges.stranded_as_idle),
        bridge_line('free as down', bridges.free_as_down),
        bridge_line('event excess', bridges.event_excess),
        bridge_line('controller down', bridges.controller_down),
        bridge_line('registration', bridges.registration),
        bridge_line('scheduler clamp', bridges.scheduler_clamp)
    ) as explained_by,
    coalesce(our_totals.ours, 0) - usage.theirs - coalesce(bridges.explained, 0) as unexplained
from usage
inner join core.clusters as clusters
    on usage.cluster = clusters.cluster
    and (usage.subject_kind <> 'cluster' or usage.window_start_at >= clusters.first_at)
left join site.privacy as privacy on true
left join our_totals
    on usage.cluster = our_totals.cluster
    and usage.window_start_at = our_totals.window_start_at
    and usage.window_end_at = our_totals.window_end_at
    and usage.subject_kind = our_totals.subject_kind
    and usage.account = our_totals.account
    and usage.user_name = our_totals.user_name
    and usage.resource = our_totals.resource
    and usage.category = our_totals.category
left join bridges
    on usage.cluster = bridges.cluster
    and usage.window_start_at = bridges.window_start_at
    and usage.window_end_at = bridges.window_end_at
    and usage.subject_kind = bridges.subject_kind
    and usage.account = bridges.account
    and usage.user_name = bridges.user_name
    and usage.resource = bridges.resource
    and usage.category = bridges.category
