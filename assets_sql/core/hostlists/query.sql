-- Slurm's host lists: names separated by commas, each with up to two bracketed lists of numbers and ranges.
-- Numbers keep their leading zeros. Only distinct lists are expanded.
with lists as (
    select node_list
    from raw.slurm_jobs
    where not is_step and node_list is not null and node_list <> 'None assigned'
    union
    select node_list
    from raw.slurm_reservations
    where node_list is not null
),

parts as (
    select
        node_list,
        unnest(regexp_extract_all(node_list, '[^,\[]*(?:\[[^\]]*\][^,\[]*)+|[^,]+')) as part
    from lists
),

brackets as (
    select
        node_list,
        part,
        regexp_extract(part, '^([^\[]*)', 1) as prefix,
        regexp_extract(part, '^[^\[]*\[([^\]]*)\]', 1) as first_list,
        regexp_extract(part, '^[^\[]*\[[^\]]*\]([^\[]*)', 1) as middle,
        regexp_extract(part, '^[^\[]*\[[^\]]*\][^\[]*\[([^\]]*)\]', 1) as second_list,
        regexp_extract(part, '^[^\[]*\[[^\]]*\][^\[]*\[[^\]]*\](.*)$', 1) as suffix
    from parts
),

first_ranges as (
    select
        *,
        unnest(string_split(first_list, ',')) as range_text
    from brackets
),

first_numbers as (
    select
        *,
        unnest(generate_series(
            coalesce(try_cast(regexp_extract(range_text, '^([0-9]+)', 1) as bigint), 0),
            coalesce(
                try_cast(regexp_extract(range_text, '-([0-9]+)$', 1) as bigint),
                try_cast(regexp_extract(range_text, '^([0-9]+)', 1) as bigint),
                0
            )
        )) as number,
        length(regexp_extract(range_text, '^([0-9]+)', 1)) as digits
    from first_ranges
),

second_ranges as (
    select
        node_list,
        part,
        prefix
        || case when first_list = '' then '' else lpad(
            cast(number as varchar), cast(greatest(digits, length(cast(number as varchar))) as integer), '0'
        ) end
        || middle as head,
        second_list,
        suffix,
        unnest(string_split(second_list, ',')) as range_text
    from first_numbers
),

second_numbers as (
    select
        *,
        unnest(generate_series(
            coalesce(try_cast(regexp_extract(range_text, '^([0-9]+)', 1) as bigint), 0),
            coalesce(
                try_cast(regexp_extract(range_text, '-([0-9]+)$', 1) as bigint),
                try_cast(regexp_extract(range_text, '^([0-9]+)', 1) as bigint),
                0
            )
        )) as number,
        length(regexp_extract(range_text, '^([0-9]+)', 1)) as digits
    from second_ranges
)

select distinct
    node_list,
    trim(
        head
        || case when second_list = '' then '' else lpad(
            cast(number as varchar), cast(greatest(digits, length(cast(number as varchar))) as integer), '0'
        ) end
        || suffix
    ) as node
from second_numbers
