-- What `sacctmgr show event` shows at the end of a window: nodes that failed under an attempt,
-- and nodes that were drained while one ran.
with happened as (
    select
        lanes.first_node as node,
        attempts.ended_at as starts_at,
        least(attempts.release_at, attempts.ended_at + 1800 + attempts.choice % 86400) as ends_at,
        'DOWN*' as state,
        2049 as state_raw,
        'Not responding' as reason,
        lanes.accelerator_model,
        lanes.node_accelerators
    from attempts
    inner join lanes on attempts.lane = lanes.lane
    inner join site on attempts.state = site.node_fail
    union all
    select
        lanes.first_node,
        attempts.started_at + (attempts.ended_at - attempts.started_at) // 2,
        attempts.release_at,
        'DRAIN',
        514,
        ['gpu xid 79', 'ecc errors', 'firmware | see ticket'][1 + attempts.choice % 3],
        lanes.accelerator_model,
        lanes.node_accelerators
    from attempts
    inner join lanes on attempts.lane = lanes.lane
    where attempts.ended_at > 0 and attempts.choice % 2000 = 7
)

select concat_ws(
        '|',
        site.cluster,
        '',
        node,
        strftime(make_timestamp(starts_at * 1000000), '%Y-%m-%dT%H:%M:%S'),
        case
            when ends_at > $window_end then 'Unknown'
            else strftime(make_timestamp(ends_at * 1000000), '%Y-%m-%dT%H:%M:%S')
        end,
        state_raw,
        state,
        'billing=128,cpu=' || case when node_accelerators = 0 then 64 else node_accelerators * 16 end
        || case
            when node_accelerators > 0
                then ',gres/gpu:' || accelerator_model || '=' || node_accelerators || ',gres/gpu=' || node_accelerators
            else ''
        end,
        'root(0)',
        reason
    ) as line
from happened
cross join site
where starts_at < $window_end and ends_at >= $window_start and ends_at > starts_at
order by starts_at, node
