-- A month is the sum of its days; it has a cost, and hours of a link, only where each of them has. A day without any known
-- cost has no currency of its own, and leaves the month unknown in each.
with models as (
    select distinct
        cast(date_trunc('month', usage_date) as date) as usage_month,
        cluster,
        pool,
        accelerator_model
    from report.cost_per_accelerator_hour_daily
),

marked as (
    select
        usage_date,
        cluster,
        pool,
        accelerator_model,
        cost is not null as is_priced
    from report.cost_per_accelerator_hour_daily
    union all
    -- Nobody knows which models a day would have that no bill tells of: it counts for each of the pool.
    select
        untold.usage_date,
        untold.cluster,
        untold.pool,
        models.accelerator_model,
        false as is_priced
    from report.cost_per_accelerator_hour_daily as untold
    inner join models
        on cast(date_trunc('month', untold.usage_date) as date) = models.usage_month
        and untold.cluster = models.cluster
        and untold.pool = models.pool
    where untold.accelerator_model = 'unassigned' and untold.cost is null
),

model_days as (
    select
        usage_date,
        cluster,
        pool,
        accelerator_model,
        bool_and(is_priced) as is_priced
    from marked
    group by usage_date, cluster, pool, accelerator_model
),

counted as (
    select
        cast(date_trunc('month', usage_date) as date) as usage_month,
        cluster,
        pool,
        accelerator_model,
        count(*) as days_counted,
        count(case when is_priced then 1 end) as days_priced
    from model_days
    group by date_trunc('month', usage_date), cluster, pool, accelerator_model
),

sums as (
    select
        cast(date_trunc('month', usage_date) as date) as usage_month,
        cluster,
        pool,
        accelerator_model,
        currency,
        sum(cost) as priced_cost,
        sum(known_cost) as known_cost,
        sum(depreciation_cost) as depreciation_cost,
        sum(power_cost) as power_cost,
        sum(colo_cost) as colo_cost,
        sum(support_cost) as support_cost,
        sum(compute_cost) as compute_cost,
        sum(storage_cost) as storage_cost,
        sum(other_cost) as other_cost,
        sum(unused_commitment_cost) as unused_commitment_cost,
        sum(tax_cost) as tax_cost,
        sum(credit_cost) as credit_cost,
        sum(straight_line_cost) as straight_line_cost,
        sum(annuity_cost) as annuity_cost,
        case when count(replacement_cost) = count(*) then sum(replacement_cost) end as replacement_cost,
        sum(unpriced_hours) as unpriced_hours,
        sum(rented_hours) as rented_hours,
        cast(sum(installed_unit_seconds) as bigint) as installed_unit_seconds,
        case when count(available_unit_seconds) = count(*) then cast(sum(available_unit_seconds) as bigint) end
            as available_unit_seconds,
        case when count(allocated_unit_seconds) = count(*) then cast(sum(allocated_unit_seconds) as bigint) end
            as allocated_unit_seconds,
        max(trust_place(trust)) as worst_trust
    from report.cost_per_accelerator_hour_daily
    group by date_trunc('month', usage_date), cluster, pool, accelerator_model, currency
),

months as (
    select
        sums.*,
        case when counted.days_priced = counted.days_counted then sums.priced_cost end as cost,
        counted.days_counted,
        counted.days_priced
    from sums
    inner join counted
        on sums.usage_month = counted.usage_month
        and sums.cluster = counted.cluster
        and sums.pool = counted.pool
        and sums.accelerator_model = counted.accelerator_model
)

select
    usage_month,
    cluster,
    pool,
    accelerator_model,
    currency,
    cost,
    known_cost,
    depreciation_cost,
    power_cost,
    colo_cost,
    support_cost,
    compute_cost,
    storage_cost,
    other_cost,
    unused_commitment_cost,
    cost - unused_commitment_cost as used_only_cost,
    tax_cost,
    credit_cost,
    straight_line_cost,
    annuity_cost,
    replacement_cost,
    days_counted,
    days_priced,
    unpriced_hours,
    rented_hours,
    unit_hours(installed_unit_seconds) as installed_hours,
    unit_hours(available_unit_seconds) as available_hours,
    unit_hours(allocated_unit_seconds) as allocated_hours,
    cast(null as decimal(38, 6)) as sm_active_hours,
    cast(null as decimal(38, 6)) as productive_hours,
    cost_per_hour(cost, installed_unit_seconds) as cost_per_installed_hour,
    cost_per_hour(cost, available_unit_seconds) as cost_per_available_hour,
    cost_per_hour(cost, allocated_unit_seconds) as cost_per_allocated_hour,
    cost_per_hour(cost - unused_commitment_cost, installed_unit_seconds) as used_only_cost_per_installed_hour,
    cost_per_hour(cost + replacement_cost, installed_unit_seconds) as replacement_cost_per_installed_hour,
    cast(null as double) as cost_per_sm_active_hour,
    cast(null as double) as cost_per_productive_hour,
    installed_unit_seconds,
    available_unit_seconds,
    allocated_unit_seconds,
    trust_name(worst_trust) as trust
from months
