-- What changed since the report you signed?
-- Of each closed month, what is known now less what was signed. Hours, or the currency; charges are told under each policy.
select
    cast(date_trunc('month', journal.usage_date) as date) as usage_month,
    closed_months.closed_version,
    journal.cluster,
    journal.pool,
    journal.team,
    journal.idle_policy,
    journal.table_name,
    journal.measure,
    journal.currency,
    sum(journal.amount_change) as amount_change,
    string_agg(distinct journal.because, '; ') as because
from report.restatement_journal as journal
inner join report.closed_months as closed_months
    on cast(date_trunc('month', journal.usage_date) as date) = closed_months.usage_month
    and journal.version_before >= closed_months.closed_version
where journal.is_month_closed
group by all
having sum(journal.amount_change) <> 0
order by all
