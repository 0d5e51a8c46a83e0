-- The array `reservations` of `scontrol show reservation --json` or slurmrestd: what slurmctld plans, without ids.
select
    position as source_line,
    left(coalesce(unusable_text, record::varchar), 4000) as record_text,
    case when unusable_text is not null then 'not_an_object' end as problem,
    null::varchar as cluster,
    null::varchar as reservation_id,
    record ->> '$.name' as reservation_name,
    record ->> '$.node_list' as node_list,
    json_instant(record -> '$.start_time') as started_at,
    json_instant(record -> '$.end_time') as ended_at,
    array_to_string(json_texts(record -> '$.flags'), ',') as flags,
    record ->> '$.tres' as tres
from records
