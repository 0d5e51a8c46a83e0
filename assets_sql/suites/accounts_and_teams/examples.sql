select
    attempts.cluster,
    attempts.account,
    count(distinct attempts.user_name) as users,
    count(*) as attempts,
    unit_hours(sum(attempts.held_seconds * attempts.accelerator_units)) as unattributed_hours
from mart.attempts as attempts
inner join core.clusters as clusters on attempts.cluster = clusters.cluster
where attempts.submitted_at >= clusters.as_of_at - interval 28 day and attempts.team = 'unattributed'
group by attempts.cluster, attempts.account
order by unattributed_hours desc, attempts.cluster asc, attempts.account asc
