-- What becomes of short lines. `sacct -P` escapes nothing, so a line break inside a column splits its record:
-- consecutive short lines whose delimiters add up to a record are one (`record`); lines that add up to less and do
-- not begin like a record belong to the free text that ends the record before them (`tail`); the rest is rejected.
with numbered as (
    select
        source_line,
        coalesce(text, '') as text,
        coalesce(delimiters, 0) as delimiters,
        source_line - row_number() over (order by source_line) as run
    from short_lines
),

counted as (
    select
        *,
        coalesce(sum(delimiters) over (
            partition by run order by source_line rows between unbounded preceding and 1 preceding
        ), 0)::bigint as delimiters_before
    from numbered
),

grouped as (
    select
        *,
        delimiters_before // $record_delimiters as part,
        delimiters = 0 and delimiters_before % $record_delimiters = 0 as is_lead
    from counted
),

pieces as (
    select
        run,
        part,
        is_lead,
        min(source_line) as source_line,
        max(source_line) as last_line,
        string_agg(text, chr(10) order by source_line) as text,
        sum(delimiters)::bigint as delimiters,
        arg_min(string_split(text, $delimiter)[1], source_line) as first_field
    from grouped
    group by run, part, is_lead
),

judged as (
    select
        *,
        case
            when not is_lead and delimiters = $record_delimiters then 'record'
            when last_line = $last_line and not $is_terminated then 'truncated_record'
            when delimiters = 0 and regexp_full_match(text, '\s*') and not $has_free_text_last then 'blank'
            when $has_free_text_last
                and source_line > $header_lines + 1
                and (
                    is_lead
                    or not (
                        regexp_matches(first_field, '^[0-9]+([_+.].*)?$')
                        or first_field in (select first_field from complete_first_fields)
                    )
                ) then 'tail'
            else 'wrong_column_count'
        end as fate
    from pieces
)

select
    source_line,
    last_line,
    text,
    fate
from judged
