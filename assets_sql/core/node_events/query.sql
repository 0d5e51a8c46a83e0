-- What each event made of its node's free accelerators, and what the scheduler's own totals make of it. Of an event's
-- records the one collected last wins.
with winners as (
    select *
    from raw.slurm_node_events
    where node is not null
    qualify row_number() over (
        partition by cluster, node, started_at, node_state
        order by collected_at desc nulls last, ended_at desc nulls last, content_sha256 desc, source_line desc
    ) = 1
)

select
    cluster,
    node,
    started_at as starts_at,
    ended_at as ends_at,
    node_state,
    case
        when regexp_matches(node_state, '(FUTURE|FUTR|POWER|POW_|MAINT|REBOOT|BOOT|~|#|%)') then 'down_planned'
        when regexp_matches(node_state, '(DOWN|FAIL|INVAL|ERR|UNK|NO_RESPOND|\*)') then 'down_unplanned'
        when regexp_matches(node_state, '(DRAIN|DRNG)') then 'draining_unusable'
    end as unavailability,
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
