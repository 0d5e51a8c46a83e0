-- Of each attempt's records, one wins: the one collected last; where no delivery says when it was collected, the one
-- that knows the later instant; then the larger content hash. Never by arrival.
with repeated as (
    select
        cluster,
        job_id,
        submitted_at
    from records_in_scope
    where not is_step
    group by cluster, job_id, submitted_at
    having count(*) > 1
),

ranked as (
    select
        records.load_id,
        records.source_line,
        row_number() over (
            partition by records.cluster, records.job_id, records.submitted_at
            order by
                records.collected_at desc nulls last,
                records.ended_at is not null desc,
                greatest(records.ended_at, records.started_at) desc nulls last,
                records.content_sha256 desc,
                records.source_line desc
        ) as place
    from records_in_scope as records
    inner join repeated
        on records.cluster = repeated.cluster
        and records.job_id = repeated.job_id
        and records.submitted_at = repeated.submitted_at
    where not records.is_step
),

losers as (
    select
        load_id,
        source_line
    from ranked
    where place > 1
),

-- After a resize the follow-up record keeps the original start: its true start is its submission.
resized_jobs as (
    select distinct
        cluster,
        job_id
    from records_in_scope
    where state = 'RESIZING'
),

followers as (
    select
        segments.cluster,
        segments.job_id,
        segments.submitted_at,
        lag(segments.state) over (
            partition by segments.cluster, segments.job_id order by segments.submitted_at
        ) = 'RESIZING' as is_resize_follower
    from records_in_scope as segments
    inner join resized_jobs
        on segments.cluster = resized_jobs.cluster and segments.job_id = resized_jobs.job_id
    left join losers
        on segments.load_id = losers.load_id and segments.source_line = losers.source_line
    where not segments.is_step and losers.load_id is null
),

end_classes as (
    select
        state,
        end_class
    from (
        values
        ('COMPLETED', 'completed'),
        ('FAILED', 'user_failure'),
        ('OUT_OF_MEMORY', 'user_failure'),
        ('DEADLINE', 'user_failure'),
        ('TIMEOUT', 'timeout'),
        ('CANCELLED', 'cancelled'),
        ('NODE_FAIL', 'infra_failure'),
        ('BOOT_FAIL', 'infra_failure'),
        ('LAUNCH_FAILED', 'infra_failure'),
        ('PREEMPTED', 'preempted'),
        ('REQUEUED', 'requeued'),
        ('RESIZING', 'resized_segment'),
        ('REVOKED', 'revoked'),
        ('RUNNING', 'open'),
        ('SUSPENDED', 'open'),
        ('STOPPED', 'open'),
        ('COMPLETING', 'open'),
        ('CONFIGURING', 'open'),
        ('STAGE_OUT', 'open'),
        ('SIGNALING', 'open'),
        ('PENDING', 'pending'),
        ('REQUEUE_HOLD', 'pending'),
        ('SPECIAL_EXIT', 'pending'),
        ('RESV_DEL_HOLD', 'pending')
    ) as classes (state, end_class)
),

-- What a string is worth before anything is known of nodes: null where it asks for a share that only a node can weigh.
accelerators as (
    select
        tres.tres,
        case
            when count(*) = count(case when tres.share = '' then 1 else weights.slice_units end)
                then cast(sum(tres.accelerators_counted * coalesce(weights.slice_units, 84000)) as bigint)
        end as requested_units
    from core.tres as tres
    left join site.accelerators as aliases on tres.device_type = aliases.alias
    left join core.mig_weights as weights
        on aliases.accelerator_model = weights.accelerator_model and tres.share = weights.share
    group by tres.tres
),

-- Only distinct strings are parsed.
allocations as (
    select
        strings.allocated_tres,
        accelerators.tres is not null as holds_accelerators,
        accelerators.tres is null
        and regexp_matches(strings.allocated_tres, 'gres/(gpu|shard|mps)(:[^=,]+)?=0(,|$)') as is_no_consume,
        tres_memory_mib(strings.allocated_tres) as memory_mib
    from (
        select distinct allocated_tres
        from records_in_scope
        where not is_step and allocated_tres is not null
    ) as strings
    left join accelerators on strings.allocated_tres = accelerators.tres
),

-- One record stands for all tasks of an array that have not started, as a list such as 123_[1,3,5-9:2%10]. Sizes and
-- steps of distinct lists are counted; where Slurm cut a list (`...`), what is left of it is a lower bound.
array_lists as (
    select distinct job_id_shown
    from records_in_scope
    where regexp_matches(job_id_shown, '_\[')
),

array_entries as (
    select
        job_id_shown,
        unnest(string_split(regexp_extract(job_id_shown, '\[([^\]%]*)', 1), ',')) as entry
    from array_lists
),

