-- Can I trust these numbers: what was received, what was rejected, and what would that have been worth?
-- received = accepted + rejected + superseded. rows_unvaluable are rejected records that could not be valued at all.
select
    source,
    cluster,
    sum(rows_received) as rows_received,
    sum(rows_accepted) as rows_accepted,
    sum(rows_superseded) as rows_superseded,
    sum(rows_rejected) as rows_rejected,
    sum(rows_unvaluable) as rows_unvaluable,
    sum(rejected_hours) as rejected_hours,
    report.whole_sum(rejected_cost) as rejected_cost,
    report.rate(sum(rows_received) - sum(rows_rejected), sum(rows_received)) as coverage,
    max(newest_at) as newest_at
from report.data_trust_daily
group by source, cluster
order by sum(rows_rejected) desc, source asc, cluster asc
