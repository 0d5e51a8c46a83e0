-- A day's cost of a model in a pool, less what is unused of commitments, over what is installed, is its rate. A team pays
-- the rate for what it was allocated; who pays for the rest, which nobody used, is the policy:
--   central      the centre.
--   proportional the teams that were allocated something, as much as they were.
--   entitlement  who did not use what it is entitled to, as far as that was free; the rest the centre.
--   hybrid       the centre for what was down or draining and for unused commitments, entitlements as above, and the rest
--                in proportion.
-- Where nobody was allocated anything, or nothing was installed, the centre pays. Shares are cut from running sums, so that
-- they always sum to the whole; of equal ones the first by name is not the smaller.
with costs as (
    select
        usage_date,
        cluster,
        pool,
        accelerator_model,
        currency,
        amount_picos(sum(cost)) as cost_picos,
        amount_picos(sum(cost - unused_commitment_cost)) as used_picos
    from mart.cost_daily
    where usage_date in (select usage_date from days)
    group by usage_date, cluster, pool, accelerator_model, currency
),

fleet as (
    select
        usage_date,
        cluster,
        pool,
        accelerator_model,
        installed_unit_seconds,
        reserved_idle_unit_seconds + stranded_unit_seconds + idle_unit_seconds as free_unit_seconds,
        cast(sum(installed_unit_seconds) over (partition by usage_date, cluster, pool) as bigint) as pool_unit_seconds
    from report.fleet_efficiency_daily
    where usage_date in (select usage_date from days) and installed_unit_seconds > 0
),

allocated as (
    select
        usage_date,
        cluster,
        pool,
        accelerator_model,
        team,
        cast(sum(allocated_unit_seconds) as bigint) as allocated_unit_seconds
    from report.team_efficiency_daily
    where usage_date in (select usage_date from days) and allocated_unit_seconds > 0
    group by usage_date, cluster, pool, accelerator_model, team
),

in_service as (
    select
        usage_date,
        cluster,
        pool,
        accelerator_model,
        min(starts_at) as first_at,
        max(ends_at) as last_at
    from mart.node_timeline
    where usage_date in (select usage_date from days) and installed_units > 0
    group by usage_date, cluster, pool, accelerator_model
),

-- Nobody is entitled to what is not in service. An entitlement to any model of a pool is one to each, as much as there is
-- of it.
entitled as (
    select
        fleet.usage_date,
        fleet.cluster,
        fleet.pool,
        fleet.accelerator_model,
        entitlements.team,
        cast(sum(portion(
            entitlements.entitled_units * seconds_between(
                greatest(entitlements.valid_from_at, in_service.first_at),
                least(entitlements.valid_to_at, in_service.last_at)
            ),
            case when entitlements.accelerator_model = '' then fleet.installed_unit_seconds else 1 end,
            case when entitlements.accelerator_model = '' then fleet.pool_unit_seconds else 1 end
        )) as bigint) as entitled_unit_seconds
    from fleet
    inner join in_service
        on fleet.usage_date = in_service.usage_date
        and fleet.cluster = in_service.cluster
        and fleet.pool = in_service.pool
        and fleet.accelerator_model = in_service.accelerator_model
    inner join core.entitlements as entitlements
        on fleet.cluster = entitlements.cluster
        and fleet.pool = entitlements.pool
        and entitlements.accelerator_model in ('', fleet.accelerator_model)
        and entitlements.valid_from_at < in_service.last_at
        and entitlements.valid_to_at > in_service.first_at
    group by fleet.usage_date, fleet.cluster, fleet.pool, fleet.accelerator_model, entitlements.team
),

payers as (
    select usage_date, cluster, pool, accelerator_model, team from allocated
    union
    select usage_date, cluster, pool, accelerator_model, team from entitled
    union
    select usage_date, cluster, pool, accelerator_model, 'central' from costs
),

