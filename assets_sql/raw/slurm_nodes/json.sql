-- `sinfo --json` and `scontrol show node --json`: the array `nodes`. A number may be {set, infinite, number}.
with answers as (
    select json_extract(content, '$.nodes[*]') as nodes from document
),

nodes as (
    select
        unnest(nodes) as node,
        generate_subscripts(nodes, 1) as position
    from answers
)

select
    position::bigint as source_line,
    node::varchar as record_text,
    null::varchar as problem,
    node ->> '$.name' as node,
    node ->> '$.gres' as gres,
    node ->> '$.tres' as configured_tres,
    case
        when json_type(node, '$.state') = 'ARRAY' then array_to_string(from_json(node -> '$.state', '["VARCHAR"]'), '+')
        else array_to_string(
            list_concat([node ->> '$.state'], from_json(coalesce(node -> '$.state_flags', '[]'), '["VARCHAR"]')), '+'
        )
    end as state,
    array_to_string(from_json(coalesce(node -> '$.partitions', '[]'), '["VARCHAR"]'), ',') as partitions,
    coalesce(node ->> '$.cpus.number', node ->> '$.cpus') as cpus,
    coalesce(node ->> '$.real_memory.number', node ->> '$.real_memory') as memory_mib,
    node ->> '$.reason' as reason,
    nullif(coalesce(node ->> '$.reason_changed_at.number', node ->> '$.reason_changed_at'), '0') as reason_time
from nodes
