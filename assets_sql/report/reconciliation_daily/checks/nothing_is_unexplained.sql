-- severity: warn
-- More seconds differ from the scheduler's own totals than the site file tolerates, and no rule explains them.
select reconciliation.*
from report.reconciliation_daily as reconciliation
cross join site.settings as settings
where abs(reconciliation.unexplained) > settings.tolerance_seconds
