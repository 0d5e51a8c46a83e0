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

closed_records as (
    select
        jobs.cluster,
        jobs.job_id,
        jobs.submitted_at,
        max(open_records.open_at) as open_at,
        min(jobs.collected_at) as known_at
    from raw.slurm_jobs as jobs
    inner join open_records
        on jobs.cluster = open_records.cluster
        and jobs.job_id = open_records.job_id
        and jobs.submitted_at = open_records.submitted_at
        and jobs.collected_at > open_records.open_at
    where not jobs.is_step and jobs.ended_at is not null
    group by jobs.cluster, jobs.job_id, jobs.submitted_at
)

select
    attempts.attempt_id,
    attempts.cluster,
    attempts.ended_at as starts_at,
    closed_records.known_at
from core.attempts as attempts
inner join closed_records
    on attempts.cluster = closed_records.cluster
    and attempts.job_id = closed_records.job_id
    and attempts.submitted_at = closed_records.submitted_at
where attempts.ended_at < closed_records.open_at
