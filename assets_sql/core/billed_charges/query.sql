-- The charges of the bills that count, summed by all that a cost is told apart by. An empty model is the pool as a
-- whole; accelerator-seconds are those of usage that is neither unused nor a correction, whose quantity need not mean
-- anything.
-- What is unused of a commitment belongs to the pools that used it in that month, in proportion to what they paid; where
-- nobody used it, it is nobody's.
with charges as (
    select
        raw_charges.charge_period_start_at as starts_at,
        raw_charges.charge_period_end_at as ends_at,
        subjects.cluster,
        subjects.pool,
        coalesce(subjects.accelerator_model, '') as accelerator_model,
        subjects.cost_component,
        case
            when raw_charges.pricing_category = 'Committed' or raw_charges.commitment_discount_id is not null
                then 'committed'
            else 'on_demand'
        end as tenure,
        raw_charges.currency,
        bills.provider_name,
        bills.billing_account_id,
        bills.billing_period_start_at,
        coalesce(raw_charges.region_id, '') as region_id,
        raw_charges.charge_category,
        coalesce(raw_charges.charge_class, '') = 'Correction' as is_correction,
        coalesce(raw_charges.commitment_discount_id, '') as commitment_discount_id,
        coalesce(raw_charges.commitment_discount_status, '') = 'Unused' as is_commitment_unused,
        coalesce(raw_charges.commitment_discount_status, '') = 'Unused'
        or coalesce(raw_charges.capacity_reservation_status, '') = 'Unused' as is_unused,
        sum(raw_charges.billed_cost) as billed_cost,
        sum(raw_charges.effective_cost) as effective_cost,
        sum(coalesce(raw_charges.commitment_discount_quantity, raw_charges.pricing_quantity, 0)) as quantity,
        sum(
            amount_picos(raw_charges.pricing_quantity)
            * cast(round(subjects.accelerators_per_unit * 84000) * subjects.seconds_per_unit as bigint)
        ) as unit_second_picos
    from raw.focus_charges as raw_charges
    inner join core.bills as bills
        on raw_charges.load_id = bills.load_id
        and coalesce(raw_charges.provider_name, '') = bills.provider_name
        and coalesce(raw_charges.billing_account_id, '') = bills.billing_account_id
        and raw_charges.billing_period_start_at = bills.billing_period_start_at
    inner join core.charge_subjects as subjects on raw_charges.subject_id = subjects.subject_id
    where bills.is_current
    group by all
),

-- Weights are whole millionths, so that a product of two keeps within 128 bits.
used as (
    select
        provider_name,
        commitment_discount_id,
        date_trunc('month', starts_at) as month_at,
        currency,
        cluster,
        pool,
        accelerator_model,
        cost_component,
        amount_picos(sum(effective_cost)) // 1000000 as weight
    from charges
    where charge_category = 'Usage' and commitment_discount_id <> '' and not is_unused
    group by
        provider_name,
        commitment_discount_id,
        date_trunc('month', starts_at),
        currency,
        cluster,
        pool,
        accelerator_model,
        cost_component
    having sum(effective_cost) >= 0.000001
),

weighted as (
    select
        *,
        sum(weight) over (
            partition by provider_name, commitment_discount_id, month_at, currency
        ) as whole,
        sum(weight) over (
            partition by provider_name, commitment_discount_id, month_at, currency
            order by cluster, pool, accelerator_model, cost_component rows unbounded preceding
        ) as so_far
    from used
),

placed as (
    select
        charges.starts_at,
        charges.ends_at,
        case
            when charges.is_commitment_unused then coalesce(weighted.cluster, 'unassigned') else charges.cluster
        end as cluster,
        case when charges.is_commitment_unused then coalesce(weighted.pool, 'unassigned') else charges.pool end as pool,
        case
            when charges.is_commitment_unused then coalesce(weighted.accelerator_model, 'unassigned')
            else charges.accelerator_model
        end as accelerator_model,
        coalesce(weighted.cost_component, charges.cost_component) as cost_component,
        charges.tenure,
        charges.currency,
        charges.provider_name,
        charges.billing_account_id,
        charges.billing_period_start_at,
        charges.region_id,
        charges.charge_category,
        charges.is_correction,
        charges.commitment_discount_id,
        charges.is_unused,
        charges.is_commitment_unused,
        running_share(amount_picos(charges.billed_cost), weighted.so_far, weighted.weight, weighted.whole)
            as billed_picos,
        running_share(amount_picos(charges.effective_cost), weighted.so_far, weighted.weight, weighted.whole)
            as effective_picos,
        case
            when charges.commitment_discount_id = '' or charges.charge_category <> 'Usage' or charges.is_correction
                then 0
            else running_share(amount_picos(charges.quantity), weighted.so_far, weighted.weight, weighted.whole)
        end as quantity_picos,
        case
            when charges.charge_category = 'Usage' and not charges.is_unused and not charges.is_correction
                then coalesce(charges.unit_second_picos, 0)
            else 0
        end as unit_second_picos
    from charges
    left join weighted
        on charges.is_commitment_unused
        and charges.provider_name = weighted.provider_name
        and charges.commitment_discount_id = weighted.commitment_discount_id
        and date_trunc('month', charges.starts_at) = weighted.month_at
        and charges.currency = weighted.currency
)

select
    starts_at,
    ends_at,
    cluster,
    pool,
    accelerator_model,
    cost_component,
    tenure,
    currency,
    provider_name,
    billing_account_id,
    billing_period_start_at,
    region_id,
    charge_category,
    is_correction,
    commitment_discount_id,
    is_unused,
    is_commitment_unused,
    picos_amount(sum(billed_picos)) as billed_cost,
    picos_amount(sum(effective_picos)) as effective_cost,
    picos_amount(sum(quantity_picos)) as commitment_quantity,
    cast(round(picos_amount(sum(unit_second_picos))) as bigint) as billed_unit_seconds
from placed
group by all
