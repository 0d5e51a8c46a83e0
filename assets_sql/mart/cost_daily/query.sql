-- Each charge's slice of each day: what has accrued by the end of the day less what had by its beginning, so that slices
-- always sum to the charge. What belongs to a pool as a whole is split over its models by installed time, by largest
-- remainder; where nothing is installed it stays with the model `unassigned`.
with windows as (
    select
        cluster_days.usage_date,
        cluster_days.cluster,
        cluster_days.starts_at as window_start_at,
        cluster_days.ends_at as window_end_at
    from core.cluster_days as cluster_days
    inner join days on cluster_days.usage_date = days.usage_date
),

slices as (
    select
        windows.usage_date,
        charges.charge_id,
        charges.cluster,
        charges.pool,
        charges.accelerator_model,
        charges.cost_component,
        charges.tenure,
        charges.currency,
        slice_picos(
            charges.amount_picos, charges.starts_at, charges.ends_at, windows.window_start_at, windows.window_end_at
        ) as cost_picos,
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
),

installed as (
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

weighted as (
    select
        *,
        cast(sum(weight) over (partition by usage_date, cluster, pool) as bigint) as pool_weight
    from installed
    where weight > 0
),

shared as (
    select
        slices.usage_date,
        slices.charge_id,
        slices.cluster,
        slices.pool,
        coalesce(weighted.accelerator_model, 'unassigned') as accelerator_model,
        slices.cost_component,
        slices.tenure,
        slices.currency,
        slices.cost_picos,
        coalesce(
            (abs(slices.cost_picos) // weighted.pool_weight) * weighted.weight
            + (abs(slices.cost_picos) % weighted.pool_weight) * weighted.weight // weighted.pool_weight,
            abs(slices.cost_picos)
        ) as whole_share,
        coalesce(
            (abs(slices.cost_picos) % weighted.pool_weight) * weighted.weight % weighted.pool_weight, 0
        ) as remainder
    from slices
    left join weighted
        on slices.usage_date = weighted.usage_date
        and slices.cluster = weighted.cluster
        and slices.pool = weighted.pool
    where slices.accelerator_model is null
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
        case when cost_picos < 0 then -1 else 1 end * (
            whole_share + case
                when row_number() over (
                    partition by usage_date, charge_id order by remainder desc, accelerator_model asc
                ) <= abs(cost_picos) - sum(whole_share) over (partition by usage_date, charge_id) then 1
                else 0
            end
        ) as cost_picos,
        amount_picos(null) as straight_line_picos,
        amount_picos(null) as annuity_picos
    from shared
    union all
    select
        usage_date,
        cluster,
        pool,
        accelerator_model,
        cost_component,
        tenure,
        currency,
        cost_picos,
        straight_line_picos,
        annuity_picos
    from slices
    where accelerator_model is not null
)

select
    usage_date,
    cluster,
    pool,
    accelerator_model,
    cost_component,
    tenure,
    picos_amount(sum(cost_picos)) as cost,
    picos_amount(sum(straight_line_picos)) as straight_line_cost,
    picos_amount(sum(annuity_picos)) as annuity_cost,
    currency
from settled
group by usage_date, cluster, pool, accelerator_model, cost_component, tenure, currency
