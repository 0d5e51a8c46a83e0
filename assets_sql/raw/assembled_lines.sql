-- What becomes of short lines. `sacct -P` escapes nothing, so a line break inside a column splits its record:
-- consecutive short lines whose delimiters add up to a record are one (`record`); lines that add up to less and do
-- not begin like a record belong to the free text that ends the record before them (`tail`); the rest is rejected.
-- A line begins like a record where its first field is one that whole records begin with, or, where those are all
-- job ids, is a job id.
with numbered as (
    select
        source_line,
        coalesce(text, '') as text,
        coalesce(delimiters, 0) as delimiters,
        coalesce(string_split(text, $delimiter)[1], '') as first_field,
        source_line - row_number() over (order by source_line) as run
    from short_lines
),

begun as (
    select
        numbered.*,
        numbered.delimiters > 0 and (
            numbered.first_field in (select first_field from complete_first_fields where first_field <> '')
            or ($are_job_ids and regexp_matches(numbered.first_field, '^[0-9]+([_+.].*)?$'))
        ) as begins_record
    from numbered
),

stretched as (
    select
        *,
        sum(case when begins_record then 1 else 0 end) over (order by source_line rows unbounded preceding) as stretch
    from begun
),

counted as (
    select
        *,
        coalesce(sum(delimiters) over (
            partition by run, stretch order by source_line rows between unbounded preceding and 1 preceding
        ), 0)::bigint as delimiters_before
    from stretched
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
        min(source_line) as source_line,
        max(source_line) as last_line,
        string_agg(text, chr(10) order by source_line) as text,
        sum(delimiters)::bigint as delimiters,
        is_lead,
        bool_or(begins_record) as begins_record
    from grouped
    group by run, stretch, part, is_lead
),

judged as (
    select
        *,
        case
            when not is_lead and delimiters = $record_delimiters then 'record'
            when last_line = $last_line and not $is_terminated then 'truncated_record'
            when delimiters = 0 and regexp_full_match(text, '\s*') and not $has_free_text_last then 'blank'
            when $has_free_text_last and source_line > $header_lines + 1 and not begins_record then 'tail'
            else 'wrong_column_count'
        end as fate
    from pieces
),

-- Consecutive tails end the same record.
followed as (
    select
        *,
        fate = 'tail'
        and lag(fate) over (order by source_line) = 'tail'
        and lag(last_line) over (order by source_line) = source_line - 1 as follows_tail
    from judged
),

islands as (
    select
        *,
        sum(case when follows_tail then 0 else 1 end) over (order by source_line rows unbounded preceding) as island
    from followed
)

select
    min(source_line) as source_line,
    max(last_line) as last_line,
    string_agg(text, chr(10) order by source_line) as text,
    any_value(fate) as fate
from islands
group by island
