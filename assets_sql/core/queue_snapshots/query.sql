-- A delivered file without a single line is a snapshot too: of an empty queue.
with snapshots as (
    select
        cluster,
        taken_at
    from raw.slurm_queue
    union
    select
        cluster,
        collected_at as taken_at
    from landing.deliveries
    where source_kind = 'slurm_queue'
        and collected_at is not null
        and accepted_rows = 0
        and rejected_rows = 0
)

select
    cluster,
    taken_at,
    least(
        lead(taken_at) over (partition by cluster order by taken_at), taken_at + interval 1 hour
    ) as speaks_until_at
from snapshots
