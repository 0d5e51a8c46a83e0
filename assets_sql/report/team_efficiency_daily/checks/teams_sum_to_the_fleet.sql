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
),

fleet as (
    select
        usage_date,
        cluster,
        pool,
        accelerator_model,
        allocated_unit_seconds,
        allocated_unit_seconds + overcommit_unit_seconds + unplaced_unit_seconds as held_unit_seconds
    from report.fleet_efficiency_daily
    where usage_date in (select usage_date from days)
)

select
    coalesce(fleet.usage_date, teams.usage_date) as usage_date,
    coalesce(fleet.cluster, teams.cluster) as cluster,
    coalesce(fleet.pool, teams.pool) as pool,
    coalesce(fleet.accelerator_model, teams.accelerator_model) as accelerator_model,
    fleet.allocated_unit_seconds,
    teams.allocated_unit_seconds as teams_allocated_unit_seconds,
    fleet.held_unit_seconds,
    teams.held_unit_seconds as teams_held_unit_seconds
from fleet
full outer join teams
    on fleet.usage_date = teams.usage_date
    and fleet.cluster = teams.cluster
    and fleet.pool = teams.pool
    and fleet.accelerator_model = teams.accelerator_model
where coalesce(fleet.allocated_unit_seconds, 0) <> coalesce(teams.allocated_unit_seconds, 0)
    or coalesce(fleet.held_unit_seconds, 0) <> coalesce(teams.held_unit_seconds, 0)
