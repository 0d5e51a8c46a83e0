-- Each charge's slice of each day: what has accrued by the end of the day less what had by its beginning, so that slices
-- always sum to the charge. Where power has a rate, it is drawn by what is installed, and converted at the day's exchange
-- rate. What belongs to a pool as a whole is split over its models by installed time (of pools that only bills know, by
-- rented time); where nothing is installed it stays with the model `unassigned`. A lot that is written off costs nothing while
-- it is in use, in its currency: that is known.
with windows as (
    select
        cluster_days.usage_date,
        cluster_days.cluster,
        cluster_days.starts_at as window_start_at,
        cluster_days.ends_at as window_end_at
    from core.cluster_days as cluster_days
    inner join days on cluster_days.usage_date = days.usage_date
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

slices as (
    select
        windows.usage_date,
        accruals.cluster,
        accruals.pool,
        accruals.accelerator_model,
        accruals.cost_component,
        accruals.tenure,
        accruals.currency,
        slice_picos(
            accruals.cost_picos, accruals.starts_at, accruals.ends_at, windows.window_start_at, windows.window_end_at
        ) as cost_picos,
        slice_picos(
            accruals.unused_picos, accruals.starts_at, accruals.ends_at, windows.window_start_at, windows.window_end_at
        ) as unused_picos,
        slice_picos(
            accruals.tax_picos, accruals.starts_at, accruals.ends_at, windows.window_start_at, windows.window_end_at
        ) as tax_picos,
        slice_picos(
            accruals.credit_picos, accruals.starts_at, accruals.ends_at, windows.window_start_at, windows.window_end_at
        ) as credit_picos,
        slice_picos(
            accruals.straight_line_picos,
            accruals.starts_at,
            accruals.ends_at,
            windows.window_start_at,
            windows.window_end_at
        ) as straight_line_picos,
        slice_picos(
            accruals.annuity_picos, accruals.starts_at, accruals.ends_at, windows.window_start_at, windows.window_end_at
        ) as annuity_picos
    from core.accruals as accruals
    inner join windows
        on accruals.cluster = windows.cluster
        and accruals.starts_at < windows.window_end_at
        and accruals.ends_at > windows.window_start_at
    where accruals.provider_name = ''
        or accruals.cost_picos <> 0
        or accruals.unused_picos <> 0
        or accruals.tax_picos <> 0
        or accruals.credit_picos <> 0
    union all
    select
        windows.usage_date,
        charges.cluster,
        charges.pool,
        charges.accelerator_model,
        charges.cost_component,
        charges.tenure,
        accruals.currency,
        amount_picos(0),
        amount_picos(0),
        amount_picos(0),
        amount_picos(0),
        amount_picos(0),
        case when charges.annuity_picos is not null then amount_picos(0) end
    from core.charges as charges
    inner join core.accruals as accruals on charges.charge_id = accruals.accrual_id
    inner join windows on charges.cluster = windows.cluster and charges.ends_at <= windows.window_start_at
    inner join inventoried
        on windows.usage_date = inventoried.usage_date
        and charges.cluster = inventoried.cluster
        and charges.pool = inventoried.pool
        and charges.accelerator_model = inventoried.accelerator_model
    where charges.lot_accelerators is not null
    union all
    select
        energy.usage_date,
        energy.cluster,
        energy.pool,
        energy.accelerator_model,
        'power',
        coalesce(pools.tenure, 'owned'),
        case when rates.rate_picos is null then energy.currency else rates.to_currency end,
        converted_picos(amount_picos(energy.power_cost), rates.rate_picos),
        amount_picos(0),
        amount_picos(0),
        amount_picos(0),
        amount_picos(null),
        amount_picos(null)
    from mart.energy_daily as energy
    inner join windows on energy.usage_date = windows.usage_date and energy.cluster = windows.cluster
    left join site.pools as pools on energy.pool = pools.pool
    left join core.exchange_rates as rates
        on rates.provider_name = ''
        and energy.currency = rates.from_currency
        and windows.window_start_at >= rates.valid_from_at
        and windows.window_start_at < rates.valid_to_at
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
        summed.*,
        coalesce(nullif(summed.accelerator_model, ''), weighted.accelerator_model, 'unassigned') as settled_model,
        weighted.weight,
        weighted.weight_so_far,
        weighted.pool_weight
    from summed
    left join weighted
        on summed.accelerator_model = ''
        and summed.usage_date = weighted.usage_date
        and summed.cluster = weighted.cluster
        and summed.pool = weighted.pool
)

select
    usage_date,
    cluster,
    pool,
    settled_model as accelerator_model,
    cost_component,
    tenure,
    picos_amount(sum(running_share(cost_picos, weight_so_far, weight, pool_weight))) as cost,
    picos_amount(sum(running_share(unused_picos, weight_so_far, weight, pool_weight))) as unused_commitment_cost,
    picos_amount(sum(running_share(tax_picos, weight_so_far, weight, pool_weight))) as tax_cost,
    picos_amount(sum(running_share(credit_picos, weight_so_far, weight, pool_weight))) as credit_cost,
    picos_amount(sum(straight_line_picos)) as straight_line_cost,
    picos_amount(sum(annuity_picos)) as annuity_cost,
    currency
from settled
group by usage_date, cluster, pool, settled_model, cost_component, tenure, currency
