-- severity: warn
-- Installed accelerators that neither a lot pays for nor a bill, or a component without a bill: such days have no rate.
select *
from report.cost_per_accelerator_hour_daily
where usage_date in (select usage_date from days)
    and (unpriced_hours > 0 or missing_components is not null)
    and (exists (select 1 from core.charges) or exists (select 1 from core.billed_charges))
