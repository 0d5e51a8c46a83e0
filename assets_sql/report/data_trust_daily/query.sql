-- What rejected records would have cost: of those that tell of accelerators, at the day's cost per installed hour of their
-- cluster, where one currency prices all of it; of charges, purchases and costs, what they say. Nothing is added up over
-- two currencies.
with cluster_rates as (
    select
        usage_date,
        cluster,
        case when count(distinct currency) = 1 and count(cost) = count(*) then min(currency) end as currency,
        case when count(distinct currency) = 1 and count(cost) = count(*)
            then cost_per_hour(sum(cost), sum(installed_unit_seconds)) end as cost_per_installed_hour
    from report.cost_per_accelerator_hour_daily
    group by usage_date, cluster
),

valued as (
    select
        outcomes.*,
        case
            when outcomes.rejected_seconds = 0 then cast(0 as decimal(38, 12))
            else cast(
                rates.cost_per_installed_hour * cast(second_hours(outcomes.rejected_seconds) as double)
                as decimal(38, 12)
            )
        end as hours_cost,
        case when outcomes.rejected_seconds > 0 then rates.currency end as hours_currency
    from core.record_outcomes as outcomes
    left join cluster_rates as rates
        on outcomes.usage_date = rates.usage_date and outcomes.cluster = rates.cluster
),

summed as (
    select
        *,
        case
            when rejected_charges_currency is null then hours_cost
            when rejected_seconds = 0 or rejected_charges_currency = hours_currency
                then cast(hours_cost + rejected_charges_cost as decimal(38, 12))
        end as rejected_cost
    from valued
)

select
    usage_date,
    source,
    cluster,
    rows_received,
    rows_accepted,
    rows_rejected,
    rows_superseded,
    rows_unvaluable,
    second_hours(rejected_seconds) as rejected_hours,
    rejected_cost,
    case
        when rejected_cost is not null and (rejected_seconds > 0 or rejected_charges_currency is not null)
            then coalesce(hours_currency, rejected_charges_currency)
    end as rejected_currency,
    newest_at,
    ratio(rows_received - rows_rejected, rows_received) as coverage
from summed
