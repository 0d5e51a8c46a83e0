-- severity: warn
-- Two accounting database records (DBIndex) share one cluster, job id and submit time: one of them is not counted.
select
    cluster,
    job_id,
    submitted_at,
    count(distinct db_index) as database_records
from records_in_scope
where not is_step
group by cluster, job_id, submitted_at
having count(distinct db_index) > 1
