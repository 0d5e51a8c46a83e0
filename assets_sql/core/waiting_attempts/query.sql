-- What happens only after as_of has not happened yet. The follower of a resize does not wait; a revoked sibling waits
-- in another cluster.
select
    attempts.attempt_id,
    attempts.cluster,
    attempts.submitted_at,
    clusters.as_of_at as waits_until_at
from core.attempts as attempts
inner join core.clusters as clusters on attempts.cluster = clusters.cluster
where attempts.submitted_at < clusters.as_of_at
    and coalesce(attempts.started_at, clusters.as_of_at) >= clusters.as_of_at
    and coalesce(attempts.ended_at, timestamp '9999-01-01') > clusters.as_of_at
    and not attempts.is_resize_follower
    and attempts.end_class <> 'revoked'
