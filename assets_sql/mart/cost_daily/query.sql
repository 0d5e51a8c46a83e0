-- Each charge's slice of each day: what has accrued by the end of the day less what had by its beginning, so that slices
-- always sum to the charge. Of bills, the cost is what usage, adjustments and purchases effectively cost, without the
-- purchases of commitments, which usage pays back; taxes and credits stand beside it. What belongs to a pool as a whole is
-- split over its models by installed time (of pools that only bills know, by rented time); where nothing is installed it
-- stays with the model `unassigned`. Where power has a rate, it is drawn by what is installed.
with windows as (
    select
        cluster_days.usage_date,
        cluster_days.cluster,
        cluster_days.starts_at as window_start_at,
        cluster_days.ends_at as window_end_at
    from core.cluster_days as cluster_days
    inner join days on cluster_days.usage_date = days.usage_date
),

-- An empty model is the pool as a whole.
bills as (
    select
        starts_at,
        ends_at,
        cluster,
        pool,
        accelerator_model,
        cost_component,
        tenure,
        currency,
        amount_picos(sum(case
            when charge_category in ('Usage', 'Adjustment') then effective_cost
            when charge_category = 'Purchase' and commitment_discount_id = '' then effective_cost
            else 0
        end)) as cost_picos,
        amount_picos(sum(case when charge_category = 'Usage' and is_unused then effective_cost else 0 end))
            as unused_picos,
        amount_picos(sum(case when charge_category = 'Tax' then effective_cost else 0 end)) as tax_picos,
        amount_picos(sum(case when charge_category = 'Credit' then effective_cost else 0 end)) as credit_picos
    from core.billed_charges
    group by starts_at, ends_at, cluster, pool, accelerator_model, cost_component, tenure, currency
),

slices as (
    select
        windows.usage_date,
        charges.cluster,
        charges.pool,
        coalesce(charges.accelerator_model, '') as accelerator_model,
        charges.cost_component,
        charges.tenure,
        charges.currency,
        slice_picos(
            charges.amount_picos, charges.starts_at, charges.ends_at, windows.window_start_at, windows.window_end_at
        ) as cost_picos,
        amount_picos(0) as unused_picos,
        amount_picos(0) as tax_picos,
        amount_picos(0) as credit_picos,
        slice_picos(
            charges.straight_line_picos, charges.starts_at, charges.ends_at, windows.window_start_at, windows.window_end_at
        ) as straight_line_picos,
        slice_picos(
            charges.annuity_picos, charges.starts_at, charges.ends_at, windows.window_start_at, windows.window_end_at
        ) as annuity_picos
    from core.charges as charges
    inner join windows
        on charges.cluster = windows.cluster
        and charges.starts_at < windows.window_end_at
        and charges.ends_at > windows.window_start_at
    union all
    select
        windows.usage_date,
        bills.cluster,
        bills.pool,
        bills.accelerator_model,
        bills.cost_component,
        bills.tenure,
        bills.currency,
        slice_picos(
            bills.cost_picos, bills.starts_at, bills.ends_at, windows.window_start_at, windows.window_end_at
        ),
        slice_picos(
            bills.unused_picos, bills.starts_at, bills.ends_at, windows.window_start_at, windows.window_end_at
        ),
        slice_picos(
            bills.tax_picos, bills.starts_at, bills.ends_at, windows.window_start_at, windows.window_end_at
        ),
        slice_picos(
            bills.credit_picos, bills.starts_at, bills.ends_at, windows.window_start_at, windows.window_end_at
        ),
        amount_picos(null),
        amount_picos(null)
    from bills
    inner join windows
        on bills.cluster = windows.cluster
        and bills.starts_at < windows.window_end_at
        and bills.ends_at > windows.window_start_at
    where bills.cost_picos <> 0 or bills.unused_picos <> 0 or bills.tax_picos <> 0 or bills.credit_picos <> 0
    union all
    select
        energy.usage_date,
        energy.cluster,
        energy.pool,
        energy.accelerator_model,
        'power',
        coalesce(pools.tenure, 'owned'),
        energy.currency,
        amount_picos(energy.power_cost),
        amount_picos(0),
        amount_picos(0),
        amount_picos(0),
        amount_picos(null),
        amount_picos(null)
    from mart.energy_daily as energy
    left join site.pools as pools on energy.pool = pools.pool
    where energy.usage_date in (select usage_date from days)
),

