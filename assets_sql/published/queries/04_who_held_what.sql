-- Which team held how much, and what share of all that was allocated?
-- held = allocated + overcommitted + unplaced; only allocated is part of what is installed.
select
    team,
    accelerator_model,
    report.accelerator_hours(sum(allocated_unit_seconds)) as allocated_hours,
    report.accelerator_hours(sum(held_unit_seconds)) as held_hours,
    report.rate(sum(allocated_unit_seconds), sum(sum(allocated_unit_seconds)) over ()) as share_of_allocated,
    sum(jobs_started) as attempts_started,
    sum(jobs_ended) as attempts_ended
from report.team_efficiency_daily
where accelerator_model <> 'none'
group by team, accelerator_model
order by allocated_hours desc, team asc, accelerator_model asc
