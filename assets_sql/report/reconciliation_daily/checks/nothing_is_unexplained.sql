-- severity: error
-- More seconds differ from the scheduler's own totals than the site file tolerates, and no line of the bridge explains
-- them. Where a later delivery of the window changed the total, theirs_before says what it was.
select reconciliation.*
from report.reconciliation_daily as reconciliation
inner join core.clusters as clusters on reconciliation.cluster = clusters.cluster
cross join site.settings as settings
where reconciliation.window_end <= clusters.as_of_at
    and abs(reconciliation.unexplained) > settings.tolerance_seconds
    and abs(reconciliation.unexplained) > settings.tolerance_share * reconciliation.theirs
