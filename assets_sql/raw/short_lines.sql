-- The physical lines that cannot be whole records, because they have fewer delimiters than a record has.
select
    source_line,
    text,
    len(string_split(text, $delimiter)) - 1 as delimiters
from lines
where source_line > $header_lines
    and len(string_split(coalesce(text, ''), $delimiter)) - 1 < $record_delimiters
