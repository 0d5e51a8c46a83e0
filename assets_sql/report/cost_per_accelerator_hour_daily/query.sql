-- A day has a cost only where all of it is known: every accelerator that is installed was bought in a lot or rented, every
-- component that the pool is ever billed for is billed for the whole time in which something was installed, and the bills
-- of each account that ever charges the pool, and has not ended, reach to the end of the day. Of pools that only bills know,
-- what was rented is what is installed; what of it was available and allocated nobody knows.
with windows as (
    select
        cluster_days.usage_date,
        cluster_days.cluster,
        cluster_days.starts_at as window_start_at,
        cluster_days.ends_at as window_end_at
    from core.cluster_days as cluster_days
    inner join days on cluster_days.usage_date = days.usage_date
),

costs as (
    select
        usage_date,
        cluster,
        pool,
        accelerator_model,
        currency,
        sum(cost) as cost,
        sum(case when cost_component = 'depreciation' then cost else 0 end) as depreciation_cost,
        sum(case when cost_component = 'power' then cost else 0 end) as power_cost,
        sum(case when cost_component = 'colo' then cost else 0 end) as colo_cost,
        sum(case when cost_component = 'support' then cost else 0 end) as support_cost,
        sum(case when cost_component = 'compute' then cost else 0 end) as compute_cost,
        sum(case when cost_component = 'storage' then cost else 0 end) as storage_cost,
        sum(case
            when cost_component in ('depreciation', 'power', 'colo', 'support', 'compute', 'storage') then 0
            else cost
        end) as other_cost,
        sum(unused_commitment_cost) as unused_commitment_cost,
        sum(tax_cost) as tax_cost,
        sum(credit_cost) as credit_cost,
        sum(coalesce(straight_line_cost, 0)) as straight_line_cost,
        sum(annuity_cost) as annuity_cost
    from mart.cost_daily
    where usage_date in (select usage_date from days)
    group by usage_date, cluster, pool, accelerator_model, currency
),

fleet as (
    select *
    from report.fleet_efficiency_daily
    where usage_date in (select usage_date from days) and installed_unit_seconds > 0
),

in_service as (
    select
        timeline.usage_date,
        timeline.cluster,
        timeline.pool,
        min(timeline.starts_at) as first_at,
        max(timeline.ends_at) as last_at
    from mart.node_timeline as timeline
    where timeline.usage_date in (select usage_date from days) and timeline.installed_units > 0
    group by timeline.usage_date, timeline.cluster, timeline.pool
),

-- Lots go on counting as paid for when they are written off.
priced as (
    select
        windows.usage_date,
        charges.cluster,
        charges.pool,
        charges.accelerator_model,
        cast(sum(
            charges.lot_accelerators * 84000
            * seconds_between(greatest(charges.starts_at, windows.window_start_at), windows.window_end_at)
        ) as bigint) as priced_unit_seconds
    from core.charges as charges
    inner join windows on charges.cluster = windows.cluster and charges.starts_at < windows.window_end_at
    where charges.lot_accelerators is not null
    group by windows.usage_date, charges.cluster, charges.pool, charges.accelerator_model
),

