-- Types what sacct wrote; what cannot be understood gets a reason instead of a guess.
with read as (
    select
        *,
        given(d.submitted_at) as submit_text,
        given(d.eligible_at) as eligible_text,
        given(d.started_at) as start_text,
        given(d.ended_at) as end_text,
        upper(regexp_extract(coalesce(trim(d.state), ''), '^[A-Za-z_]+')) as state_token
    from delivered as d
),

typed as (
    select
        source_line,
        record_text,
        problem,
        coalesce(given(cluster), $cluster) as cluster,
        trim(job_id) as job_id,
        given(job_id_shown) as job_id_shown,
        try_cast(given(db_index) as bigint) as db_index,
        regexp_matches(coalesce(job_id, ''), '^[0-9]+(_[0-9]+|\+[0-9]+)?\.') as is_step,
        instant(submit_text, $time_zone) as latest_submit_at,
        instant(eligible_text, $time_zone) as latest_eligible_at,
        instant(start_text, $time_zone) as latest_start_at,
        instant(end_text, $time_zone) as latest_end_at,
        duration_seconds(given(elapsed_seconds)) as elapsed_seconds,
        suspended,
        case when state_token = 'NODE_FAILED' then 'NODE_FAIL' else state_token end as state,
        trim(state) as state_detail,
        given(exit_code) as exit_code,
        given(partition_name) as partition_name,
        given(qos) as qos,
        given(account) as account,
        given(user_name) as user_name,
        given(reservation_name) as reservation_name,
        -- What an export leaves out may stand in its AllocTRES.
        try_cast(
            coalesce(given(nodes), regexp_extract(allocated_tres, '(?:^|,)node=([0-9]{1,9})', 1)) as bigint
        ) as nodes,
        try_cast(
            coalesce(given(cpus), regexp_extract(allocated_tres, '(?:^|,)cpu=([0-9]{1,9})', 1)) as bigint
        ) as cpus,
        given(requested_tres) as requested_tres,
        given(allocated_tres) as allocated_tres,
        -- A limit of more than centuries is none.
        case when regexp_full_match(given(timelimit_minutes), '[0-9]{1,8}')
            then try_cast(given(timelimit_minutes) as bigint) end as timelimit_minutes,
        nullif(trim(node_list), '') as node_list,
        given(reason) as reason,
        given(flags) as flags,
        job_name,
        submit_text,
        eligible_text,
        start_text,
        end_text,
        nodes as nodes_text,
        cpus as cpus_text
    from read
),

meanings as (
    select
        *,
        earliest_instant(submit_text, latest_submit_at, $time_zone) as submitted_at,
        earliest_instant(eligible_text, latest_eligible_at, $time_zone) as eligible_at,
        earliest_instant(start_text, latest_start_at, $time_zone) as earliest_start_at,
        earliest_instant(end_text, latest_end_at, $time_zone) as earliest_end_at
    from typed
),

