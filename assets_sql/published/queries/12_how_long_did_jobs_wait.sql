-- How long did jobs wait, month by month? Who still waits or gave up counts as having waited at least that long.
-- A percentile that is null was not reached; it is at least the longest wait. Never average percentiles: ask for the period.
select
    period_date,
    cluster,
    partition_name,
    jobs_submitted,
    submitted_accelerator_hours,
    wait_eligible_p50_seconds,
    wait_eligible_p90_seconds,
    wait_eligible_p95_seconds,
    wait_eligible_longest_seconds,
    weighted_wait_eligible_p90_seconds
from report.queue('month')
order by period_date asc, cluster asc, partition_name asc
