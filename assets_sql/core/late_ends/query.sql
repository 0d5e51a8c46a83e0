-- The scheduler's totals of an hour count an open record to the hour's end, until the hour is rolled up again.
with open_records as (
    select
        cluster,
        job_id,
        submitted_at,
        max(collected_at) as open_at
    from raw.slurm_jobs
    where not is_step and started_at is not null and ended_at is null and collected_at is not null
    group by cluster, job_id, submitted_at
),

-- Few had ended already when they were collected as open.
ended as (
    select
        attempts.attempt_id,
        attempts.cluster,
        attempts.job_id,
        attempts.submitted_at,
        attempts.ended_at,
        open_records.open_at
    from core.attempts as attempts
    inner join open_records
        on attempts.cluster = open_records.cluster
        and attempts.job_id = open_records.job_id
        and attempts.submitted_at = open_records.submitted_at
        and attempts.ended_at < open_records.open_at
)

select
    ended.attempt_id,
    ended.cluster,
    ended.ended_at as starts_at,
    min(jobs.collected_at) as known_at
from ended
inner join raw.slurm_jobs as jobs
    on ended.cluster = jobs.cluster
    and ended.job_id = jobs.job_id
    and ended.submitted_at = jobs.submitted_at
    and ended.open_at < jobs.collected_at
where not jobs.is_step and jobs.ended_at is not null
group by ended.attempt_id, ended.cluster, ended.ended_at
