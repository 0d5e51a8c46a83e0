-- Cut to the attempt's own time: a resized job's suspensions stand at the record that ran.
with winners as (
    select *
    from raw.slurm_suspensions
    qualify row_number() over (
        partition by cluster, db_index, suspended_at
        order by collected_at desc nulls last, resumed_at desc nulls last, content_sha256 desc, source_line desc
    ) = 1
)

select
    attempts.attempt_id,
    attempts.cluster,
    greatest(winners.suspended_at, attempts.started_at) as starts_at,
    max(least(winners.resumed_at, attempts.ended_at)) as ends_at
from winners
inner join core.attempts as attempts
    on winners.cluster = attempts.cluster
    and winners.db_index = attempts.db_index
    and winners.suspended_at < coalesce(attempts.ended_at, timestamp '9999-01-01')
    and coalesce(winners.resumed_at, timestamp '9999-01-01') > attempts.started_at
where winners.resumed_at is null or winners.resumed_at > winners.suspended_at
group by attempts.attempt_id, attempts.cluster, greatest(winners.suspended_at, attempts.started_at)
