-- Can I trust these numbers: on how many days is nothing known against them, and what is known against the others?
-- rejected_cost values what could be read of rejected records; rows_unvaluable are those that could not be valued at all.
-- By day, with the sources that are missing and the reasons for rejecting: report.trust_daily. By source, with all that was
-- received, accepted and superseded: report.data_trust_daily.
select
    period_date,
    cluster,
    trust,
    days_counted,
    days_complete,
    days_with_missing_sources,
    rows_rejected,
    rows_unvaluable,
    rejected_hours,
    rejected_cost,
    rejected_currency,
    reconciliation_status,
    newest_at
from report.trust('month')
order by period_date, cluster
