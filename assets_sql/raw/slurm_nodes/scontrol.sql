-- `scontrol show node`: blocks of Key=value, one node a block; Reason and OS run to the end of their line.
with blocks as (
    select
        source_line,
        text,
        sum(case when regexp_matches(coalesce(text, ''), '^\s*NodeName=') then 1 else 0 end) over (
            order by source_line rows unbounded preceding
        ) as block
    from lines
),

joined as (
    select
        min(source_line) as source_line,
        string_agg(coalesce(text, ''), chr(10) order by source_line) as record_text
    from blocks
    where block > 0 or trim(coalesce(text, '')) <> ''
    group by block
)

select
    source_line,
    trim(record_text, chr(10)) as record_text,
    case when not regexp_matches(record_text, '(^|\n)\s*NodeName=') then 'no_node' end as problem,
    regexp_extract(record_text, '(?:^|\s)NodeName=(\S+)', 1) as node,
    regexp_extract(record_text, '(?:^|\s)Gres=(\S+)', 1) as gres,
    regexp_extract(record_text, '(?:^|\s)CfgTRES=(\S+)', 1) as configured_tres,
    regexp_extract(record_text, '(?:^|\s)State=(\S+)', 1) as state,
    regexp_extract(record_text, '(?:^|\s)Partitions=(\S+)', 1) as partitions,
    regexp_extract(record_text, '(?:^|\s)CPUTot=(\S+)', 1) as cpus,
    regexp_extract(record_text, '(?:^|\s)RealMemory=(\S+)', 1) as memory_mib,
    regexp_extract(record_text, '(?:^|\n)\s*Reason=([^\n]*?)\s*(?:\[[^\[\]]*@[^\[\]]*\])?\s*(?:\n|$)', 1) as reason,
    regexp_extract(record_text, '(?:^|\n)\s*Reason=[^\n]*\[[^\[\]]*@([^\[\]]*)\]\s*(?:\n|$)', 1) as reason_time
from joined