arrays as (
    select
        job_id_shown,
        greatest(1, cast(sum(
            case
                when regexp_full_match(entry, '[0-9]{1,9}') then 1
                when regexp_full_match(entry, '[0-9]{1,9}-[0-9]{1,9}(:0*[1-9][0-9]{0,8})?')
                    then (
                        cast(regexp_extract(entry, '-([0-9]+)', 1) as bigint)
                        - cast(regexp_extract(entry, '^([0-9]+)', 1) as bigint)
                    ) // cast(coalesce(nullif(regexp_extract(entry, ':([0-9]+)$', 1), ''), '1') as bigint) + 1
                else 0
            end
        ) as bigint)) as array_tasks,
        cast(nullif(regexp_extract(job_id_shown, '%([0-9]{1,9})\]$', 1), '') as bigint) as array_task_limit
    from array_entries
    group by job_id_shown
),

-- With `--array` sacct repeats that record, with all its ids and times, once for each task.
expanded_arrays as (
    select
        cluster,
        job_id,
        submitted_at,
        load_id,
        count(distinct job_id_shown) as array_tasks
    from records_in_scope
    where not is_step and started_at is null and regexp_matches(job_id_shown, '^[0-9]+_[0-9]+$')
    group by cluster, job_id, submitted_at, load_id
    having count(distinct job_id_shown) > 1
),

workload_classes as (
    select
        kinds.partition_name,
        kinds.qos,
        arg_min(rules.workload_class, rules.position) as workload_class
    from (
        select distinct
            coalesce(partition_name, '') as partition_name,
            coalesce(qos, '') as qos
        from records_in_scope
    ) as kinds
    inner join site.workload_rules as rules
        on (rules.partition_name is null or rules.partition_name = kinds.partition_name)
        and (rules.qos is null or rules.qos = kinds.qos)
    group by kinds.partition_name, kinds.qos
)

select
    winners.cluster || '/' || winners.job_id || '/' || cast(epoch_us(winners.submitted_at) // 1000000 as varchar)
        as attempt_id,
    winners.cluster,
    'slurm' as scheduler,
    winners.job_id,
    winners.job_id_shown,
    winners.db_index,
    winners.account,
    winners.user_name,
    winners.partition_name,
    winners.qos,
    coalesce(workload_classes.workload_class, 'unclassified') as workload_class,
    winners.reservation_name,
    winners.job_name,
    winners.submitted_at,
    winners.eligible_at,
    case
        when winners.started_at is null or winners.node_list = 'None assigned' then null
        when followers.is_resize_follower then greatest(winners.started_at, winners.submitted_at)
        else winners.started_at
    end as started_at,
    winners.ended_at,
    winners.started_at as recorded_start_at,
    coalesce(followers.is_resize_follower, false) as is_resize_follower,
    winners.elapsed_seconds,
    winners.timelimit_minutes,
    winners.state,
    winners.state_detail,
    winners.exit_code,
    end_classes.end_class,
    end_classes.end_class = 'open' or (winners.ended_at is null and winners.started_at is not null) as is_open,
    unit_accelerators(coalesce(requested.requested_units, case when requested.tres is null then 0 end))
        as accelerators_requested,
    coalesce(allocations.holds_accelerators, false) as holds_accelerators,
    coalesce(allocations.is_no_consume, false) as is_no_consume,
    coalesce(arrays.array_tasks, expanded_arrays.array_tasks, 1) as array_tasks,
    arrays.array_task_limit,
    winners.cpus,
    winners.nodes,
    allocations.memory_mib,
    winners.requested_tres,
    winners.allocated_tres,
    winners.node_list,
    winners.reason,
    winners.source_file,
    winners.source_line
from records_in_scope as winners
left join losers
    on winners.load_id = losers.load_id and winners.source_line = losers.source_line
left join followers
    on winners.cluster = followers.cluster
    and winners.job_id = followers.job_id
    and winners.submitted_at = followers.submitted_at
left join end_classes on winners.state = end_classes.state
left join allocations on winners.allocated_tres = allocations.allocated_tres
left join accelerators as requested on winners.requested_tres = requested.tres
left join arrays on winners.job_id_shown = arrays.job_id_shown
left join expanded_arrays
    on winners.cluster = expanded_arrays.cluster
    and winners.job_id = expanded_arrays.job_id
    and winners.submitted_at = expanded_arrays.submitted_at
    and winners.load_id = expanded_arrays.load_id
    and winners.started_at is null
left join workload_classes
    on coalesce(winners.partition_name, '') = workload_classes.partition_name
    and coalesce(winners.qos, '') = workload_classes.qos
where not winners.is_step and losers.load_id is null
