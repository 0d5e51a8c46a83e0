-- severity: error
-- Records of an attempt were delivered and accepted, and no row is of it: a fault of the product. That no two are of it is
-- what the key says.
select distinct
    records.cluster,
    records.job_id,
    records.submitted_at
from records_in_scope as records
left join core.attempts as attempts
    on records.cluster = attempts.cluster
    and records.job_id = attempts.job_id
    and records.submitted_at = attempts.submitted_at
where not records.is_step and attempts.job_id is null
