-- The array `nodes` of `sinfo --json`, `scontrol show node --json` or slurmrestd.
select
    position as source_line,
    left(coalesce(unusable_text, record::varchar), 4000) as record_text,
    case when unusable_text is not null then 'not_an_object' end as problem,
    record ->> '$.name' as node,
    record ->> '$.gres' as gres,
    record ->> '$.tres' as configured_tres,
    -- One state, with its flags apart until 22.05, or an array of both.
    array_to_string(list_concat(json_texts(record -> '$.state'), json_texts(record -> '$.state_flags')), '+') as state,
    array_to_string(json_texts(record -> '$.partitions'), ',') as partitions,
    json_number(record -> '$.cpus') as cpus,
    json_number(record -> '$.real_memory') as memory_mib,
    record ->> '$.reason' as reason,
    nullif(json_number(record -> '$.reason_changed_at'), '0') as reason_time
from records
