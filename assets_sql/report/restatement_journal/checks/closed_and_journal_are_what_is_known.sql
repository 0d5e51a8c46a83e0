-- severity: error
-- Of a closed month, what was signed and the journal's differences since do not sum to what is known now.
with closed_days as (
    select
        days.usage_date,
        closed_months.closed_version
    from days
    inner join site.closed_months as closed_months
        on cast(date_trunc('month', days.usage_date) as date) = closed_months.usage_month
),

fleet as (
    select false as is_known, * from closed.fleet_efficiency_daily
    union all
    select true as is_known, * from report.fleet_efficiency_daily
),

costs as (
    select false as is_known, * from closed.cost_per_accelerator_hour_daily
    union all
    select true as is_known, * from report.cost_per_accelerator_hour_daily
),

charges as (
    select false as is_known, * from closed.showback_daily
    union all
    select true as is_known, * from report.showback_daily
),

amounts as (
    select
        is_known,
        usage_date,
        'report.fleet_efficiency_daily' as table_name,
        cluster,
        pool,
        'allocated_hours' as measure,
        cast(null as varchar) as idle_policy,
        cast(null as varchar) as currency,
        cast(allocated_hours as decimal(38, 12)) as amount
    from fleet
    union all
    select
        is_known,
        usage_date,
        'report.cost_per_accelerator_hour_daily' as table_name,
        cluster,
        pool,
        'known_cost' as measure,
        cast(null as varchar) as idle_policy,
        currency,
        known_cost as amount
    from costs
    union all
    select
        is_known,
        usage_date,
        'report.showback_daily' as table_name,
        cluster,
        pool,
        'idle_cost' as measure,
        idle_policy,
        currency,
        idle_cost as amount
    from charges
    union all
    select
        false as is_known,
        journal.usage_date,
        journal.table_name,
        journal.cluster,
        journal.pool,
        journal.measure,
        journal.idle_policy,
        journal.currency,
        journal.amount_change as amount
    from report.restatement_journal as journal
    inner join closed_days
        on journal.usage_date = closed_days.usage_date and journal.version_before >= closed_days.closed_version
    where journal.is_month_closed
        and (journal.table_name, journal.measure) in (
            ('report.fleet_efficiency_daily', 'allocated_hours'),
            ('report.cost_per_accelerator_hour_daily', 'known_cost'),
            ('report.showback_daily', 'idle_cost')
        )
)

select
    usage_date,
    table_name,
    cluster,
    pool,
    measure,
    idle_policy,
    currency,
    sum(case when is_known then 0 else amount end) as signed_and_told,
    sum(case when is_known then amount else 0 end) as known
from amounts
where usage_date in (select usage_date from closed_days)
group by usage_date, table_name, cluster, pool, measure, idle_policy, currency
having sum(case when is_known then coalesce(amount, 0) else -coalesce(amount, 0) end) <> 0
