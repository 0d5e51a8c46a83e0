-- What is known against a day's numbers, and the scheduler's own totals as a witness: they agree, differ by what the
-- bridge explains, differ otherwise, or there are none.
with money as (
    select
        usage_date,
        cluster,
        case
            when count(rejected_cost) = count(*) and count(distinct rejected_currency) <= 1 then sum(rejected_cost)
        end as rejected_cost,
        case when count(distinct rejected_currency) = 1 then min(rejected_currency) end as rejected_currency
    from report.data_trust_daily
    group by usage_date, cluster
),

compared as (
    select
        reconciliation.usage_date,
        reconciliation.cluster,
        count(*) as totals_compared,
        cast(sum(abs(reconciliation.difference)) as bigint) as difference,
        cast(sum(abs(reconciliation.unexplained)) as bigint) as unexplained
    from report.reconciliation_daily as reconciliation
    inner join core.clusters as clusters on reconciliation.cluster = clusters.cluster
    where reconciliation.window_end <= clusters.as_of_at
    group by reconciliation.usage_date, reconciliation.cluster
),

telemetry as (
    select
        usage_date,
        cluster,
        min(telemetry_coverage) as telemetry_coverage
    from report.fleet_efficiency_daily
    group by usage_date, cluster
)

select
    trust.usage_date,
    trust.cluster,
    trust.trust,
    trust.is_partial,
    trust.newest_at,
    trust.sources_expected,
    trust.sources_seen,
    trust.missing_sources,
    trust.rows_rejected,
    trust.rows_rejected_nowhere,
    trust.rows_unvaluable,
    second_hours(trust.rejected_seconds) as rejected_hours,
    case when trust.rows_rejected = 0 then cast(0 as decimal(38, 12))
        else cast(money.rejected_cost as decimal(38, 12)) end as rejected_cost,
    money.rejected_currency,
    trust.rejected_reasons,
    telemetry.telemetry_coverage,
    case
        when compared.totals_compared is null then 'not compared'
        when compared.unexplained > 0 then 'unexplained'
        when compared.difference > 0 then 'explained'
        else 'agrees'
    end as reconciliation_status,
    coalesce(compared.totals_compared, 0) as totals_compared,
    coalesce(compared.unexplained, 0) as unexplained
from core.day_trust as trust
left join money on trust.usage_date = money.usage_date and trust.cluster = money.cluster
left join compared on trust.usage_date = compared.usage_date and trust.cluster = compared.cluster
left join telemetry on trust.usage_date = telemetry.usage_date and trust.cluster = telemetry.cluster
