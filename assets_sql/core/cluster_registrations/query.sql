-- An event without a node is the cluster's: its controller registered, or (with a state) lost the accounting database.
-- Of a registration's records the one collected last wins.
with winners as (
    select *
    from raw.slurm_node_events
    where node is null
    qualify row_number() over (
        partition by cluster, started_at
        order by collected_at desc nulls last, ended_at desc nulls last, content_sha256 desc, source_line desc
    ) = 1
)

select
    cluster,
    started_at as starts_at,
    ended_at as ends_at,
    node_state is null and coalesce(state_raw, 0) = 0 as is_connected,
    node_tres as registered_tres,
    source_file,
    source_line
from winners
