-- Types what squeue wrote. A snapshot was taken when its lines say, else when the file was collected. A line without a
-- job says that a snapshot was taken, even if nothing was in the queue.
with typed as (
    select
        source_line,
        record_text,
        problem,
        $cluster as cluster,
        coalesce(instant(given(taken_at), $time_zone), cast($collected_at as timestamp)) as taken_at,
        given(job_id_shown) as job_id_shown,
        upper(given(state)) as state,
        instant(given(submitted_at), $time_zone) as submitted_at,
        instant(given(expected_start_at), $time_zone) as expected_start_at,
        given(partition_name) as partition_name,
        given(account) as account,
        given(user_name) as user_name,
        given(qos) as qos,
        given(reason) as reason,
        given(taken_at) as taken_text,
        instant(given(taken_at), $time_zone) as said_taken_at,
        given(submitted_at) as submit_text,
        given(expected_start_at) as start_text
    from delivered
)

select
    cluster,
    taken_at,
    job_id_shown,
    case when state = 'PD' then 'PENDING' when state = 'R' then 'RUNNING' else state end as state,
    submitted_at,
    expected_start_at,
    partition_name,
    account,
    user_name,
    qos,
    reason,
    source_line,
    record_text,
    case
        when problem is not null then problem
        when $time_zone is null and (
            is_local_time(taken_text) or is_local_time(submit_text) or is_local_time(start_text)
        ) then 'undeclared_time_zone'
        when taken_text is not null and said_taken_at is null then 'unreadable_taken'
        when taken_at is null then 'no_snapshot_time'
        when said_taken_at is not null and job_id_shown is null and state is null and submit_text is null then null
        when job_id_shown is null or not regexp_matches(job_id_shown, '^[0-9]') then 'no_job_id'
        when state is null then 'no_state'
        when submitted_at is null then 'unreadable_submit'
        when start_text is not null and expected_start_at is null then 'unreadable_start'
    end as reject_reason,
    plausible(taken_at) as record_at,
    null::bigint as record_accelerator_seconds
from typed
