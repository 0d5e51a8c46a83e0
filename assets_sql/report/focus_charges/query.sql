-- What owned capacity cost, as a bill in FOCUS's terms: each day and model of a pool is charged to the teams, for what they
-- were allocated and for their share of what nobody used, under the site's policy. Where a pool is rented in part, its owned
-- cost is shared out as its whole cost is; what is rented is on its own provider's bill. Prices are rounded to a millionth,
-- so that price times quantity is the list cost without a remainder; the effective cost is exact, and sums to the cost.
-- Of a closed month the charges stay as they were signed. What it comes to now, less what was charged for it, is a
-- correction on the bill of the first open month, also where its cluster is accounted for no more.
with windows as (
    select
        cluster_days.usage_date,
        cluster_days.cluster,
        cluster_days.starts_at,
        cluster_days.ends_at,
        closed_months.usage_month as closed_month
    from core.cluster_days as cluster_days
    inner join days on cluster_days.usage_date = days.usage_date
    left join site.closed_months as closed_months
        on cast(date_trunc('month', cluster_days.usage_date) as date) = closed_months.usage_month
),

costs as (
    select
        usage_date,
        cluster,
        pool,
        accelerator_model,
        currency,
        amount_picos(sum(case when tenure = 'owned' then cost else 0 end)) as owned_picos,
        amount_picos(sum(cost)) as cost_picos
    from mart.cost_daily
    where usage_date in (select usage_date from days)
    group by usage_date, cluster, pool, accelerator_model, currency
    having sum(case when tenure = 'owned' then 1 else 0 end) > 0
),

charged as (
    select
        showback.usage_date,
        showback.cluster,
        showback.pool,
        showback.accelerator_model,
        showback.team,
        showback.currency,
        showback.allocated_unit_seconds,
        amount_picos(showback.direct_cost) as direct_picos,
        amount_picos(showback.idle_cost) as idle_picos,
        cast(sum(showback.allocated_unit_seconds) over each as bigint) as all_allocated,
        sum(amount_picos(showback.idle_cost)) over each as all_idle_picos,
        sum(amount_picos(showback.idle_cost)) over up_to as idle_so_far
    from report.showback_daily as showback
    inner join site.settings as settings on showback.idle_policy = settings.idle_policy
    where showback.usage_date in (select usage_date from days)
    window
        each as (
            partition by
                showback.usage_date, showback.cluster, showback.pool, showback.accelerator_model, showback.currency
        ),
        up_to as (
            partition by
                showback.usage_date, showback.cluster, showback.pool, showback.accelerator_model, showback.currency
            order by showback.team desc rows unbounded preceding
        )
),

rated as (
    select
        charged.*,
        costs.owned_picos,
        costs.cost_picos,
        coalesce(fleet.installed_unit_seconds, 0) as installed_unit_seconds,
        greatest(0, case
            when fleet.installed_unit_seconds > 0
                then costs.cost_picos * 302400000 // fleet.installed_unit_seconds // 1000000
            else 0
        end) as rate_micros
    from charged
    inner join costs
        on charged.usage_date = costs.usage_date
        and charged.cluster = costs.cluster
        and charged.pool = costs.pool
        and charged.accelerator_model = costs.accelerator_model
        and charged.currency = costs.currency
    left join report.fleet_efficiency_daily as fleet
        on charged.usage_date = fleet.usage_date
        and charged.cluster = fleet.cluster
        and charged.pool = fleet.pool
        and charged.accelerator_model = fleet.accelerator_model
),

parts as (
    select
        *,
        'allocated' as charge_part,
        direct_picos as part_picos,
        allocated_unit_seconds as part_unit_seconds
    from rated
    union all
    select
        *,
        'idle' as charge_part,
        idle_picos as part_picos,
        case
            when installed_unit_seconds = 0 then 0
            when all_idle_picos > 0
                then running_share(installed_unit_seconds - all_allocated, idle_so_far, idle_picos, all_idle_picos)
            when team = 'central' then installed_unit_seconds - all_allocated
            else 0
        end as part_unit_seconds
    from rated
),

