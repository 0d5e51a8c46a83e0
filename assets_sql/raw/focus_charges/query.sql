-- A bill's charges, typed as FOCUS says. A time without a zone is UTC, as the specification demands; an empty text and
-- the word NULL are no value. A charge is refused only if its amounts, currency, category or times cannot be read; what
-- else breaks the specification (1.2) is named in `broken_rules` by the rule's id. A column that is absent breaks the
-- rule that it be there, and no other.
with typed as (
    select
        source_line,
        record_text,
        problem,
        billed_text(provider_name) as provider_name,
        billed_text(publisher_name) as publisher_name,
        billed_text(invoice_issuer_name) as invoice_issuer_name,
        billed_text(invoice_id) as invoice_id,
        billed_text(billing_account_id) as billing_account_id,
        billed_text(billing_account_name) as billing_account_name,
        billed_text(billing_account_type) as billing_account_type,
        billed_text(sub_account_id) as sub_account_id,
        billed_text(sub_account_name) as sub_account_name,
        billed_text(sub_account_type) as sub_account_type,
        billed_text(billing_period_start_at) as billing_period_start_at_text,
        billed_instant(billing_period_start_at) as billing_period_start_at,
        billed_text(billing_period_end_at) as billing_period_end_at_text,
        billed_instant(billing_period_end_at) as billing_period_end_at,
        billed_text(charge_period_start_at) as charge_period_start_at_text,
        billed_instant(charge_period_start_at) as charge_period_start_at,
        billed_text(charge_period_end_at) as charge_period_end_at_text,
        billed_instant(charge_period_end_at) as charge_period_end_at,
        billed_text(charge_category) as charge_category,
        billed_text(charge_class) as charge_class,
        billed_text(charge_description) as charge_description,
        billed_text(charge_frequency) as charge_frequency,
        billed_text(currency) as currency,
        billed_text(billed_cost) as billed_cost_text,
        billed_number(billed_cost) as billed_cost,
        billed_text(effective_cost) as effective_cost_text,
        billed_number(effective_cost) as effective_cost,
        billed_text(contracted_cost) as contracted_cost_text,
        billed_number(contracted_cost) as contracted_cost,
        billed_text(list_cost) as list_cost_text,
        billed_number(list_cost) as list_cost,
        billed_text(contracted_unit_price) as contracted_unit_price_text,
        billed_number(contracted_unit_price) as contracted_unit_price,
        billed_text(list_unit_price) as list_unit_price_text,
        billed_number(list_unit_price) as list_unit_price,
        billed_text(pricing_category) as pricing_category,
        billed_text(pricing_quantity) as pricing_quantity_text,
        billed_number(pricing_quantity) as pricing_quantity,
        billed_text(pricing_unit) as pricing_unit,
        billed_text(pricing_currency) as pricing_currency,
        billed_text(pricing_currency_contracted_unit_price) as pricing_currency_contracted_unit_price_text,
        billed_number(pricing_currency_contracted_unit_price) as pricing_currency_contracted_unit_price,
        billed_text(pricing_currency_effective_cost) as pricing_currency_effective_cost_text,
        billed_number(pricing_currency_effective_cost) as pricing_currency_effective_cost,
        billed_text(pricing_currency_list_unit_price) as pricing_currency_list_unit_price_text,
        billed_number(pricing_currency_list_unit_price) as pricing_currency_list_unit_price,
        billed_text(consumed_quantity) as consumed_quantity_text,
        billed_number(consumed_quantity) as consumed_quantity,
        billed_text(consumed_unit) as consumed_unit,
        billed_text(commitment_discount_id) as commitment_discount_id,
        billed_text(commitment_discount_name) as commitment_discount_name,
        billed_text(commitment_discount_category) as commitment_discount_category,
        billed_text(commitment_discount_type) as commitment_discount_type,
        billed_text(commitment_discount_status) as commitment_discount_status,
        billed_text(commitment_discount_quantity) as commitment_discount_quantity_text,
        billed_number(commitment_discount_quantity) as commitment_discount_quantity,
        billed_text(commitment_discount_unit) as commitment_discount_unit,
        billed_text(capacity_reservation_id) as capacity_reservation_id,
        billed_text(capacity_reservation_status) as capacity_reservation_status,
        billed_text(region_id) as region_id,
        billed_text(region_name) as region_name,
        billed_text(availability_zone) as availability_zone,
        billed_text(resource_id) as resource_id,
        billed_text(resource_name) as resource_name,
        billed_text(resource_type) as resource_type,
        billed_text(service_category) as service_category,
        billed_text(service_subcategory) as service_subcategory,
        billed_text(service_name) as service_name,
        billed_text(sku_id) as sku_id,
        billed_text(sku_meter) as sku_meter,
        billed_text(sku_price_id) as sku_price_id,
        billed_text(sku_price_details) as sku_price_details,
        billed_text(tags) as tags,
        billed_text(usage_type) as usage_type,
        nullif(concat_ws(
            ' ',
            case when trim(provider_name) = '' then 'NullHandling-A-002-M/ProviderName' end,
            case when trim(publisher_name) = '' then 'NullHandling-A-002-M/PublisherName' end,
            case when trim(invoice_issuer_name) = '' then 'NullHandling-A-002-M/InvoiceIssuerName' end,
            case when trim(invoice_id) = '' then 'NullHandling-A-002-M/InvoiceId' end,
            case when trim(billing_account_id) = '' then 'NullHandling-A-002-M/BillingAccountId' end,
            case when trim(billing_account_name) = '' then 'NullHandling-A-002-M/BillingAccountName' end,
            case when trim(billing_account_type) = '' then 'NullHandling-A-002-M/BillingAccountType' end,
            case when trim(sub_account_id) = '' then 'NullHandling-A-002-M/SubAccountId' end,
            case when trim(sub_account_name) = '' then 'NullHandling-A-002-M/SubAccountName' end,
            case when trim(sub_account_type) = '' then 'NullHandling-A-002-M/SubAccountType' end,
            case when trim(billing_period_start_at) = '' then 'NullHandling-A-002-M/BillingPeriodStart' end,
            case when trim(billing_period_end_at) = '' then 'NullHandling-A-002-M/BillingPeriodEnd' end,
            case when trim(charge_period_start_at) = '' then 'NullHandling-A-002-M/ChargePeriodStart' end,
            case when trim(charge_period_end_at) = '' then 'NullHandling-A-002-M/ChargePeriodEnd' end,
            case when trim(charge_category) = '' then 'NullHandling-A-002-M/ChargeCategory' end,
            case when trim(charge_class) = '' then 'NullHandling-A-002-M/ChargeClass' end,
            case when trim(charge_description) = '' then 'NullHandling-A-002-M/ChargeDescription' end,
            case when trim(charge_frequency) = '' then 'NullHandling-A-002-M/ChargeFrequency' end,
            case when trim(currency) = '' then 'NullHandling-A-002-M/BillingCurrency' end,
            case when trim(billed_cost) = '' then 'NullHandling-A-002-M/BilledCost' end,
            case when trim(effective_cost) = '' then 'NullHandling-A-002-M/EffectiveCost' end,
            case when trim(contracted_cost) = '' then 'NullHandling-A-002-M/ContractedCost' end,
            case when trim(list_cost) = '' then 'NullHandling-A-002-M/ListCost' end,
            case when trim(contracted_unit_price) = '' then 'NullHandling-A-002-M/ContractedUnitPrice' end,
            case when trim(list_unit_price) = '' then 'NullHandling-A-002-M/ListUnitPrice' end,
            case when trim(pricing_category) = '' then 'NullHandling-A-002-M/PricingCategory' end,
            case when trim(pricing_quantity) = '' then 'NullHandling-A-002-M/PricingQuantity' end,
            case when trim(pricing_unit) = '' then 'NullHandling-A-002-M/PricingUnit' end,
            case when trim(pricing_currency) = '' then 'NullHandling-A-002-M/PricingCurrency' end,
            case
                when trim(pricing_currency_contracted_unit_price) = ''
                    then 'NullHandling-A-002-M/PricingCurrencyContractedUnitPrice'
            end,
            case
                when trim(pricing_currency_effective_cost) = ''
                    then 'NullHandling-A-002-M/PricingCurrencyEffectiveCost'
            end,
            case
                when trim(pricing_currency_list_unit_price) = ''
                    then 'NullHandling-A-002-M/PricingCurrencyListUnitPrice'
            end,
            case when trim(consumed_quantity) = '' then 'NullHandling-A-002-M/ConsumedQuantity' end,
            case when trim(consumed_unit) = '' then 'NullHandling-A-002-M/ConsumedUnit' end,
            case when trim(commitment_discount_id) = '' then 'NullHandling-A-002-M/CommitmentDiscountId' end,
            case when trim(commitment_discount_name) = '' then 'NullHandling-A-002-M/CommitmentDiscountName' end,
            case
                when trim(commitment_discount_category) = ''
                    then 'NullHandling-A-002-M/CommitmentDiscountCategory'
            end,
            case when trim(commitment_discount_type) = '' then 'NullHandling-A-002-M/CommitmentDiscountType' end,
            case when trim(commitment_discount_status) = '' then 'NullHandling-A-002-M/CommitmentDiscountStatus' end,
            case
                when trim(commitment_discount_quantity) = ''
                    then 'NullHandling-A-002-M/CommitmentDiscountQuantity'
            end,
            case when trim(commitment_discount_unit) = '' then 'NullHandling-A-002-M/CommitmentDiscountUnit' end,
            case when trim(capacity_reservation_id) = '' then 'NullHandling-A-002-M/CapacityReservationId' end,
            case when trim(capacity_reservation_status) = '' then 'NullHandling-A-002-M/CapacityReservationStatus' end,
            case when trim(region_id) = '' then 'NullHandling-A-002-M/RegionId' end,
            case when trim(region_name) = '' then 'NullHandling-A-002-M/RegionName' end,
            case when trim(availability_zone) = '' then 'NullHandling-A-002-M/AvailabilityZone' end,
            case when trim(resource_id) = '' then 'NullHandling-A-002-M/ResourceId' end,
            case when trim(resource_name) = '' then 'NullHandling-A-002-M/ResourceName' end,
            case when trim(resource_type) = '' then 'NullHandling-A-002-M/ResourceType' end,
            case when trim(service_category) = '' then 'NullHandling-A-002-M/ServiceCategory' end,
            case when trim(service_subcategory) = '' then 'NullHandling-A-002-M/ServiceSubcategory' end,
            case when trim(service_name) = '' then 'NullHandling-A-002-M/ServiceName' end,
            case when trim(sku_id) = '' then 'NullHandling-A-002-M/SkuId' end,
            case when trim(sku_meter) = '' then 'NullHandling-A-002-M/SkuMeter' end,
            case when trim(sku_price_id) = '' then 'NullHandling-A-002-M/SkuPriceId' end,
            case when trim(sku_price_details) = '' then 'NullHandling-A-002-M/SkuPriceDetails' end,
            case when trim(tags) = '' then 'NullHandling-A-002-M/Tags' end
        ), '') as empty_texts
    from delivered
),

