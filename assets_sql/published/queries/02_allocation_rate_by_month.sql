-- How much of what was installed, and of what was available, was allocated in each month?
-- report.efficiency divides the month's sums; the average of the daily rates is another number.
select
    period_date,
    cluster,
    pool,
    accelerator_model,
    is_partial,
    allocated_hours,
    available_hours,
    installed_hours,
    allocation_rate_available,
    allocation_rate_installed
from report.efficiency('month')
order by period_date, cluster, pool, accelerator_model
