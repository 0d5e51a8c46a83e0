-- severity: warn
-- A local time that comes twice, as clocks were put back, and nothing tells which of them is meant: the earlier is taken.
-- Times since 1970 have one meaning: collect with SLURM_TIME_FORMAT=%s.
select
    cluster,
    job_id,
    submitted_at,
    source_file,
    source_line
from records_in_scope
where has_ambiguous_time and not is_step