rated as (
    select
        costs.usage_date,
        costs.cluster,
        costs.pool,
        costs.accelerator_model,
        costs.currency,
        costs.cost_picos,
        costs.used_picos,
        payers.team,
        coalesce(fleet.installed_unit_seconds, 0) as installed_unit_seconds,
        coalesce(fleet.free_unit_seconds, 0) as free_unit_seconds,
        case when fleet.installed_unit_seconds > 0 then coalesce(allocated.allocated_unit_seconds, 0) else 0 end
            as allocated_unit_seconds,
        coalesce(entitled.entitled_unit_seconds, 0) as entitled_unit_seconds,
        greatest(0, coalesce(entitled.entitled_unit_seconds, 0) - coalesce(allocated.allocated_unit_seconds, 0))
            as unused_unit_seconds
    from costs
    inner join payers
        on costs.usage_date = payers.usage_date
        and costs.cluster = payers.cluster
        and costs.pool = payers.pool
        and costs.accelerator_model = payers.accelerator_model
    left join fleet
        on costs.usage_date = fleet.usage_date
        and costs.cluster = fleet.cluster
        and costs.pool = fleet.pool
        and costs.accelerator_model = fleet.accelerator_model
    left join allocated
        on payers.usage_date = allocated.usage_date
        and payers.cluster = allocated.cluster
        and payers.pool = allocated.pool
        and payers.accelerator_model = allocated.accelerator_model
        and payers.team = allocated.team
    left join entitled
        on payers.usage_date = entitled.usage_date
        and payers.cluster = entitled.cluster
        and payers.pool = entitled.pool
        and payers.accelerator_model = entitled.accelerator_model
        and payers.team = entitled.team
),

summed as (
    select
        *,
        cast(sum(allocated_unit_seconds) over each as bigint) as all_allocated,
        cast(sum(allocated_unit_seconds) over up_to as bigint) as allocated_so_far,
        cast(sum(unused_unit_seconds) over each as bigint) as all_unused,
        cast(sum(unused_unit_seconds) over up_to as bigint) as unused_so_far
    from rated
    window
        each as (partition by usage_date, cluster, pool, accelerator_model, currency),
        up_to as (
            partition by usage_date, cluster, pool, accelerator_model, currency
            order by team desc rows unbounded preceding
        )
),

-- What is unused of entitlements is charged as far as it was free: no more of it can have been kept for anybody.
charged as (
    select
        *,
        running_share(used_picos, allocated_so_far, allocated_unit_seconds, installed_unit_seconds) as direct_picos,
        portion(used_picos, all_allocated, installed_unit_seconds) as all_direct_picos,
        portion(used_picos, least(free_unit_seconds, all_unused), installed_unit_seconds) as all_kept_picos,
        running_share(used_picos, all_allocated + free_unit_seconds, free_unit_seconds, installed_unit_seconds)
            as free_picos
    from summed
),

shared as (
    select
        *,
        cost_picos - all_direct_picos as idle_picos,
        running_share(all_kept_picos, unused_so_far, unused_unit_seconds, all_unused) as kept_picos,
        running_share(cost_picos - all_direct_picos, allocated_so_far, allocated_unit_seconds, all_allocated)
            as proportional_picos,
        running_share(free_picos - all_kept_picos, allocated_so_far, allocated_unit_seconds, all_allocated)
            as remainder_picos,
        case when team = 'central' then 1 else 0 end as is_centre,
        case when all_allocated > 0 then 1 else 0 end as has_holders
    from charged
),

charges as (
    select
        *,
        'central' as idle_policy,
        is_centre * idle_picos as share_picos
    from shared
    union all
    select
        *,
        'proportional' as idle_policy,
        case when has_holders = 1 then proportional_picos else is_centre * idle_picos end as share_picos
    from shared
    union all
    select
        *,
        'entitlement' as idle_policy,
        kept_picos + is_centre * (idle_picos - all_kept_picos) as share_picos
    from shared
    union all
    select
        *,
        'hybrid' as idle_policy,
        kept_picos + case when has_holders = 1 then remainder_picos else 0 end + is_centre * (
            idle_picos - all_kept_picos - case when has_holders = 1 then free_picos - all_kept_picos else 0 end
        ) as share_picos
    from shared
)

select
    charges.usage_date,
    charges.cluster,
    pool,
    accelerator_model,
    team,
    idle_policy,
    currency,
    picos_amount(direct_picos) as direct_cost,
    picos_amount(share_picos) as idle_cost,
    picos_amount(direct_picos + share_picos) as total_cost,
    unit_hours(allocated_unit_seconds) as allocated_hours,
    unit_hours(entitled_unit_seconds) as entitled_hours,
    allocated_unit_seconds,
    entitled_unit_seconds,
    day_trust.trust
from charges
left join core.day_trust as day_trust on charges.usage_date = day_trust.usage_date and charges.cluster = day_trust.cluster
