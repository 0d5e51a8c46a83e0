-- Slurm's JSON with an array `jobs`, as columns of text, written as `sacct -P` writes them. Two kinds of objects occur:
-- slurmdbd's (`sacct --json`, slurmrestd's /slurmdb/…/jobs) with state.current, and slurmctld's (`scontrol show job
-- --json`, `squeue --json`, slurmrestd's /slurm/…/jobs) with job_state. Steps inside a job are not records.
with objects as (
    select
        position,
        from_json(record, '{
            "cluster": "VARCHAR", "job_id": "JSON", "name": "VARCHAR", "user": "VARCHAR", "user_name": "VARCHAR",
            "account": "VARCHAR", "partition": "VARCHAR", "qos": "VARCHAR", "nodes": "VARCHAR", "flags": "JSON",
            "association": {"user": "VARCHAR", "cluster": "VARCHAR"},
            "time": {"submission": "JSON", "eligible": "JSON", "start": "JSON", "end": "JSON", "elapsed": "JSON",
                     "suspended": "JSON", "limit": "JSON"},
            "submit_time": "JSON", "eligible_time": "JSON", "start_time": "JSON", "end_time": "JSON",
            "time_limit": "JSON",
            "state": {"current": "JSON", "reason": "VARCHAR"}, "job_state": "JSON", "state_reason": "VARCHAR",
            "kill_request_user": "VARCHAR",
            "exit_code": {"return_code": "JSON", "signal": {"id": "JSON", "signal_id": "JSON"}},
            "reservation": {"id": "JSON", "name": "JSON"}, "resv_name": "VARCHAR",
            "allocation_nodes": "JSON", "node_count": "JSON", "required": "JSON", "cpus": "JSON",
            "tres": {"allocated": "JSON", "requested": "JSON"},
            "tres_alloc_str": "VARCHAR", "tres_req_str": "VARCHAR", "gres_detail": "JSON", "used_gres": "VARCHAR",
            "array": {"job_id": "JSON", "task_id": "JSON", "task": "VARCHAR",
                      "limits": {"max": {"running": {"tasks": "JSON"}}}},
            "array_job_id": "JSON", "array_task_id": "JSON", "array_task_string": "VARCHAR",
            "het": {"job_id": "JSON", "job_offset": "JSON"}, "het_job_id": "JSON", "het_job_offset": "JSON"
        }') as job
    from records
),

jobs as (
    select
        position,
        job,
        job.job_state is not null as is_of_controller,
        json_texts(coalesce(job.state.current, job.job_state)) as states,
        json_number(job.job_id) as job_id,
        nullif(job.nodes, '') as node_list,
        nullif(json_number(coalesce(job.array.job_id, job.array_job_id)), '0') as array_job_id,
        json_number(coalesce(job.array.task_id, job.array_task_id)) as array_task_id,
        nullif(coalesce(job.array.task, job.array_task_string), '') as array_tasks,
        nullif(lower(regexp_extract(job.array.task, '^0[xX]([0-9a-fA-F]+)', 1)), '') as array_mask,
        nullif(json_number(coalesce(job.het.job_id, job.het_job_id)), '0') as het_job_id,
        json_number(coalesce(job.het.job_offset, job.het_job_offset)) as het_job_offset,
        case when json_type(job.tres.allocated) = 'ARRAY' then job.tres.allocated end as allocated_array,
        case when json_type(job.tres.requested) = 'ARRAY' then job.tres.requested end as requested_array
    from objects
),

-- A base state may come with flags. Those that sacct would show in its place come first.
stated as (
    select
        *,
        coalesce(
            list_filter([
                'REQUEUED', 'RESIZING', 'REVOKED', 'LAUNCH_FAILED', 'REQUEUE_HOLD', 'SPECIAL_EXIT', 'RESV_DEL_HOLD',
                'STOPPED', 'SIGNALING', 'STAGE_OUT', 'CONFIGURING'
            ], lambda flag: list_contains(states, flag))[1],
            states[1]
        ) as state
    from jobs
),

-- TRES in arrays, each distinct array once, as the text that sacct writes; counts that are null or negative mean none.
tres_arrays as (
    select allocated_array as tres_array from jobs where allocated_array is not null
    union
    select requested_array from jobs where requested_array is not null
),

tres_entries as (
    select
        tres_array,
        unnest(from_json(tres_array, '[{"type": "VARCHAR", "name": "VARCHAR", "count": "JSON"}]')) as entry
    from tres_arrays
),

tres_texts as (
    select
        tres_array,
        string_agg(tres_text, ',' order by tres_text) as tres,
        max(case when entry.type = 'cpu' then json_number(entry.count) end) as cpus,
        max(case when entry.type = 'node' then json_number(entry.count) end) as nodes
    from (
        select
            tres_array,
            entry,
            entry.type || coalesce('/' || nullif(entry.name, ''), '') || '=' || json_number(entry.count)
            || case when entry.type = 'mem' then 'M' else '' end as tres_text
        from tres_entries
        where json_number(entry.count) not like '-%'
    )
    group by tres_array
),

resourced as (
    select
        stated.*,
        coalesce(allocated.tres, stated.job.tres_alloc_str, '') as allocated_tres,
        coalesce(requested.tres, stated.job.tres_req_str, '') as requested_tres,
        allocated.cpus as allocated_cpus,
        requested.nodes as requested_nodes
    from stated
    left join tres_texts as allocated on stated.allocated_array = allocated.tres_array
    left join tres_texts as requested on stated.requested_array = requested.tres_array
),

-- Where the accounting does not track accelerators, what was taken on each node may still say them:
-- "gpu:h100:2(IDX:0-1),gpu:h200:4(IDX:2-5)", one text a node.
details as (
    select
        position,
        coalesce(nullif(array_to_string(json_texts(job.gres_detail), ','), ''), job.used_gres) as detail
    from resourced
    where not regexp_matches(allocated_tres, 'gres/(gpu|shard|mps)')
),

detail_entries as (
    select
        position,
        unnest(string_split(regexp_replace(detail, '\([^)]*\)', '', 'g'), ',')) as entry
    from details
    where detail <> ''
),

detail_counts as (
    select
        position,
        'gres/' || regexp_extract(entry, '^([a-z]+):', 1) as resource,
        regexp_extract(entry, '^[a-z]+(:.+):[0-9]{1,9}$', 1) as accelerator_type,
        cast(regexp_extract(entry, ':([0-9]{1,9})$', 1) as bigint) as count
    from detail_entries
    where regexp_matches(entry, '^(gpu|shard|mps):(.+:)?[0-9]{1,9}$')
),

detail_texts as (
    select
        position,
        string_agg(tres_text, ',' order by tres_text) as tres
    from (
        select
            position,
            resource || '=' || sum(count) as tres_text
        from detail_counts
        group by position, resource
        union
        select
            position,
            resource || accelerator_type || '=' || sum(count)
        from detail_counts
        group by position, resource, accelerator_type
        having accelerator_type <> ''
    )
    group by position
),

-- The tasks of a pending array as a mask in hexadecimal: the bits of each digit, from the last digit on.
masks as (
    select distinct array_mask as mask
    from jobs
    where array_mask is not null
),

mask_digits as (
    select
        mask,
        unnest(generate_series(1, length(mask))) as place
    from masks
),

mask_bits as (
    select
        mask,
        place,
        strpos('0123456789abcdef', mask[-place]) - 1 as digit,
        unnest([0, 1, 2, 3]) as bit
    from mask_digits
),

mask_tasks as (
    select
        mask,
        (place - 1) * 4 + bit as task,
        (place - 1) * 4 + bit - row_number() over (partition by mask order by place, bit) as run
    from mask_bits
    where (digit >> bit) % 2 = 1
),

mask_runs as (
    select
        mask,
        min(task) as first_task,
        min(task) || case when max(task) > min(task) then '-' || max(task) else '' end as tasks
    from mask_tasks
    group by mask, run
),

mask_texts as (
    select
        mask,
        string_agg(tasks, ',' order by first_task) as tasks
    from mask_runs
    group by mask
)

select
    resourced.position as source_line,
    left(coalesce(records.unusable_text, records.record::varchar), 4000) as record_text,
    -- What started and does not say what it was given may have held anything: that is not nothing.
    case
        when records.unusable_text is not null then 'not_an_object'
        when resourced.allocated_array is null
            and resourced.job.tres_alloc_str is null
            and json_instant(coalesce(resourced.job.time.start, resourced.job.start_time)) is not null
            and not (resourced.is_of_controller and resourced.node_list is null)
            then 'unreadable_tres'
    end as problem,
    coalesce(given(resourced.job.cluster), resourced.job.association.cluster) as cluster,
    resourced.job_id,
    case
        when resourced.het_job_id is not null then resourced.het_job_id || '+' || coalesce(resourced.het_job_offset, '')
        when resourced.array_job_id is null then resourced.job_id
        when resourced.array_tasks is not null then
            resourced.array_job_id || '_[' || coalesce(mask_texts.tasks, resourced.array_tasks)
            || case
                when mask_texts.tasks is null then ''
                else coalesce('%' || nullif(json_number(resourced.job.array.limits.max.running.tasks), '0'), '')
            end
            || ']'
        else resourced.array_job_id || coalesce('_' || resourced.array_task_id, '')
    end as job_id_shown,
    null::varchar as db_index,
    json_instant(coalesce(resourced.job.time.submission, resourced.job.submit_time)) as submitted_at,
    json_instant(coalesce(resourced.job.time.eligible, resourced.job.eligible_time)) as eligible_at,
    -- slurmctld writes when it expects to start what waits, and when it expects to end what runs.
    case
        when not resourced.is_of_controller then json_instant(resourced.job.time.start)
        when resourced.node_list is not null then json_instant(resourced.job.start_time)
    end as started_at,
    case
        when not resourced.is_of_controller then json_instant(resourced.job.time.end)
        when resourced.state not in (
            'PENDING', 'RUNNING', 'SUSPENDED', 'CONFIGURING', 'STOPPED', 'SIGNALING', 'STAGE_OUT', 'REQUEUE_HOLD',
            'SPECIAL_EXIT', 'RESV_DEL_HOLD'
        ) then json_instant(resourced.job.end_time)
    end as ended_at,
    json_number(resourced.job.time.elapsed) as elapsed_seconds,
    json_number(resourced.job.time.suspended) as suspended,
    case
        when resourced.state = 'CANCELLED' then concat('CANCELLED', ' by ' || given(resourced.job.kill_request_user))
        else resourced.state
    end as state,
    case when resourced.job.exit_code is not null then
        coalesce(json_number(resourced.job.exit_code.return_code), '0') || ':' || coalesce(
            json_number(coalesce(resourced.job.exit_code.signal.id, resourced.job.exit_code.signal.signal_id)), '0'
        )
    end as exit_code,
    resourced.job.partition as partition_name,
    resourced.job.qos as qos,
    resourced.job.account as account,
    coalesce(given(resourced.job.user), resourced.job.user_name, resourced.job.association.user) as user_name,
    -- Slurm 22.05 writes a number that means nothing in place of the name; the id is right.
    case
        when resourced.job.reservation.name ->> '$' <> '' and json_type(resourced.job.reservation.name) = 'VARCHAR'
            then resourced.job.reservation.name ->> '$'
        when json_number(resourced.job.reservation.id) <> '0' then '#' || json_number(resourced.job.reservation.id)
        else resourced.job.resv_name
    end as reservation_name,
    coalesce(
        nullif(json_number(coalesce(resourced.job.allocation_nodes, resourced.job.node_count)), '0'),
        resourced.requested_nodes
    ) as nodes,
    coalesce(
        resourced.allocated_cpus, json_number(resourced.job.required -> '$.CPUs'), json_number(resourced.job.cpus)
    ) as cpus,
    resourced.requested_tres,
    concat_ws(',', nullif(resourced.allocated_tres, ''), detail_texts.tres) as allocated_tres,
    json_number(coalesce(resourced.job.time.limit, resourced.job.time_limit)) as timelimit_minutes,
    resourced.node_list,
    coalesce(resourced.job.state.reason, resourced.job.state_reason) as reason,
    array_to_string(json_texts(resourced.job.flags), ',') as flags,
    -- As a text file of them is read.
    replace(replace(replace(replace(
        coalesce(resourced.job.name, ''), chr(13) || chr(10), chr(10)), chr(13), '␍'), chr(0), '␀'), chr(1), '␁')
        as job_name
from resourced
inner join records on resourced.position = records.position
left join detail_texts on resourced.position = detail_texts.position
left join mask_texts on resourced.array_mask = mask_texts.mask