-- Where a pool is rented in part: weights are whole millionths, so that a product with an amount keeps within 128 bits.
weighed as (
    select
        *,
        sum(part_picos // 1000000) over each as all_weights,
        sum(part_picos // 1000000) over up_to as weights_so_far
    from parts
    window
        each as (partition by usage_date, cluster, pool, accelerator_model, currency),
        up_to as (
            partition by usage_date, cluster, pool, accelerator_model, currency
            order by charge_part asc, team desc rows unbounded preceding
        )
),

owed as (
    select
        usage_date,
        cluster,
        pool,
        accelerator_model,
        team,
        currency,
        charge_part,
        rate_micros,
        case
            when owned_picos = cost_picos then part_picos
            when all_weights > 0 then running_share(owned_picos, weights_so_far, part_picos // 1000000, all_weights)
            when team = 'central' and charge_part = 'idle' then owned_picos
            else 0
        end as effective_picos,
        amount_picos(unit_hours(cast(
            case
                when owned_picos = cost_picos then part_unit_seconds
                else portion(part_unit_seconds, owned_picos, cost_picos)
            end as bigint
        ))) // 1000000 as quantity_micros
    from weighed
),

charges as (
    select
        owed.usage_date,
        cast(date_trunc('month', owed.usage_date) as date) as billing_month,
        owed.cluster,
        owed.pool,
        owed.accelerator_model,
        owed.team,
        owed.currency,
        owed.charge_part,
        cast(null as varchar) as charge_class,
        windows.starts_at as charge_period_start_at,
        windows.ends_at as charge_period_end_at,
        picos_amount(owed.effective_picos) as effective_cost,
        picos_amount(owed.rate_micros * owed.quantity_micros) as list_cost,
        picos_amount(owed.rate_micros * 1000000) as list_unit_price,
        picos_amount(owed.quantity_micros * 1000000) as pricing_quantity
    from owed
    inner join windows on owed.usage_date = windows.usage_date and owed.cluster = windows.cluster
    where windows.closed_month is null and (owed.effective_picos <> 0 or owed.quantity_micros <> 0)
),

signed as (
    select
        usage_date,
        billing_month,
        cluster,
        pool,
        accelerator_model,
        team,
        currency,
        charge_part,
        charge_class,
        charge_period_start_at,
        charge_period_end_at,
        effective_cost,
        list_cost,
        list_unit_price,
        pricing_quantity
    from closed.focus_charges
    where usage_date in (select usage_date from days)
),

differences as (
    select
        usage_date,
        cluster,
        pool,
        accelerator_model,
        team,
        currency,
        charge_part,
        cast(null as timestamp) as charge_period_start_at,
        cast(null as timestamp) as charge_period_end_at,
        picos_amount(effective_picos) as difference
    from owed
    union all
    select
        usage_date,
        cluster,
        pool,
        accelerator_model,
        team,
        currency,
        charge_part,
        charge_period_start_at,
        charge_period_end_at,
        -effective_cost as difference
    from signed
),

-- The bounds of a day of a cluster that is gone are those that were signed.
corrections as (
    select
        differences.usage_date,
        first_open.billing_month,
        differences.cluster,
        differences.pool,
        differences.accelerator_model,
        differences.team,
        differences.currency,
        differences.charge_part,
        'Correction' as charge_class,
        coalesce(min(windows.starts_at), min(differences.charge_period_start_at)) as charge_period_start_at,
        coalesce(min(windows.ends_at), min(differences.charge_period_end_at)) as charge_period_end_at,
        cast(sum(differences.difference) as decimal(38, 12)) as effective_cost,
        cast(sum(differences.difference) as decimal(38, 12)) as list_cost,
        cast(null as decimal(38, 12)) as list_unit_price,
        cast(null as decimal(38, 12)) as pricing_quantity
    from differences
    inner join site.closed_months as closed_months
        on cast(date_trunc('month', differences.usage_date) as date) = closed_months.usage_month
    cross join (
        select cast(max(every_closed.usage_month) + interval 1 month as date) as billing_month
        from site.closed_months as every_closed
    ) as first_open
    left join windows on differences.usage_date = windows.usage_date and differences.cluster = windows.cluster
    group by
        differences.usage_date,
        first_open.billing_month,
        differences.cluster,
        differences.pool,
        differences.accelerator_model,
        differences.team,
        differences.currency,
        differences.charge_part
    having sum(differences.difference) <> 0
),

every_charge as (
    select * from charges
    union all
    select * from signed
    union all
    select * from corrections
)

select
    every_charge.usage_date,
    every_charge.billing_month,
    every_charge.cluster,
    every_charge.pool,
    every_charge.accelerator_model,
    every_charge.team,
    every_charge.charge_part,
    every_charge.effective_cost as billed_cost,
    settings.site_name as billing_account_id,
    settings.site_name as billing_account_name,
    'Site' as billing_account_type,
    every_charge.currency,
    first_instant(every_charge.billing_month + interval 1 month, settings.reporting_time_zone)
        as billing_period_end_at,
    first_instant(cast(every_charge.billing_month as timestamp), settings.reporting_time_zone)
        as billing_period_start_at,
    every_charge.cluster || '/' || every_charge.pool || '/' || every_charge.accelerator_model
        as capacity_reservation_id,
    case when every_charge.charge_part = 'idle' then 'Unused' else 'Used' end as capacity_reservation_status,
    'Usage' as charge_category,
    every_charge.charge_class,
    every_charge.accelerator_model || ' of pool ' || every_charge.pool || ' in ' || every_charge.cluster || case
        when every_charge.charge_part = 'idle' then ', share of what nobody used'
        else ', allocated'
    end as charge_description,
    'Usage-Based' as charge_frequency,
    every_charge.charge_period_end_at,
    every_charge.charge_period_start_at,
    cast(null as varchar) as commitment_discount_category,
    cast(null as varchar) as commitment_discount_id,
    cast(null as varchar) as commitment_discount_name,
    cast(null as decimal(38, 12)) as commitment_discount_quantity,
    cast(null as varchar) as commitment_discount_status,
    cast(null as varchar) as commitment_discount_type,
    cast(null as varchar) as commitment_discount_unit,
    case when every_charge.charge_part = 'idle' then 0 * every_charge.pricing_quantity else every_charge.pricing_quantity end
        as consumed_quantity,
    case when every_charge.pricing_quantity is not null then 'Hours' end as consumed_unit,
    every_charge.list_cost as contracted_cost,
    every_charge.list_unit_price as contracted_unit_price,
    every_charge.effective_cost,
    cast(null as varchar) as invoice_id,
    settings.site_name as invoice_issuer_name,
    every_charge.list_cost,
    every_charge.list_unit_price,
    'Standard' as pricing_category,
    every_charge.currency as pricing_currency,
    every_charge.list_unit_price as pricing_currency_contracted_unit_price,
    every_charge.effective_cost as pricing_currency_effective_cost,
    every_charge.list_unit_price as pricing_currency_list_unit_price,
    every_charge.pricing_quantity,
    case when every_charge.pricing_quantity is not null then 'Hours' end as pricing_unit,
    settings.site_name as provider_name,
    settings.site_name as publisher_name,
    every_charge.cluster as region_id,
    every_charge.cluster as region_name,
    cast(null as varchar) as availability_zone,
    every_charge.cluster || '/' || every_charge.pool || '/' || every_charge.accelerator_model as resource_id,
    every_charge.pool as resource_name,
    'Accelerator pool' as resource_type,
    'Compute' as service_category,
    'Accelerators' as service_name,
    'Other (Compute)' as service_subcategory,
    every_charge.accelerator_model as sku_id,
    'Accelerator-hours' as sku_meter,
    sku_details(every_charge.accelerator_model) as sku_price_details,
    every_charge.cluster || '/' || every_charge.pool || '/' || every_charge.accelerator_model as sku_price_id,
    every_charge.team as sub_account_id,
    every_charge.team as sub_account_name,
    'Team' as sub_account_type,
    cast(to_json(struct_pack(
        cluster := every_charge.cluster, pool := every_charge.pool, team := every_charge.team
    )) as varchar) as tags,
    settings.idle_policy as allocated_method_id,
    every_charge.team as allocated_resource_id,
    every_charge.team as allocated_resource_name,
    cast(to_json(struct_pack(team := every_charge.team)) as varchar) as allocated_tags
from every_charge
cross join site.settings as settings
