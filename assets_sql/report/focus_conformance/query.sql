-- What each bill breaks of the specification. Rules over several charges (one category for a service, one SKU for a price)
-- are judged here; what one charge tells was judged when it was read.
with sizes as (
    select
        source_file,
        count(*) as rows_delivered
    from raw.focus_charges
    group by source_file
),

kinds as (
    select
        source_file,
        broken_rules,
        count(*) as charges,
        min(source_line) as first_line
    from raw.focus_charges
    where broken_rules is not null
    group by source_file, broken_rules
),

entries as (
    select
        source_file,
        unnest(string_split(broken_rules, ' ')) as entry,
        charges,
        first_line
    from kinds
),

services as (
    select
        source_file,
        service_name,
        count(*) as charges,
        min(source_line) as first_line
    from raw.focus_charges
    where service_name is not null
    group by source_file, service_name
    having count(distinct service_category) > 1
),

prices as (
    select
        source_file,
        sku_price_id,
        count(*) as charges,
        min(source_line) as first_line
    from raw.focus_charges
    where sku_price_id is not null
    group by source_file, sku_price_id
    having count(distinct sku_id) > 1
),

broken as (
    select
        source_file,
        split_part(entry, '/', 1) as rule_id,
        case when contains(entry, '/') then split_part(entry, '/', 2) else split_part(entry, '-', 1) end as focus_column,
        charges,
        first_line
    from entries
    union all
    select source_file, 'ServiceName-C-005-C', 'ServiceName', charges, first_line from services
    union all
    select source_file, 'SkuPriceId-C-008-M', 'SkuPriceId', charges, first_line from prices
)

select
    broken.source_file,
    broken.rule_id,
    broken.focus_column,
    broken.rule_id not like 'Oddity-%'
    and broken.rule_id not like '%-O'
    and broken.rule_id not like 'CostAndUsage-D-%-C'
    and broken.rule_id not in ('CommitmentDiscountUnit-C-003-M', 'SkuMeter-C-005-C') as is_required,
    any_value(sizes.rows_delivered) as rows_delivered,
    cast(sum(broken.charges) as bigint) as rows_broken,
    min(broken.first_line) as sample_line
from broken
inner join sizes on broken.source_file = sizes.source_file
group by broken.source_file, broken.rule_id, broken.focus_column
