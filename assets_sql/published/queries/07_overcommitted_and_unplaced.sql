-- Who held more than a node has, or held on nodes that the inventory does not know?
-- Both stand beside the ledger: they are never part of what is installed.
select
    cluster,
    node,
    accelerator_model,
    team,
    account,
    user_name,
    report.accelerator_hours(sum(overcommit_unit_seconds)) as overcommit_hours,
    report.accelerator_hours(sum(unplaced_unit_seconds)) as unplaced_hours,
    count(distinct attempt_id) as attempts
from mart.attempt_hours
where overcommit_unit_seconds > 0 or unplaced_unit_seconds > 0
group by cluster, node, accelerator_model, team, account, user_name
order by
    sum(overcommit_unit_seconds) + sum(unplaced_unit_seconds) desc,
    cluster asc,
    node asc,
    accelerator_model asc,
    team asc,
    account asc,
    user_name asc