-- Where clocks are put back, a local time comes twice. Start and end are the pair that is as far apart as the attempt
-- ran (Slurm's elapsed time leaves suspension out), or the only pair in order.
repeated as (
    select
        *,
        coalesce(earliest_start_at < latest_start_at, false) or coalesce(earliest_end_at < latest_end_at, false)
            as comes_twice,
        case when comes_twice then elapsed_seconds + coalesce(duration_seconds(given(suspended)), 0) end as run_seconds
    from meanings
),

paired as (
    select
        *,
        case
            when not comes_twice then 'one'
            when earliest_start_at + to_seconds(run_seconds) = earliest_end_at then
                case
                    when earliest_start_at <> latest_start_at and earliest_end_at <> latest_end_at then 'unknown'
                    else 'earliest'
                end
            when earliest_start_at + to_seconds(run_seconds) = latest_end_at then 'late end'
            when latest_start_at + to_seconds(run_seconds) = earliest_end_at then 'late start'
            when earliest_end_at < earliest_start_at and latest_end_at >= earliest_start_at then 'late end'
            else 'unknown'
        end as meaning
    from repeated
),

timed as (
    select
        *,
        case when meaning = 'late start' then latest_start_at else earliest_start_at end as started_at,
        case when meaning = 'late end' then latest_end_at else earliest_end_at end as ended_at,
        meaning = 'unknown'
        or coalesce(submitted_at <> latest_submit_at, false)
        or coalesce(eligible_at <> latest_eligible_at, false) as has_ambiguous_time,
        -- Most strings are of a form that needs no closer look.
        not is_step and start_text is not null and allocated_tres is not null and not regexp_full_match(
            ',' || allocated_tres,
            '(,(billing|cpu|mem|node|energy|pages|vmem|fs/disk)=[0-9.]+[KMGTP]?|,gres/gpu(:[^=,]+)?=[0-9]{1,3})*'
        ) as has_unusual_tres
    from paired
),

judged as (
    select
        *,
        case
            when problem is not null then problem
            when not regexp_matches(coalesce(job_id, ''), '^[0-9]') then 'no_job_id'
            when cluster is null then 'no_cluster'
            when not list_contains($clusters, cluster) then 'undeclared_cluster'
            when $time_zone is null and (
                is_local_time(submit_text)
                or is_local_time(eligible_text)
                or is_local_time(start_text)
                or is_local_time(end_text)
            ) then 'undeclared_time_zone'
            when submitted_at is null then 'unreadable_submit'
            when eligible_text is not null and eligible_at is null then 'unreadable_eligible'
            when start_text is not null and started_at is null then 'unreadable_start'
            when end_text is not null and ended_at is null then 'unreadable_end'
            when is_implausible(least(submitted_at, started_at, ended_at))
                or is_implausible(greatest(submitted_at, started_at, ended_at)) then 'implausible_time'
            when ended_at < started_at then 'end_before_start'
            when state not in (
                'COMPLETED', 'FAILED', 'OUT_OF_MEMORY', 'DEADLINE', 'TIMEOUT', 'CANCELLED', 'NODE_FAIL', 'BOOT_FAIL',
                'LAUNCH_FAILED', 'PREEMPTED', 'REQUEUED', 'RESIZING', 'REVOKED', 'RUNNING', 'SUSPENDED', 'STOPPED',
                'COMPLETING', 'CONFIGURING', 'STAGE_OUT', 'SIGNALING', 'PENDING', 'REQUEUE_HOLD', 'SPECIAL_EXIT',
                'RESV_DEL_HOLD'
            ) then 'unknown_state'
            when given(nodes_text) is not null and coalesce(nodes, -1) < 0 then 'unreadable_nodes'
            when given(cpus_text) is not null and coalesce(cpus, -1) < 0 then 'unreadable_cpus'
            when nodes > 1000000 then 'implausible_nodes'
            when cpus > 100000000 then 'implausible_cpus'
            when has_unusual_tres and not regexp_full_match(
                allocated_tres, '([^=,]+=[^=,]*(,[^=,]+=[^=,]*)*)?'
            ) then 'unreadable_tres'
            when has_unusual_tres and regexp_matches(
                allocated_tres, 'gres/(gpu|shard|mps)(:[^=,]+)?=([^0-9]|[0-9]+[^0-9,]|$|,)'
            ) then 'unreadable_accelerators'
            -- No node has thousands of devices, and no cluster millions of nodes: such a count would overflow every sum.
            when has_unusual_tres and coalesce(list_max(list_transform(
                regexp_extract_all(allocated_tres, 'gres/gpu(?::[^=,]+)?=([0-9]{1,9})', 1),
                lambda accelerators: cast(accelerators as bigint)
            )), 0) > 4096 * greatest(coalesce(nodes, 1), 1) then 'implausible_accelerators'
            when has_unusual_tres and regexp_matches(allocated_tres, 'gres/(gpu|shard|mps)(:[^=,]+)?=[0-9]{10}')
                then 'implausible_accelerators'
            when regexp_matches(requested_tres, 'gres/(gpu|shard|mps)(:[^=,]+)?=[0-9]{8}') then 'implausible_accelerators'
            when not is_step and not is_hostlist(node_list) then 'unreadable_node_list'
            when not is_step and is_implausible_hostlist(node_list) then 'implausible_node_list'
        end as reject_reason
    from timed
)

select
    cluster,
    job_id,
    job_id_shown,
    db_index,
    is_step,
    submitted_at,
    eligible_at,
    started_at,
    ended_at,
    elapsed_seconds,
    has_ambiguous_time,
    state,
    state_detail,
    exit_code,
    partition_name,
    qos,
    account,
    user_name,
    reservation_name,
    nodes,
    cpus,
    requested_tres,
    allocated_tres,
    timelimit_minutes,
    node_list,
    reason,
    flags,
    job_name,
    source_line,
    record_text,
    reject_reason,
    case
        when reject_reason is not null then coalesce(plausible(ended_at), plausible(started_at), plausible(submitted_at))
    end as record_at,
    -- What a rejected record would have been worth, where enough of it can be read; with start and end confused, as long.
    case
        when reject_reason is null then null
        when is_step then 0
        when started_at is null and start_text is null and problem is null then 0
        when problem is null and not regexp_matches(coalesce(allocated_tres, 'gres/gpu'), 'gres/(gpu|shard|mps)') then 0
        when is_implausible(started_at) or is_implausible(ended_at) then null
        when started_at is not null and ended_at is not null then
            try_cast(coalesce(
                try_cast(regexp_extract(allocated_tres, 'gres/gpu=([0-9]{1,9})', 1) as hugeint),
                list_sum(list_transform(
                    regexp_extract_all(allocated_tres, 'gres/gpu:[^=,]+=([0-9]{1,9})', 1),
                    lambda accelerators: cast(accelerators as bigint)
                ))
            ) * (abs(epoch_us(ended_at) - epoch_us(started_at)) // 1000000) as bigint)
    end as record_accelerator_seconds
from judged
