-- What each event made of its node's free accelerators, and what the scheduler's own totals make of it. Of an event's
-- records the one collected last wins.
-- The scheduler writes no event for a node that drains while a job is still on it: snapshots of the
-- nodes show those, from when their reason was set (or from the snapshot) to the next one or until an event of the node
-- ends, for a day at the most. A maintenance reservation shows in the state too, but has times of its own.
with winners as (
    select *
    from raw.slurm_node_events
    where node is not null
    qualify row_number() over (
        partition by cluster, node, started_at, node_state
        order by collected_at desc nulls last, ended_at desc nulls last, content_sha256 desc, source_line desc
    ) = 1
),

snapshots as (
    select
        cluster,
        node,
        collected_at,
        node_state,
        unavailability,
        reason,
        reason_at,
        source_file,
        source_line,
        lag(unavailability) over history as unavailability_before,
        lag(collected_at) over history as seen_before_at,
        lead(collected_at) over history as seen_next_at
    from (
        select
            *,
            node_unavailability(replace(node_state, 'MAINT', '')) as unavailability
        from raw.slurm_nodes
        where collected_at is not null
        qualify row_number() over (
            partition by cluster, node, collected_at order by content_sha256 desc, source_line desc
        ) = 1
    )
    window history as (partition by cluster, node order by collected_at)
),

seen as (
    select
        *,
        case
            when coalesce(unavailability_before, '') = unavailability or reason_at > collected_at then collected_at
            else greatest(coalesce(reason_at, collected_at), coalesce(seen_before_at, reason_at, collected_at))
        end as starts_at
    from snapshots
    where unavailability is not null
),

seen_until as (
    select
        seen.cluster,
        seen.node,
        seen.starts_at,
        seen.node_state,
        seen.unavailability,
        seen.reason,
        seen.source_file,
        seen.source_line,
        least(seen.seen_next_at, seen.collected_at + interval 1 day, min(winners.ended_at)) as ends_at
    from seen
    left join winners
        on seen.cluster = winners.cluster
        and seen.node = winners.node
        and winners.ended_at > seen.collected_at
    group by
        seen.cluster,
        seen.node,
        seen.starts_at,
        seen.node_state,
        seen.unavailability,
        seen.reason,
        seen.source_file,
        seen.source_line,
        seen.collected_at,
        seen.seen_next_at
)

select
    cluster,
    node,
    started_at as starts_at,
    ended_at as ends_at,
    node_state,
    node_unavailability(node_state) as unavailability,
    false as is_from_snapshot,
    -- An event under maintenance is left to its reservation; powered down and future nodes are planned.
    case
        when regexp_matches(node_state, '(MAINT|\$)') then null
        when regexp_matches(node_state, '(FUTURE|FUTR|POWERED_DOWN|POW_DN|~)') then 'planned_down'
        else 'down'
    end as reported_as,
    node_tres,
    reason,
    source_file,
    source_line
from winners
union all
select
    cluster,
    node,
    starts_at,
    ends_at,
    node_state,
    unavailability,
    true as is_from_snapshot,
    cast(null as varchar) as reported_as,
    cast(null as varchar) as node_tres,
    reason,
    source_file,
    source_line
from seen_until
