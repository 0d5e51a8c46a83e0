-- severity: warn
-- An entitlement to a pool or model that the inventory does not have, or of a team that the organisation mapping does not.
with capacity as (
    select cluster, pool, accelerator_model from core.node_capacity
    union
    select cluster, pool, '' from core.node_capacity
),

teams as (
    select distinct team
    from core.teams
)

select
    entitlements.cluster,
    entitlements.pool,
    entitlements.accelerator_model,
    entitlements.team,
    case when capacity.pool is null then 'no such accelerators' else 'no such team' end as found,
    entitlements.source_file,
    entitlements.source_line
from core.entitlements as entitlements
left join capacity
    on entitlements.cluster = capacity.cluster
    and entitlements.pool = capacity.pool
    and entitlements.accelerator_model = capacity.accelerator_model
left join teams on entitlements.team = teams.team
where capacity.pool is null or teams.team is null