-- What is written off would be paid for again, were it bought today. In another currency than the site's it is converted
-- as the lot was. Nobody knows where a lot does not say what it would cost.
written_off as (
    select
        charges.cluster,
        charges.pool,
        charges.accelerator_model,
        accruals.currency,
        charges.ends_at as written_off_at,
        seconds_between(charges.starts_at, charges.ends_at) as life_seconds,
        case
            when accruals.currency = charges.currency then charges.replacement_picos
            else portion(charges.replacement_picos, accruals.cost_picos // 1000000, charges.amount_picos // 1000000)
        end as replacement_picos
    from core.charges as charges
    inner join core.accruals as accruals on charges.charge_id = accruals.accrual_id
    where charges.lot_accelerators is not null
),

replaced as (
    select
        windows.usage_date,
        written_off.cluster,
        written_off.pool,
        written_off.accelerator_model,
        written_off.currency,
        case
            when count(written_off.replacement_picos) = count(*) then sum(
                accrued_picos(
                    written_off.replacement_picos,
                    seconds_between(written_off.written_off_at, windows.window_end_at),
                    written_off.life_seconds
                )
                - accrued_picos(
                    written_off.replacement_picos,
                    seconds_between(
                        written_off.written_off_at, greatest(written_off.written_off_at, windows.window_start_at)
                    ),
                    written_off.life_seconds
                )
            )
        end as replacement_picos
    from written_off
    inner join windows
        on written_off.cluster = windows.cluster and written_off.written_off_at < windows.window_end_at
    group by
        windows.usage_date,
        written_off.cluster,
        written_off.pool,
        written_off.accelerator_model,
        written_off.currency
),

rented as (
    select
        usage_date,
        cluster,
        pool,
        accelerator_model,
        cast(sum(billed_unit_seconds) as bigint) as rented_unit_seconds
    from mart.rented_hours_daily
    where usage_date in (select usage_date from days)
    group by usage_date, cluster, pool, accelerator_model
),

-- A bill tells of its whole period, if a later one has come, else up to its newest usage.
told as (
    select
        provider_name,
        billing_account_id,
        billing_period_start_at as told_from_at,
        case
            when billing_period_start_at < max(billing_period_start_at) over (
                partition by provider_name, billing_account_id
            ) then max(billing_period_end_at)
            else coalesce(max(covered_until_at), billing_period_start_at)
        end as told_until_at
    from core.bills
    where is_current
    group by provider_name, billing_account_id, billing_period_start_at
),

accounts as (
    select
        provider_name,
        billing_account_id,
        min(told_from_at) as first_at
    from told
    group by provider_name, billing_account_id
),

payers as (
    select distinct
        cluster,
        pool,
        provider_name,
        billing_account_id
    from core.billed_charges
),

-- After its last day an ended account has no bills; of that day one may tell of a part only.
untold as (
    select
        windows.usage_date,
        payers.cluster,
        payers.pool,
        payers.provider_name
    from payers
    inner join accounts
        on payers.provider_name = accounts.provider_name and payers.billing_account_id = accounts.billing_account_id
    inner join windows on payers.cluster = windows.cluster and accounts.first_at < windows.window_end_at
    left join site.ended_accounts as ended
        on payers.provider_name = ended.provider_name and payers.billing_account_id = ended.billing_account_id
    left join told
        on payers.provider_name = told.provider_name
        and payers.billing_account_id = told.billing_account_id
        and told.told_from_at < windows.window_end_at
        and told.told_until_at > windows.window_start_at
    where ended.last_date is null or windows.usage_date <= ended.last_date
    group by
        windows.usage_date,
        payers.cluster,
        payers.pool,
        payers.provider_name,
        payers.billing_account_id,
        windows.window_start_at,
        windows.window_end_at,
        accounts.first_at,
        ended.last_date
    -- Without a bill the bounds are the day's alone, as `greatest` and `least` leave nulls out.
    having sum(case when told.provider_name is null then 0 else seconds_between(
        greatest(told.told_from_at, windows.window_start_at), least(told.told_until_at, windows.window_end_at)
    ) end) < case
        when windows.usage_date = ended.last_date then 1
        else seconds_between(greatest(accounts.first_at, windows.window_start_at), windows.window_end_at)
    end
),

-- Bills of a component may overlap, in several currencies: the time that they cover counts once.
bills as (
    select
        in_service.usage_date,
        in_service.cluster,
        in_service.pool,
        components.cost_component,
        in_service.first_at,
        in_service.last_at,
        charges.charge_id,
        greatest(charges.starts_at, in_service.first_at) as starts_at,
        least(charges.ends_at, in_service.last_at) as ends_at
    from in_service
    inner join core.cost_components as components
        on in_service.cluster = components.cluster and in_service.pool = components.pool
    left join core.charges as charges
        on components.cluster = charges.cluster
        and components.pool = charges.pool
        and components.cost_component = charges.cost_component
        and charges.accelerator_model is null
        and charges.starts_at < in_service.last_at
        and charges.ends_at > in_service.first_at
),

reached as (
    select
        *,
        max(ends_at) over (
            partition by usage_date, cluster, pool, cost_component
            order by starts_at asc, charge_id asc rows between unbounded preceding and 1 preceding
        ) as reached_at
    from bills
),

billed as (
    select
        usage_date,
        cluster,
        pool,
        cost_component,
        seconds_between(first_at, last_at) as needed_seconds,
        -- Without a bill the bounds are those of the service alone, as `greatest` and `least` leave nulls out.
        cast(sum(case
            when charge_id is null then 0
            else greatest(0, seconds_between(greatest(starts_at, coalesce(reached_at, starts_at)), ends_at))
        end) as bigint) as billed_seconds
    from reached
    group by usage_date, cluster, pool, cost_component, first_at, last_at
),

-- Of pools that ever have a power rate, the days on which something installed has none.
powered as (
    select
        usage_date,
        cluster,
        pool,
        cast(sum(powered_unit_seconds) as bigint) as powered_unit_seconds
    from mart.energy_daily
    where usage_date in (select usage_date from days)
    group by usage_date, cluster, pool
),

unpowered as (
    select
        fleet.usage_date,
        fleet.cluster,
        fleet.pool
    from fleet
    left join powered
        on fleet.usage_date = powered.usage_date
        and fleet.cluster = powered.cluster
        and fleet.pool = powered.pool
    left join billed
        on fleet.usage_date = billed.usage_date
        and fleet.cluster = billed.cluster
        and fleet.pool = billed.pool
        and billed.cost_component = 'power'
        and billed.billed_seconds >= billed.needed_seconds
    where (fleet.cluster, fleet.pool) in (select (cluster, pool) from core.power_rates) and billed.pool is null
    group by fleet.usage_date, fleet.cluster, fleet.pool, powered.powered_unit_seconds
    having sum(fleet.installed_unit_seconds) > coalesce(powered.powered_unit_seconds, 0)
),

missing as (
    select
        usage_date,
        cluster,
        pool,
        string_agg(distinct cost_component, ', ' order by cost_component) as missing_components
    from (
        select usage_date, cluster, pool, cost_component from billed where billed_seconds < needed_seconds
        union all
        select usage_date, cluster, pool, 'bill of ' || provider_name from untold
        union all
        select usage_date, cluster, pool, 'power' from unpowered
    ) as unknown
    group by usage_date, cluster, pool
),

supply as (
    select
        coalesce(fleet.usage_date, rented.usage_date) as usage_date,
        coalesce(fleet.cluster, rented.cluster) as cluster,
        coalesce(fleet.pool, rented.pool) as pool,
        coalesce(fleet.accelerator_model, rented.accelerator_model) as accelerator_model,
        coalesce(rented.rented_unit_seconds, 0) as rented_unit_seconds,
        coalesce(fleet.installed_unit_seconds, rented.rented_unit_seconds) as installed_unit_seconds,
        fleet.available_unit_seconds,
        fleet.allocated_unit_seconds
    from fleet
    full outer join rented
        on fleet.usage_date = rented.usage_date
        and fleet.cluster = rented.cluster
        and fleet.pool = rented.pool
        and fleet.accelerator_model = rented.accelerator_model
    union all
    -- A day that no bill tells of, of a pool that nothing else knows.
    select distinct
        untold.usage_date,
        untold.cluster,
        untold.pool,
        'unassigned',
        0,
        0,
        cast(null as bigint),
        cast(null as bigint)
    from untold
    left join fleet
        on untold.usage_date = fleet.usage_date and untold.cluster = fleet.cluster and untold.pool = fleet.pool
    left join rented
        on untold.usage_date = rented.usage_date and untold.cluster = rented.cluster and untold.pool = rented.pool
    where fleet.pool is null and rented.pool is null
),

joined as (
    select
        coalesce(supply.usage_date, costs.usage_date) as usage_date,
        coalesce(supply.cluster, costs.cluster) as cluster,
        coalesce(supply.pool, costs.pool) as pool,
        coalesce(supply.accelerator_model, costs.accelerator_model) as accelerator_model,
        coalesce(costs.currency, 'XXX') as currency,
        costs.cost as known_cost,
        costs.depreciation_cost,
        costs.power_cost,
        costs.colo_cost,
        costs.support_cost,
        costs.compute_cost,
        costs.storage_cost,
        costs.other_cost,
        costs.unused_commitment_cost,
        costs.tax_cost,
        costs.credit_cost,
        costs.straight_line_cost,
        costs.annuity_cost,
        coalesce(supply.rented_unit_seconds, 0) as rented_unit_seconds,
        coalesce(supply.installed_unit_seconds, 0) as installed_unit_seconds,
        case when supply.pool is null then 0 else supply.available_unit_seconds end as available_unit_seconds,
        case when supply.pool is null then 0 else supply.allocated_unit_seconds end as allocated_unit_seconds
    from supply
    full outer join costs
        on supply.usage_date = costs.usage_date
        and supply.cluster = costs.cluster
        and supply.pool = costs.pool
        and supply.accelerator_model = costs.accelerator_model
),

judged as (
    select
        joined.*,
        greatest(
            0,
            joined.installed_unit_seconds - coalesce(priced.priced_unit_seconds, 0) - joined.rented_unit_seconds
        ) as unpriced_unit_seconds,
        missing.missing_components,
        case when replaced.pool is null then amount_picos(0) else replaced.replacement_picos end
            as replacement_picos,
        case
            when joined.known_cost is not null
                and missing.missing_components is null
                and joined.installed_unit_seconds
                <= coalesce(priced.priced_unit_seconds, 0) + joined.rented_unit_seconds
                then joined.known_cost
        end as cost
    from joined
    left join priced
        on joined.usage_date = priced.usage_date
        and joined.cluster = priced.cluster
        and joined.pool = priced.pool
        and joined.accelerator_model = priced.accelerator_model
    left join replaced
        on joined.usage_date = replaced.usage_date
        and joined.cluster = replaced.cluster
        and joined.pool = replaced.pool
        and joined.accelerator_model = replaced.accelerator_model
        and joined.currency = replaced.currency
    left join missing
        on joined.usage_date = missing.usage_date
        and joined.cluster = missing.cluster
        and joined.pool = missing.pool
)

select
    judged.usage_date,
    judged.cluster,
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
    picos_amount(replacement_picos) as replacement_cost,
    missing_components,
    unit_hours(unpriced_unit_seconds) as unpriced_hours,
    unit_hours(rented_unit_seconds) as rented_hours,
    unit_hours(installed_unit_seconds) as installed_hours,
    unit_hours(available_unit_seconds) as available_hours,
    unit_hours(allocated_unit_seconds) as allocated_hours,
    cast(null as decimal(38, 6)) as sm_active_hours,
    cast(null as decimal(38, 6)) as productive_hours,
    cost_per_hour(cost, installed_unit_seconds) as cost_per_installed_hour,
    cost_per_hour(cost, available_unit_seconds) as cost_per_available_hour,
    cost_per_hour(cost, allocated_unit_seconds) as cost_per_allocated_hour,
    cost_per_hour(cost - unused_commitment_cost, installed_unit_seconds) as used_only_cost_per_installed_hour,
    cost_per_hour(cost + picos_amount(replacement_picos), installed_unit_seconds)
        as replacement_cost_per_installed_hour,
    cast(null as double) as cost_per_sm_active_hour,
    cast(null as double) as cost_per_productive_hour,
    installed_unit_seconds,
    available_unit_seconds,
    allocated_unit_seconds,
    day_trust.trust
from judged
left join core.day_trust as day_trust on judged.usage_date = day_trust.usage_date and judged.cluster = day_trust.cluster
