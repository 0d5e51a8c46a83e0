select
    attempts.cluster,
    attempts.state,
    attempts.partition_name,
    count(*) as attempts,
    count(case when attempts.started_at is null then 1 end) as never_started,
    count(case when attempts.started_at = attempts.ended_at then 1 end) as zero_seconds
from core.attempts as attempts
inner join core.clusters as clusters on attempts.cluster = clusters.cluster
where attempts.submitted_at >= clusters.as_of_at - interval 28 day and attempts.ended_at is not null
group by attempts.cluster, attempts.state, attempts.partition_name
order by attempts desc, attempts.cluster asc, attempts.state asc, attempts.partition_name asc
