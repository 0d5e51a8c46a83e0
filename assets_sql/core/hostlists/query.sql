-- Slurm's host lists: names separated by commas, each with any number of bracketed lists of numbers and ranges, of which
-- the first is expanded until none is left. Numbers keep their leading zeros. Only distinct lists are expanded.
with recursive lists as (
    select node_list
    from records_in_scope
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

expanded as (
    select
        node_list,
        part as name
    from parts
    union all
    select
        numbered.node_list,
        numbered.prefix
        || coalesce(
            lpad(
                cast(numbered.number as varchar),
                cast(greatest(numbered.digits, length(cast(numbered.number as varchar))) as integer),
                '0'
            ),
            numbered.range_text
        )
        || numbered.rest as name
    from (
        select
            ranges.*,
            unnest(case
                when regexp_full_match(ranges.range_text, '[0-9]{1,9}(-[0-9]{1,9})?') then generate_series(
                    cast(regexp_extract(ranges.range_text, '^([0-9]+)', 1) as bigint),
                    cast(regexp_extract(ranges.range_text, '([0-9]+)$', 1) as bigint)
                )
                else [cast(null as bigint)]
            end) as number,
            length(regexp_extract(ranges.range_text, '^([0-9]+)', 1)) as digits
        from (
            select
                node_list,
                regexp_extract(name, '^([^\[]*)', 1) as prefix,
                regexp_extract(name, '^[^\[]*\[[^\]]*\](.*)$', 1) as rest,
                unnest(string_split(regexp_extract(name, '^[^\[]*\[([^\]]*)\]', 1), ',')) as range_text
            from expanded
            where regexp_matches(name, '\[[^\]]*\]')
        ) as ranges
    ) as numbered
)

select distinct
    node_list,
    trim(name) as node
from expanded
where not regexp_matches(name, '\[[^\]]*\]')
