-- Each delivered file is a snapshot, even one in which nothing waits.
with snapshots as (
    select distinct
        cluster,
        collected_at as taken_at
    from landing.deliveries
    where source_kind = 'slurm_queue' and collected_at is not null
)

select
    cluster,
    taken_at,
    least(
        lead(taken_at) over (partition by cluster order by taken_at), taken_at + interval 1 hour
    ) as speaks_until_at
from snapshots
