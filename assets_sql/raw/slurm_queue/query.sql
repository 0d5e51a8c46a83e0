-- Types what squeue wrote. When the snapshot was taken is when the file was collected; the lines do not say.
with typed as (
    select
        source_line,
        record_text,
        problem,
        $cluster as cluster,
        given(job_id_shown) as job_id_shown,
        upper(given(state)) as state,
        instant(given(submitted_at), $time_zone) as submitted_at,
        instant(given(expected_start_at), $time_zone) as expected_start_at,
        given(partition_name) as partition_name,
        given(account) as account,
        given(user_name) as user_name,
        given(qos) as qos,
        given(reason) as reason,
        given(submitted_at) as submit_text,
        given(expected_start_at) as start_text
    from delivered
)

select
    cluster,
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
        when job_id_shown is null or not regexp_matches(job_id_shown, '^[0-9]') then 'no_job_id'
        when state is null then 'no_state'
        when $time_zone is null and (is_local_time(submit_text) or is_local_time(start_text))
            then 'undeclared_time_zone'
        when submitted_at is null then 'unreadable_submit'
        when start_text is not null and expected_start_at is null then 'unreadable_start'
    end as reject_reason,
    -- A snapshot is about the instant at which it was taken.
    null::timestamp as record_at,
    null::bigint as record_accelerator_seconds
from typed