classed as (
    select
        *,
        charge_category in ('Usage', 'Purchase') and coalesce(charge_class, '') <> 'Correction' as is_sold
    from typed
)

select
    provider_name,
    publisher_name,
    invoice_issuer_name,
    invoice_id,
    billing_account_id,
    billing_account_name,
    billing_account_type,
    sub_account_id,
    sub_account_name,
    sub_account_type,
    billing_period_start_at,
    billing_period_end_at,
    charge_period_start_at,
    charge_period_end_at,
    charge_category,
    charge_class,
    charge_description,
    charge_frequency,
    currency,
    billed_cost,
    effective_cost,
    contracted_cost,
    list_cost,
    contracted_unit_price,
    list_unit_price,
    pricing_category,
    pricing_quantity,
    pricing_unit,
    pricing_currency,
    pricing_currency_contracted_unit_price,
    pricing_currency_effective_cost,
    pricing_currency_list_unit_price,
    consumed_quantity,
    consumed_unit,
    commitment_discount_id,
    commitment_discount_name,
    commitment_discount_category,
    commitment_discount_type,
    commitment_discount_status,
    commitment_discount_quantity,
    commitment_discount_unit,
    capacity_reservation_id,
    capacity_reservation_status,
    region_id,
    region_name,
    availability_zone,
    resource_id,
    resource_name,
    resource_type,
    service_category,
    service_subcategory,
    service_name,
    sku_id,
    sku_meter,
    sku_price_id,
    sku_price_details,
    tags,
    usage_type,
    md5(concat_ws(
        chr(31),
        coalesce(provider_name, ''),
        coalesce(publisher_name, ''),
        coalesce(invoice_issuer_name, ''),
        coalesce(billing_account_id, ''),
        coalesce(sub_account_id, ''),
        coalesce(region_id, ''),
        coalesce(availability_zone, ''),
        coalesce(charge_category, ''),
        coalesce(charge_description, ''),
        coalesce(pricing_category, ''),
        coalesce(pricing_unit, ''),
        coalesce(commitment_discount_id, ''),
        coalesce(commitment_discount_status, ''),
        coalesce(capacity_reservation_id, ''),
        coalesce(capacity_reservation_status, ''),
        coalesce(resource_id, ''),
        coalesce(resource_name, ''),
        coalesce(resource_type, ''),
        coalesce(service_category, ''),
        coalesce(service_subcategory, ''),
        coalesce(service_name, ''),
        coalesce(sku_id, ''),
        coalesce(sku_meter, ''),
        coalesce(sku_price_id, ''),
        coalesce(sku_price_details, ''),
        coalesce(tags, ''),
        coalesce(usage_type, '')
    )) as subject_id,
    nullif(concat_ws(
        ' ',
        empty_texts,
        case when list_contains($absent_columns, 'AvailabilityZone') then 'CostAndUsage-D-003-C/AvailabilityZone' end,
        case when list_contains($absent_columns, 'ListUnitPrice') then 'CostAndUsage-D-004-C/ListUnitPrice' end,
        case
            when list_contains($absent_columns, 'BillingAccountName')
                then 'CostAndUsage-D-005-M/BillingAccountName'
        end,
        case
            when list_contains($absent_columns, 'BillingAccountType')
                then 'CostAndUsage-D-007-C/BillingAccountType'
        end,
        case when list_contains($absent_columns, 'ConsumedQuantity') then 'CostAndUsage-D-011-C/ConsumedQuantity' end,
        case
            when list_contains($absent_columns, 'CommitmentDiscountName')
                then 'CostAndUsage-D-012-C/CommitmentDiscountName'
        end,
        case
            when list_contains($absent_columns, 'CommitmentDiscountId')
                then 'CostAndUsage-D-013-C/CommitmentDiscountId'
        end,
        case
            when list_contains($absent_columns, 'CommitmentDiscountType')
                then 'CostAndUsage-D-014-C/CommitmentDiscountType'
        end,
        case
            when list_contains($absent_columns, 'CommitmentDiscountUnit')
                then 'CostAndUsage-D-015-C/CommitmentDiscountUnit'
        end,
        case
            when list_contains($absent_columns, 'CommitmentDiscountCategory')
                then 'CostAndUsage-D-016-C/CommitmentDiscountCategory'
        end,
        case
            when list_contains($absent_columns, 'CommitmentDiscountStatus')
                then 'CostAndUsage-D-017-C/CommitmentDiscountStatus'
        end,
        case
            when list_contains($absent_columns, 'CommitmentDiscountQuantity')
                then 'CostAndUsage-D-018-C/CommitmentDiscountQuantity'
        end,
        case when list_contains($absent_columns, 'SubAccountId') then 'CostAndUsage-D-019-C/SubAccountId' end,
        case
            when list_contains($absent_columns, 'CapacityReservationStatus')
                then 'CostAndUsage-D-020-C/CapacityReservationStatus'
        end,
        case when list_contains($absent_columns, 'PublisherName') then 'CostAndUsage-D-021-M/PublisherName' end,
        case when list_contains($absent_columns, 'PricingCategory') then 'CostAndUsage-D-022-C/PricingCategory' end,
        case when list_contains($absent_columns, 'InvoiceIssuerName') then 'CostAndUsage-D-023-M/InvoiceIssuerName' end,
        case when list_contains($absent_columns, 'ChargeDescription') then 'CostAndUsage-D-025-M/ChargeDescription' end,
        case when list_contains($absent_columns, 'ChargeClass') then 'CostAndUsage-D-026-M/ChargeClass' end,
        case when list_contains($absent_columns, 'ChargeFrequency') then 'CostAndUsage-D-027-O/ChargeFrequency' end,
        case when list_contains($absent_columns, 'SubAccountName') then 'CostAndUsage-D-029-C/SubAccountName' end,
        case when list_contains($absent_columns, 'ContractedCost') then 'CostAndUsage-D-030-M/ContractedCost' end,
        case when list_contains($absent_columns, 'ListCost') then 'CostAndUsage-D-032-M/ListCost' end,
        case when list_contains($absent_columns, 'InvoiceId') then 'CostAndUsage-D-033-O/InvoiceId' end,
        case
            when list_contains($absent_columns, 'ContractedUnitPrice')
                then 'CostAndUsage-D-034-C/ContractedUnitPrice'
        end,
        case when list_contains($absent_columns, 'PricingQuantity') then 'CostAndUsage-D-036-M/PricingQuantity' end,
        case when list_contains($absent_columns, 'ResourceType') then 'CostAndUsage-D-039-C/ResourceType' end,
        case when list_contains($absent_columns, 'ServiceCategory') then 'CostAndUsage-D-040-M/ServiceCategory' end,
        case when list_contains($absent_columns, 'ServiceName') then 'CostAndUsage-D-041-M/ServiceName' end,
        case
            when list_contains($absent_columns, 'ServiceSubcategory')
                then 'CostAndUsage-D-042-O/ServiceSubcategory'
        end,
        case when list_contains($absent_columns, 'ResourceId') then 'CostAndUsage-D-043-C/ResourceId' end,
        case when list_contains($absent_columns, 'ResourceName') then 'CostAndUsage-D-044-C/ResourceName' end,
        case when list_contains($absent_columns, 'PricingCurrency') then 'CostAndUsage-D-045-C/PricingCurrency' end,
        case
            when list_contains($absent_columns, 'PricingCurrencyContractedUnitPrice')
                then 'CostAndUsage-D-047-C/PricingCurrencyContractedUnitPrice'
        end,
        case
            when list_contains($absent_columns, 'PricingCurrencyEffectiveCost')
                then 'CostAndUsage-D-051-C/PricingCurrencyEffectiveCost'
        end,
        case
            when list_contains($absent_columns, 'PricingCurrencyListUnitPrice')
                then 'CostAndUsage-D-055-C/PricingCurrencyListUnitPrice'
        end,
        case when list_contains($absent_columns, 'SkuPriceId') then 'CostAndUsage-D-058-C/SkuPriceId' end,
        case when list_contains($absent_columns, 'SkuMeter') then 'CostAndUsage-D-059-C/SkuMeter' end,
        case when list_contains($absent_columns, 'SkuId') then 'CostAndUsage-D-060-C/SkuId' end,
        case when list_contains($absent_columns, 'SkuPriceDetails') then 'CostAndUsage-D-061-C/SkuPriceDetails' end,
        case when list_contains($absent_columns, 'RegionName') then 'CostAndUsage-D-062-C/RegionName' end,
        case when list_contains($absent_columns, 'RegionId') then 'CostAndUsage-D-063-C/RegionId' end,
        case when list_contains($absent_columns, 'Tags') then 'CostAndUsage-D-064-C/Tags' end,
        case
            when list_contains($absent_columns, 'CapacityReservationId')
                then 'CostAndUsage-D-065-C/CapacityReservationId'
        end,
        case when list_contains($absent_columns, 'ConsumedUnit') then 'CostAndUsage-D-066-C/ConsumedUnit' end,
        case when list_contains($absent_columns, 'SubAccountType') then 'CostAndUsage-D-067-C/SubAccountType' end,
        case when list_contains($absent_columns, 'PricingUnit') then 'CostAndUsage-D-068-M/PricingUnit' end,
        nullif(
            array_to_string(list_transform(
                $unknown_columns,
                lambda name: 'ColumnHandling-A-010-M/' || regexp_replace(name, '[^A-Za-z0-9_]', '?', 'g')
            ), ' '),
            ''
        ),
        case when contracted_cost_text is not null and contracted_cost is null then 'ContractedCost-C-002-M' end,
        case when list_cost_text is not null and list_cost is null then 'ListCost-C-002-M' end,
        case
            when contracted_unit_price_text is not null and contracted_unit_price is null
                then 'ContractedUnitPrice-C-003-M'
        end,
        case when list_unit_price_text is not null and list_unit_price is null then 'ListUnitPrice-C-002-M' end,
        case when pricing_quantity_text is not null and pricing_quantity is null then 'PricingQuantity-C-002-M' end,
        case
            when
                pricing_currency_contracted_unit_price_text is not null
                and pricing_currency_contracted_unit_price is null
                then 'PricingCurrencyContractedUnitPrice-C-002-M'
        end,
        case
            when pricing_currency_effective_cost_text is not null and pricing_currency_effective_cost is null
                then 'PricingCurrencyEffectiveCost-C-002-M'
        end,
        case
            when pricing_currency_list_unit_price_text is not null and pricing_currency_list_unit_price is null
                then 'PricingCurrencyListUnitPrice-C-002-M'
        end,
        case when consumed_quantity_text is not null and consumed_quantity is null then 'ConsumedQuantity-C-002-M' end,
        case
            when commitment_discount_quantity_text is not null and commitment_discount_quantity is null
                then 'CommitmentDiscountQuantity-C-002-M'
        end,
        case when not is_focus_time(billing_period_start_at_text) then 'BillingPeriodStart-C-002-M' end,
        case when not is_focus_time(billing_period_end_at_text) then 'BillingPeriodEnd-C-002-M' end,
        case when not is_focus_time(charge_period_start_at_text) then 'ChargePeriodStart-C-002-M' end,
        case when not is_focus_time(charge_period_end_at_text) then 'ChargePeriodEnd-C-002-M' end,
        case
            when
                sku_price_details is not null
                and not coalesce(json_type(try_cast(sku_price_details as json)) = 'OBJECT', false)
                then 'SkuPriceDetails-C-001-M'
        end,
        case
            when tags is not null and not coalesce(json_type(try_cast(tags as json)) = 'OBJECT', false)
                then 'Tags-C-001-M'
        end,
        case when not is_focus_unit(consumed_unit) then 'ConsumedUnit-C-003-O' end,
        case when not is_focus_unit(pricing_unit) then 'PricingUnit-C-003-O' end,
        case when not is_focus_unit(commitment_discount_unit) then 'CommitmentDiscountUnit-C-003-M' end,
        case when not regexp_full_match(pricing_currency, '[A-Z]{3}') then 'PricingCurrency-C-003-M' end,
        case
            when not list_contains($absent_columns, 'InvoiceIssuerName') and invoice_issuer_name is null
                then 'InvoiceIssuerName-C-003-M'
        end,
        case when provider_name is null then 'ProviderName-C-003-M' end,
        case when billing_account_id is null then 'BillingAccountId-C-001-M' end,
        case
            when not list_contains($absent_columns, 'BillingAccountName') and billing_account_name is null
                then 'BillingAccountName-C-003-C'
        end,
        case
            when not list_contains($absent_columns, 'PublisherName') and publisher_name is null
                then 'PublisherName-C-003-M'
        end,
        case
            when not list_contains($absent_columns, 'ServiceCategory') and service_category is null
                then 'ServiceCategory-C-002-M'
        end,
        case
            when not list_contains($absent_columns, 'ServiceName') and service_name is null
                then 'ServiceName-C-003-M'
        end,
        case
            when not list_contains($absent_columns, 'ServiceSubcategory') and service_subcategory is null
                then 'ServiceSubcategory-C-002-M'
        end,
        case
            when not list_contains($absent_columns, 'ChargeFrequency') and charge_frequency is null
                then 'ChargeFrequency-C-002-M'
        end,
        case
            when not list_contains($absent_columns, 'ChargeDescription') and charge_description is null
                then 'ChargeDescription-C-003-O'
        end,
        case
            when not list_contains($absent_columns, 'ContractedCost') and contracted_cost_text is null
                then 'ContractedCost-C-003-M'
        end,
        case when not list_contains($absent_columns, 'ListCost') and list_cost_text is null then 'ListCost-C-003-M' end,
        case
            when not list_contains($absent_columns, 'PricingCurrency') and pricing_currency is null
                then 'PricingCurrency-C-004-M'
        end,
        case
            when
                not list_contains($absent_columns, 'PricingCurrencyEffectiveCost')
                and pricing_currency_effective_cost_text is null
                then 'PricingCurrencyEffectiveCost-C-003-M'
        end,
        case when list_unit_price_text is not null and charge_category = 'Tax' then 'ListUnitPrice-C-004-C' end,
        case
            when not list_contains($absent_columns, 'ListUnitPrice') and list_unit_price_text is null and is_sold
                then 'ListUnitPrice-C-005-C'
        end,
        case when pricing_quantity_text is not null and charge_category = 'Tax' then 'PricingQuantity-C-004-C' end,
        case
            when not list_contains($absent_columns, 'PricingQuantity') and pricing_quantity_text is null and is_sold
                then 'PricingQuantity-C-005-C'
        end,
        case when sku_price_id is not null and charge_category = 'Tax' then 'SkuPriceId-C-004-C' end,
        case
            when not list_contains($absent_columns, 'SkuPriceId') and sku_price_id is null and is_sold
                then 'SkuPriceId-C-005-C'
        end,
        case
            when pricing_currency_list_unit_price_text is not null and charge_category = 'Tax'
                then 'PricingCurrencyListUnitPrice-C-004-C'
        end,
        case
            when
                not list_contains($absent_columns, 'PricingCurrencyListUnitPrice')
                and pricing_currency_list_unit_price_text is null and is_sold
                then 'PricingCurrencyListUnitPrice-C-005-C'
        end,
        case when sku_id is not null and charge_category = 'Tax' then 'SkuId-C-004-C' end,
        case when not list_contains($absent_columns, 'SkuId') and sku_id is null and is_sold then 'SkuId-C-005-C' end,
        case when pricing_category is not null and charge_category = 'Tax' then 'PricingCategory-C-003-C' end,
        case
            when not list_contains($absent_columns, 'PricingCategory') and pricing_category is null and is_sold
                then 'PricingCategory-C-004-C'
        end,
        case
            when contracted_unit_price_text is not null and charge_category = 'Tax'
                then 'ContractedUnitPrice-C-005-C'
        end,
        case
            when
                not list_contains($absent_columns, 'ContractedUnitPrice')
                and contracted_unit_price_text is null and is_sold
                then 'ContractedUnitPrice-C-006-C'
        end,
        case when consumed_unit is not null and consumed_quantity_text is null then 'ConsumedUnit-C-005-C' end,
        case
            when
                not list_contains($absent_columns, 'ConsumedUnit')
                and consumed_unit is null and consumed_quantity_text is not null
                then 'ConsumedUnit-C-006-C'
        end,
        case when pricing_unit is not null and pricing_quantity_text is null then 'PricingUnit-C-005-C' end,
        case
            when
                not list_contains($absent_columns, 'PricingUnit')
                and pricing_unit is null and pricing_quantity_text is not null
                then 'PricingUnit-C-006-C'
        end,
        case
            when commitment_discount_unit is not null and commitment_discount_quantity_text is null
                then 'CommitmentDiscountUnit-C-005-C'
        end,
        case
            when
                not list_contains($absent_columns, 'CommitmentDiscountUnit')
                and commitment_discount_unit is null and commitment_discount_quantity_text is not null
                then 'CommitmentDiscountUnit-C-006-C'
        end,
        case
            when commitment_discount_category is not null and commitment_discount_id is null
                then 'CommitmentDiscountCategory-C-003-C'
        end,
        case
            when
                not list_contains($absent_columns, 'CommitmentDiscountCategory')
                and commitment_discount_category is null and commitment_discount_id is not null
                then 'CommitmentDiscountCategory-C-004-C'
        end,
        case
            when commitment_discount_type is not null and commitment_discount_id is null
                then 'CommitmentDiscountType-C-004-C'
        end,
        case
            when
                not list_contains($absent_columns, 'CommitmentDiscountType')
                and commitment_discount_type is null and commitment_discount_id is not null
                then 'CommitmentDiscountType-C-005-C'
        end,
        case when resource_type is not null and resource_id is null then 'ResourceType-C-004-C' end,
        case
            when
                not list_contains($absent_columns, 'ResourceType')
                and resource_type is null and resource_id is not null
                then 'ResourceType-C-005-C'
        end,
        case when sub_account_type is not null and sub_account_id is null then 'SubAccountType-C-004-C' end,
        case
            when
                not list_contains($absent_columns, 'SubAccountType')
                and sub_account_type is null and sub_account_id is not null
                then 'SubAccountType-C-005-C'
        end,
        case when sub_account_name is not null and sub_account_id is null then 'SubAccountName-C-004-C' end,
        case
            when
                not list_contains($absent_columns, 'SubAccountName')
                and sub_account_name is null and sub_account_id is not null
                then 'SubAccountName-C-005-C'
        end,
        case when region_name is not null and region_id is null then 'RegionName-C-004-C' end,
        case
            when not list_contains($absent_columns, 'RegionName') and region_name is null and region_id is not null
                then 'RegionName-C-005-C'
        end,
        case when billing_account_type is not null and billing_account_id is null then 'BillingAccountType-C-004-C' end,
        case
            when
                not list_contains($absent_columns, 'BillingAccountType')
                and billing_account_type is null and billing_account_id is not null
                then 'BillingAccountType-C-005-C'
        end,
        case
            when commitment_discount_name is not null and commitment_discount_id is null
                then 'CommitmentDiscountName-C-004-C'
        end,
        case when sku_meter is not null and sku_id is null then 'SkuMeter-C-004-C' end,
        case
            when not list_contains($absent_columns, 'SkuMeter') and sku_meter is null and sku_id is not null
                then 'SkuMeter-C-005-C'
        end,
        case when sku_price_details is not null and sku_price_id is null then 'SkuPriceDetails-C-004-C' end,
        case
            when
                consumed_quantity_text is not null
                and (charge_category <> 'Usage' or commitment_discount_status = 'Unused')
                then 'ConsumedQuantity-C-004-C'
        end,
        case
            when
                not list_contains($absent_columns, 'ConsumedQuantity')
                and consumed_quantity_text is null
                and is_sold
                and charge_category = 'Usage'
                and commitment_discount_status is distinct from 'Unused'
                then 'ConsumedQuantity-C-006-C'
        end,
        case
            when
                not list_contains($absent_columns, 'CommitmentDiscountQuantity')
                and commitment_discount_quantity_text is null and is_sold and commitment_discount_id is not null
                then 'CommitmentDiscountQuantity-C-005-C'
        end,
        case
            when
                commitment_discount_quantity_text is not null
                and (commitment_discount_id is null or charge_category not in ('Usage', 'Purchase'))
                then 'CommitmentDiscountQuantity-C-007-C'
        end,
        case
            when commitment_discount_status is not null and commitment_discount_id is null
                then 'CommitmentDiscountStatus-C-003-C'
        end,
        case
            when
                not list_contains($absent_columns, 'CommitmentDiscountStatus')
                and commitment_discount_status is null
                and commitment_discount_id is not null
                and charge_category = 'Usage'
                then 'CommitmentDiscountStatus-C-004-C'
        end,
        case
            when
                not list_contains($absent_columns, 'CapacityReservationId')
                and capacity_reservation_id is null and capacity_reservation_status = 'Unused'
                then 'CapacityReservationId-C-005-C'
        end,
        case
            when capacity_reservation_status is not null and capacity_reservation_id is null
                then 'CapacityReservationStatus-C-003-C'
        end,
        case
            when
                not list_contains($absent_columns, 'CapacityReservationStatus')
                and capacity_reservation_status is null
                and capacity_reservation_id is not null
                and charge_category = 'Usage'
                then 'CapacityReservationStatus-C-004-C'
        end,
        case
            when service_category not in (
                'AI and Machine Learning', 'Analytics', 'Business Applications', 'Compute', 'Databases',
                'Developer Tools', 'Identity', 'Integration', 'Internet of Things',
                'Management and Governance', 'Media', 'Migration', 'Mobile', 'Multicloud', 'Networking',
                'Security', 'Storage', 'Web', 'Other'
            ) then 'ServiceCategory-C-003-M'
        end,
        case
            when coalesce(service_category, '') || '/' || service_subcategory not in (
                'AI and Machine Learning/AI Platforms', 'AI and Machine Learning/Bots',
                'AI and Machine Learning/Generative AI', 'AI and Machine Learning/Machine Learning',
                'AI and Machine Learning/Natural Language Processing',
                'AI and Machine Learning/Other (AI and Machine Learning)', 'Analytics/Analytics Platforms',
                'Analytics/Business Intelligence', 'Analytics/Data Processing', 'Analytics/Search',
                'Analytics/Streaming Analytics', 'Analytics/Other (Analytics)',
                'Business Applications/Productivity and Collaboration',
                'Business Applications/Other (Business Applications)', 'Compute/Containers',
                'Compute/End User Computing', 'Compute/Quantum Compute', 'Compute/Serverless Compute',
                'Compute/Virtual Machines', 'Compute/Other (Compute)', 'Databases/Caching',
                'Databases/Data Warehouses', 'Databases/Ledger Databases', 'Databases/NoSQL Databases',
                'Databases/Relational Databases', 'Databases/Time Series Databases', 'Databases/Other (Databases)',
                'Developer Tools/Developer Platforms', 'Developer Tools/Continuous Integration and Deployment',
                'Developer Tools/Development Environments', 'Developer Tools/Source Code Management',
                'Developer Tools/Quality Assurance', 'Developer Tools/Other (Developer Tools)',
                'Identity/Identity and Access Management', 'Identity/Other (Identity)', 'Integration/API Management',
                'Integration/Messaging', 'Integration/Workflow Orchestration', 'Integration/Other (Integration)',
                'Internet of Things/IoT Analytics', 'Internet of Things/IoT Platforms',
                'Internet of Things/Other (Internet of Things)', 'Management and Governance/Architecture',
                'Management and Governance/Compliance', 'Management and Governance/Cost Management',
                'Management and Governance/Data Governance', 'Management and Governance/Disaster Recovery',
                'Management and Governance/Endpoint Management', 'Management and Governance/Observability',
                'Management and Governance/Support', 'Management and Governance/Other (Management and Governance)',
                'Media/Content Creation', 'Media/Gaming', 'Media/Media Streaming', 'Media/Mixed Reality',
                'Media/Other (Media)', 'Migration/Data Migration', 'Migration/Resource Migration',
                'Migration/Other (Migration)', 'Mobile/Other (Mobile)', 'Multicloud/Multicloud Integration',
                'Multicloud/Other (Multicloud)', 'Networking/Application Networking', 'Networking/Content Delivery',
                'Networking/Network Connectivity', 'Networking/Network Infrastructure', 'Networking/Network Routing',
                'Networking/Network Security', 'Networking/Other (Networking)', 'Security/Secret Management',
                'Security/Security Posture Management', 'Security/Threat Detection and Response',
                'Security/Other (Security)', 'Storage/Backup Storage', 'Storage/Block Storage', 'Storage/File Storage',
                'Storage/Object Storage', 'Storage/Storage Platforms', 'Storage/Other (Storage)',
                'Web/Application Platforms', 'Web/Other (Web)', 'Other/Other (Other)'
            ) then 'ServiceSubcategory-C-004-M'
        end,
        case when charge_frequency not in ('One-Time', 'Recurring', 'Usage-Based') then 'ChargeFrequency-C-003-M' end,
        case when charge_frequency = 'Usage-Based' and charge_category = 'Purchase' then 'ChargeFrequency-C-004-C' end,
        case
            when pricing_category not in ('Standard', 'Committed', 'Dynamic', 'Other')
                then 'PricingCategory-C-007-M'
        end,
        case when commitment_discount_category not in ('Spend', 'Usage') then 'CommitmentDiscountCategory-C-005-M' end,
        case when commitment_discount_status not in ('Used', 'Unused') then 'CommitmentDiscountStatus-C-005-M' end,
        case when capacity_reservation_status not in ('Used', 'Unused') then 'CapacityReservationStatus-C-006-M' end,
        case when charge_class <> 'Correction' then 'ChargeClass-C-005-C' end,
        case when list_unit_price < 0 then 'ListUnitPrice-C-008-M' end,
        case when pricing_currency_list_unit_price < 0 then 'PricingCurrencyListUnitPrice-C-008-M' end,
        case when contracted_unit_price < 0 then 'ContractedUnitPrice-C-009-C' end,
        case
            when
                is_other_amount(list_unit_price, pricing_quantity, list_cost)
                and charge_class is distinct from 'Correction'
                then 'ListUnitPrice-C-010-C'
        end,
        case
            when
                is_other_amount(list_unit_price, pricing_quantity, list_cost)
                and charge_class is distinct from 'Correction'
                then 'ListCost-C-009-C'
        end,
        case
            when
                is_other_amount(contracted_unit_price, pricing_quantity, contracted_cost)
                and charge_class is distinct from 'Correction'
                then 'ContractedUnitPrice-C-011-C'
        end,
        case
            when effective_cost <> 0 and charge_category = 'Purchase' and commitment_discount_id is not null
                then 'EffectiveCost-C-005-C'
        end,
        case when try_cast(availability_zone as double) is not null then 'Oddity-number/AvailabilityZone' end,
        case when billed_cost < 0 and is_sold then 'Oddity-negative/BilledCost' end,
        case when effective_cost < 0 and is_sold then 'Oddity-negative/EffectiveCost' end
    ), '') as broken_rules,
    source_line,
    record_text,
    case
        when problem is not null then problem
        when billed_cost is null then 'unreadable_billed_cost'
        when effective_cost is null then 'unreadable_effective_cost'
        when currency is null or not regexp_full_match(currency, '[A-Z]{3}') then 'unreadable_currency'
        when charge_category is null or charge_category not in ('Usage', 'Purchase', 'Tax', 'Credit', 'Adjustment')
            then 'unreadable_charge_category'
        when charge_period_start_at is null then 'unreadable_charge_start'
        when charge_period_end_at is null then 'unreadable_charge_end'
        when is_implausible(charge_period_start_at) or is_implausible(charge_period_end_at) then 'implausible_time'
        when charge_period_end_at <= charge_period_start_at then 'end_before_start'
        when billing_period_start_at is null then 'unreadable_billing_start'
        when billing_period_end_at is null then 'unreadable_billing_end'
    end as reject_reason,
    plausible(charge_period_start_at) as record_at,
    null::bigint as record_accelerator_seconds,
    null::varchar as cluster
from classed
