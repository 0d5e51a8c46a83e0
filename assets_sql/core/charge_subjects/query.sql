-- To which pool a charge belongs, as the first of the site's rules says that fits, and what one of its pricing units is in
-- accelerator-seconds: by the bill's own words (SkuPriceDetails), else by the instance type that it names. The names of
-- instance types are looked for without regard to case and punctuation; the longest counts.
with subjects as (
    select
        subject_id,
        any_value(provider_name) as provider_name,
        any_value(billing_account_id) as billing_account_id,
        any_value(sub_account_id) as sub_account_id,
        any_value(region_id) as region_id,
        any_value(availability_zone) as availability_zone,
        any_value(charge_category) as charge_category,
        any_value(charge_description) as charge_description,
        any_value(commitment_discount_id) as commitment_discount_id,
        any_value(capacity_reservation_id) as capacity_reservation_id,
        any_value(resource_id) as resource_id,
        any_value(resource_name) as resource_name,
        any_value(resource_type) as resource_type,
        any_value(service_category) as service_category,
        any_value(service_name) as service_name,
        any_value(sku_id) as sku_id,
        any_value(sku_price_id) as sku_price_id,
        lower(any_value(pricing_unit)) as pricing_unit,
        lower(regexp_replace(
            concat_ws(' ', any_value(usage_type), any_value(sku_meter), any_value(charge_description)),
            '[^A-Za-z0-9]+', '', 'g'
        )) as sku_text,
        try_cast(any_value(sku_price_details) as json) as details,
        try_cast(any_value(tags) as json) as tags
    from raw.focus_charges
    group by subject_id
),

conditions as (
    select
        rule_no,
        conditions,
        column_name,
        '/' || replace(replace(tag, '~', '~0'), '/', '~1') as tag_pointer,
        replace(replace(replace(replace(pattern, '\', '\\'), '%', '\%'), '_', '\_'), '*', '%') as pattern
    from site.charge_rules
),

-- Which conditions of which rules each subject meets.
met as (
    select
        subjects.subject_id,
        conditions.rule_no
    from subjects
    cross join conditions
    where case conditions.column_name
        when 'provider_name' then subjects.provider_name
        when 'billing_account_id' then subjects.billing_account_id
        when 'sub_account_id' then subjects.sub_account_id
        when 'region_id' then subjects.region_id
        when 'availability_zone' then subjects.availability_zone
        when 'charge_category' then subjects.charge_category
        when 'charge_description' then subjects.charge_description
        when 'commitment_discount_id' then subjects.commitment_discount_id
        when 'capacity_reservation_id' then subjects.capacity_reservation_id
        when 'resource_id' then subjects.resource_id
        when 'resource_name' then subjects.resource_name
        when 'resource_type' then subjects.resource_type
        when 'service_category' then subjects.service_category
        when 'service_name' then subjects.service_name
        when 'sku_id' then subjects.sku_id
        when 'sku_price_id' then subjects.sku_price_id
        when 'tags' then subjects.tags ->> conditions.tag_pointer
    end like conditions.pattern escape '\'
    group by subjects.subject_id, conditions.rule_no
    having count(*) = max(conditions.conditions)
),

ruled as (
    select
        subject_id,
        min(rule_no) as rule_no
    from met
    group by subject_id
),

rules as (
    select distinct
        rule_no,
        cluster,
        pool,
        cost_component,
        accelerator_model
    from site.charge_rules
),

instances as (
    select
        subjects.subject_id,
        types.instance_type,
        types.accelerator_model,
        types.accelerators
    from subjects
    inner join site.instance_types as types
        on lower(subjects.details ->> '$.InstanceType') = types.instance_type
        or (
            subjects.details ->> '$.InstanceType' is null
            and contains(subjects.sku_text, regexp_replace(types.instance_type, '[^a-z0-9]+', '', 'g'))
        )
    where subjects.charge_category = 'Usage'
        and subjects.service_category in ('Compute', 'AI and Machine Learning')
    qualify row_number() over (
        partition by subjects.subject_id order by length(types.instance_type) desc, types.instance_type asc
    ) = 1
),

measured as (
    select
        subjects.subject_id,
        instances.instance_type,
        instances.accelerator_model,
        case
            when subjects.charge_category <> 'Usage' then null
            when regexp_matches(subjects.pricing_unit, '(gpu|accelerator)[- ]?[a-z]+$') then 1
            else coalesce(try_cast(subjects.details ->> '$.GpuCount' as decimal(18, 6)), instances.accelerators)
        end as accelerators_per_unit,
        case
            when regexp_full_match(
                subjects.pricing_unit,
                '([1-9][0-9]{0,8} )?((gpu|accelerator|instance|vm|node|machine)[- ]?)?(second|minute|hour|hr|day)s?'
            ) then
                coalesce(try_cast(regexp_extract(subjects.pricing_unit, '^([0-9]+) ', 1) as bigint), 1)
                * case
                    when regexp_matches(subjects.pricing_unit, 'seconds?$') then 1
                    when regexp_matches(subjects.pricing_unit, 'minutes?$') then 60
                    when regexp_matches(subjects.pricing_unit, 'days?$') then 86400
                    else 3600
                end
        end as seconds_per_unit
    from subjects
    left join instances on subjects.subject_id = instances.subject_id
)

select
    subjects.subject_id,
    coalesce(rules.cluster, 'unassigned') as cluster,
    coalesce(rules.pool, 'unassigned') as pool,
    coalesce(
        case when subjects.charge_category in ('Tax', 'Credit') then lower(subjects.charge_category) end,
        rules.cost_component,
        lower(regexp_replace(subjects.service_category, '[^A-Za-z0-9]+', '_', 'g')),
        'other'
    ) as cost_component,
    coalesce(
        aliases.accelerator_model,
        lower(coalesce(rules.accelerator_model, measured.accelerator_model)),
        case when measured.accelerators_per_unit > 0 then 'unassigned' end
    ) as accelerator_model,
    measured.instance_type,
    case
        when measured.seconds_per_unit > 0 and measured.accelerators_per_unit > 0
            then cast(measured.accelerators_per_unit as decimal(18, 6))
    end as accelerators_per_unit,
    case when measured.accelerators_per_unit > 0 then measured.seconds_per_unit end as seconds_per_unit
from subjects
inner join measured on subjects.subject_id = measured.subject_id
left join ruled on subjects.subject_id = ruled.subject_id
left join rules on ruled.rule_no = rules.rule_no
left join site.accelerators as aliases
    on lower(coalesce(rules.accelerator_model, measured.accelerator_model)) = aliases.alias
