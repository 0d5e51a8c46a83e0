select
    source,
    usage_date,
    records,
    usual_records,
    share_of_usual
from result
where share_of_usual <> 1
    or (source = 'slurm_jobs' and usage_date in ('2026-01-14', '2026-01-15', '2026-01-29', '2026-02-04', '2026-02-05'))