summed as (
    select
        usage_date,
        cluster,
        pool,
        accelerator_model,
        cost_component,
        tenure,
        currency,
        sum(cost_picos) as cost_picos,
        sum(unused_picos) as unused_picos,
        sum(tax_picos) as tax_picos,
        sum(credit_picos) as credit_picos,
        sum(straight_line_picos) as straight_line_picos,
        sum(annuity_picos) as annuity_picos
    from slices
    group by usage_date, cluster, pool, accelerator_model, cost_component, tenure, currency
),

inventoried as (
    select
        usage_date,
        cluster,
        pool,
        accelerator_model,
        cast(sum(installed_units * seconds_between(starts_at, ends_at)) as bigint) // 84000 as weight
    from mart.node_timeline
    where usage_date in (select usage_date from days) and installed_units > 0
    group by usage_date, cluster, pool, accelerator_model
),

installed as (
    select * from inventoried
    union all
    select
        rented.usage_date,
        rented.cluster,
        rented.pool,
        rented.accelerator_model,
        cast(sum(rented.billed_unit_seconds) as bigint) // 84000 as weight
    from mart.rented_hours_daily as rented
    left join (select distinct usage_date, cluster, pool from inventoried) as inventoried
        on rented.usage_date = inventoried.usage_date
        and rented.cluster = inventoried.cluster
        and rented.pool = inventoried.pool
    where rented.usage_date in (select usage_date from days) and inventoried.pool is null
    group by rented.usage_date, rented.cluster, rented.pool, rented.accelerator_model
),

weighted as (
    select
        *,
        cast(sum(weight) over (partition by usage_date, cluster, pool) as bigint) as pool_weight,
        cast(sum(weight) over (
            partition by usage_date, cluster, pool order by accelerator_model desc rows unbounded preceding
        ) as bigint) as weight_so_far
    from installed
    where weight > 0
),

settled as (
    select
        usage_date,
        cluster,
        pool,
        accelerator_model,
        cost_component,
        tenure,
        currency,
        cost_picos,
        unused_picos,
        tax_picos,
        credit_picos,
        straight_line_picos,
        annuity_picos
    from summed
    where accelerator_model <> ''
    union all
    select
        summed.usage_date,
        summed.cluster,
        summed.pool,
        coalesce(weighted.accelerator_model, 'unassigned'),
        summed.cost_component,
        summed.tenure,
        summed.currency,
        case
            when weighted.weight is null then summed.cost_picos
            else running_share(summed.cost_picos, weighted.weight_so_far, weighted.weight, weighted.pool_weight)
        end,
        case
            when weighted.weight is null then summed.unused_picos
            else running_share(summed.unused_picos, weighted.weight_so_far, weighted.weight, weighted.pool_weight)
        end,
        case
            when weighted.weight is null then summed.tax_picos
            else running_share(summed.tax_picos, weighted.weight_so_far, weighted.weight, weighted.pool_weight)
        end,
        case
            when weighted.weight is null then summed.credit_picos
            else running_share(summed.credit_picos, weighted.weight_so_far, weighted.weight, weighted.pool_weight)
        end,
        amount_picos(null),
        amount_picos(null)
    from summed
    left join weighted
        on summed.usage_date = weighted.usage_date
        and summed.cluster = weighted.cluster
        and summed.pool = weighted.pool
    where summed.accelerator_model = ''
)

select
    usage_date,
    cluster,
    pool,
    accelerator_model,
    cost_component,
    tenure,
    picos_amount(sum(cost_picos)) as cost,
    picos_amount(sum(unused_picos)) as unused_commitment_cost,
    picos_amount(sum(tax_picos)) as tax_cost,
    picos_amount(sum(credit_picos)) as credit_cost,
    picos_amount(sum(straight_line_picos)) as straight_line_cost,
    picos_amount(sum(annuity_picos)) as annuity_cost,
    currency
from settled
group by usage_date, cluster, pool, accelerator_model, cost_component, tenure, currency
