-- severity: error
-- What the teams held differs from what the fleet allocated, overcommitted and could not place.
with teams as (
    select
        usage_date,
        cluster,
        pool,
        accelerator_model,
        cast(sum(allocated_unit_seconds) as bigint) as allocated_unit_seconds,
        cast(sum(held_unit_seconds) as bigint) as held_unit_seconds
    from report.team_efficiency_daily
    where usage_date in (select usage_date from days)
    group by usage_date, cluster, pool, accelerator_model
)

select
    fleet.usage_date,
    fleet.cluster,
    fleet.pool,
    fleet.accelerator_model,
    fleet.allocated_unit_seconds,
    teams.allocated_unit_seconds as teams_allocated_unit_seconds,
    teams.held_unit_seconds as teams_held_unit_seconds
from report.fleet_efficiency_daily as fleet
left join teams
    on fleet.usage_date = teams.usage_date
    and fleet.cluster = teams.cluster
    and fleet.pool = teams.pool
    and fleet.accelerator_model = teams.accelerator_model
where fleet.usage_date in (select usage_date from days)
    and (
        fleet.allocated_unit_seconds <> coalesce(teams.allocated_unit_seconds, 0)
        or fleet.allocated_unit_seconds + fleet.overcommit_unit_seconds + fleet.unplaced_unit_seconds
        <> coalesce(teams.held_unit_seconds, 0)
    )
