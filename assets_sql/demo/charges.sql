-- A month's bill of rented machines with eight accelerators, by the hour: what ran, its disk and its traffic. Every third
-- machine is reserved, by one of five commitments that were bought for the month, and now and then not used; every
-- twentieth is in an account that belongs to nobody. Corrections are for the first hour of the month before.
-- noqa: disable=CP02
with hours as (
    select unnest(generate_series($month_start, $until - 3600, 3600)) as begins_at
),

machines as (
    select unnest(generate_series(0, $machines - 1)) as machine
),

shares as (
    select unnest(['instance', 'disk', 'traffic']) as share
),

used as (
    select
        hours.begins_at,
        hours.begins_at + 3600 as ends_at,
        machines.machine,
        shares.share,
        (machines.machine * 31 + hours.begins_at // 3600 * 17) % 1000 as variation,
        machines.machine % 3 = 0 and shares.share = 'instance' as is_reserved,
        (machines.machine + hours.begins_at // 3600) % 11 = 0 as is_idle
    from hours
    cross join machines
    cross join shares
),

charges as (
    select
        begins_at,
        ends_at,
        'Usage' as category,
        null as class,
        machine,
        share,
        case when is_reserved then 'c-' || machine % 5 end as commitment,
        case when is_reserved then case when is_idle then 'Unused' else 'Used' end end as commitment_status,
        case when is_reserved then 0 else amount end as billed,
        case when is_reserved then cast(61.5 as decimal(38, 10)) else amount end as effective,
        amount as list,
        case share when 'instance' then 1 else variation end as quantity
    from (
        select
            *,
            case share
                when 'instance' then cast(98.32 as decimal(38, 10))
                when 'disk' then cast(variation as decimal(38, 10)) * cast(0.0001095890 as decimal(11, 10))
                else cast(variation as decimal(38, 10)) * cast(0.0000900001 as decimal(11, 10))
            end as amount
        from used
    )
    union all
    select $month_start, $month_end, 'Purchase', null, commitment, 'commitment', 'c-' || commitment, null, 44772, 0, 44772, 728
    from (select unnest(generate_series(0, 4)) as commitment)
    union all
    select $month_start, $month_end, 'Tax', null, 0, 'tax', null, null, 1234.56, 1234.56, 1234.56, null
    union all
    select $month_start, $until, 'Credit', null, 0, 'credit', null, null, -500, -500, -500, null
    union all
    select $before, $before + 3600, 'Usage', 'Correction', 1, 'instance', null, null, -10, -10, -10, null
    where $before < $month_start
)

select
    cast(billed as decimal(38, 10)) as BilledCost,
    '100' as BillingAccountId,
    'research' as BillingAccountName,
    'USD' as BillingCurrency,
    strftime(make_timestamp(cast($month_end as bigint) * 1000000), '%Y-%m-%dT%H:%M:%SZ') as BillingPeriodEnd,
    strftime(make_timestamp(cast($month_start as bigint) * 1000000), '%Y-%m-%dT%H:%M:%SZ') as BillingPeriodStart,
    category as ChargeCategory,
    class as ChargeClass,
    share || ' of a machine with eight accelerators' as ChargeDescription,
    case when category = 'Usage' then 'Usage-Based' else 'One-Time' end as ChargeFrequency,
    strftime(make_timestamp(cast(ends_at as bigint) * 1000000), '%Y-%m-%dT%H:%M:%SZ') as ChargePeriodEnd,
    strftime(make_timestamp(cast(begins_at as bigint) * 1000000), '%Y-%m-%dT%H:%M:%SZ') as ChargePeriodStart,
    case when commitment is not null then 'Usage' end as CommitmentDiscountCategory,
    commitment as CommitmentDiscountId,
    commitment_status as CommitmentDiscountStatus,
    case when commitment is not null then 'Reserved' end as CommitmentDiscountType,
    cast(list as decimal(38, 10)) as ContractedCost,
    cast(effective as decimal(38, 10)) as EffectiveCost,
    'Cumulus' as InvoiceIssuerName,
    cast(list as decimal(38, 10)) as ListCost,
    case when category in ('Tax', 'Credit') then null when commitment is null then 'Standard' else 'Committed' end
        as PricingCategory,
    quantity as PricingQuantity,
    case when quantity is not null then case share when 'disk' then 'GB' when 'traffic' then 'GB' else 'Hours' end end
        as PricingUnit,
    'Cumulus' as ProviderName,
    'Cumulus' as PublisherName,
    case when category = 'Usage' and coalesce(commitment_status, '') <> 'Unused' then 'm-' || machine || '/' || share end
        as ResourceId,
    case share when 'disk' then 'Storage' when 'traffic' then 'Networking' else 'Compute' end as ServiceCategory,
    'Machines' as ServiceName,
    share as SkuId,
    case when share = 'instance' then '{"GpuCount": 8, "InstanceType": "p5.48xlarge"}' end as SkuPriceDetails,
    share || '.1' as SkuPriceId,
    case when machine % 20 = 19 then '900' else '200' end as SubAccountId,
    '{"project": "p-' || machine % 40 || '", "machine": "m-' || machine || '"}' as Tags
from charges
