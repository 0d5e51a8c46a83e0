-- What `sacct` shows at the end of a window of the attempts that overlap it.
with seen as (
    select
        attempts.*,
        lanes.* exclude (lane, starts_at, ends_at),
        case
            when attempts.started_at = 0 and attempts.ended_at between 1 and $window_end then 'CANCELLED'
            when attempts.started_at = 0 or attempts.started_at >= $window_end then 'PENDING'
            when attempts.ended_at = 0 or attempts.ended_at > $window_end then 'RUNNING'
            else states.word
        end as shown_state,
        attempts.started_at > 0 and attempts.started_at < $window_end as has_started,
        attempts.ended_at between 1 and $window_end as has_ended,
        case when attempts.is_resized then greatest(1, lanes.nodes // 2) else coalesce(lanes.nodes, 1) end as held_nodes,
        case
            when attempts.is_resized then greatest(1, lanes.nodes // 2) * lanes.node_accelerators
            else coalesce(lanes.accelerators, 1 + attempts.choice % 8)
        end as held,
        -- A number that has nothing to do with others: which records are spoilt, and how.
        attempts.db_index * 7919 % 1000 as spoilt,
        attempts.choice * attempts.choice // 1000000 * site.users // 1000000 as user_number,
        site.cluster,
        site.accounts
    from attempts
    cross join site
    left join lanes on attempts.lane = lanes.lane
    inner join states on attempts.state = states.state
    where attempts.submitted_at < $window_end
        and (attempts.ended_at = 0 or attempts.ended_at >= $window_start)
),

sized as (
    select
        *,
        case when held = 0 then 1 + choice % 16 else held * [4, 8, 12, 16][1 + choice % 4] end as cpus,
        case when held = 0 then 4 + choice % 16 else held * [32, 64, 128][1 + choice // 4 % 3] end * 1024 as memory
    from seen
),

worded as (
    select
        *,
        ',cpu=' || cpus || case when held > 0 then ',gres/gpu=' || held else '' end as asked,
        ',mem=' || memory || 'M,node=' || held_nodes as rest,
        'billing=' || cpus || ',cpu=' || cpus
        || case when held > 0 then ',gres/gpu:' || accelerator_model || '=' || held || ',gres/gpu=' || held else '' end
            as given,
        case
            when choice % 5000 = 1 then 'sweep|lr=' || choice % 7
            when choice % 5000 = 2 then 'two' || chr(10) || 'lines'
            when db_index = 5000101 then 'typed in an editor' || chr(13)
            else ['train', 'finetune', 'eval', 'sweep', 'preprocess', 'serve'][1 + choice % 6] || '-'
            || ['base', 'large', 'moe', 'tiny'][1 + choice // 8 % 4] || '-' || db_index % 997
        end as job_name
    from sized
)

select
    concat_ws(
        '|',
        case spoilt when 8 then 'atlsa' else cluster end,
        db_index,
        case spoilt when 6 then '' else cast(job_id as varchar) end,
        job_id,
        case spoilt when 7 then '' else cast(submitted_at as varchar) end,
        eligible_at,
        case
            when not has_started then 'None'
            when spoilt = 3 then '2025-13-41T27:61:00'
            when spoilt in (0, 1) and has_ended and ended_at > recorded_start_at then cast(ended_at as varchar)
            else cast(recorded_start_at as varchar)
        end,
        case
            when not has_ended then 'Unknown'
            when spoilt in (0, 1) and has_started and ended_at > recorded_start_at then cast(recorded_start_at as varchar)
            else cast(ended_at as varchar)
        end,
        case when has_started then case when has_ended then ended_at else $window_end end - recorded_start_at else 0 end,
        '00:00:00',
        case
            when spoilt = 4 then 'BOGUS'
            when shown_state = 'CANCELLED' then 'CANCELLED by ' || (20000 + user_number)
            else shown_state
        end,
        case shown_state when 'FAILED' then '1:0' when 'CANCELLED' then '0:15' when 'OUT_OF_MEMORY' then '0:125' else '0:0' end,
        '0'
    )
    || case
        when spoilt = 2 then ''
        else '|' || concat_ws(
            '|',
            case when held = 1 and choice % 10 = 3 then 'interactive' else coalesce(pool, 'hopper') end,
            case choice // 16 % 10 when 0 then 'high' when 1 then 'low' else 'normal' end,
            'acct' || lpad(cast(user_number % accounts as varchar), 2, '0'),
            'user' || lpad(cast(user_number as varchar), 4, '0'),
            coalesce(reservation_name, ''),
            case spoilt when 9 then 'many' else cast(held_nodes as varchar) end,
            case when has_started then cpus else 0 end,
            'billing=' || cpus || asked || rest,
            case when not has_started then '' when spoilt = 5 and held > 0 then 'gres/gpu=eight' else given || rest end,
            [30, 60, 240, 480, 1440, 2880, 10080][1 + choice // 3 % 7],
            case
                when not has_started then 'None assigned'
                when is_resized then half_node_list
                else node_list
            end,
            case
                when shown_state <> 'PENDING' then 'None'
                else ['Priority', 'Resources', 'Dependency', 'QOSMaxGRESPerUser'][1 + choice % 4]
            end,
            case when has_started then 'SchedBackfill' else '' end,
            case when shown_state = 'NODE_FAIL' then first_node else '' end,
            job_name
        )
    end as line
from worded
order by job_id, submitted_at, db_index
