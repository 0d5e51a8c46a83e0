-- How much accelerator time did attempts hold that failed, were preempted, requeued or cancelled?
-- What was held, not what was lost: how much of it was saved in a checkpoint is not known.
select
    attempts.cluster,
    attempts.end_class,
    count(distinct attempts.attempt_id) as attempts,
    report.accelerator_hours(sum(hours.held_unit_seconds)) as held_hours,
    report.rate(
        sum(hours.held_unit_seconds), sum(sum(hours.held_unit_seconds)) over (partition by attempts.cluster)
    ) as share_of_held
from mart.attempt_hours as hours
inner join mart.attempts as attempts on hours.attempt_id = attempts.attempt_id
group by attempts.cluster, attempts.end_class
order by attempts.cluster asc, held_hours desc, attempts.end_class asc
