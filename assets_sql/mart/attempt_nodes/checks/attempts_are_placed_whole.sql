-- severity: error
-- An attempt that held accelerators is on no node, and is not rejected either.
select attempts.attempt_id
from attempts_in_scope as attempts
left join core.rejected_attempts as rejected on attempts.attempt_id = rejected.attempt_id
left join mart.attempt_nodes as nodes on attempts.attempt_id = nodes.attempt_id
where attempts.started_at is not null
    and attempts.holds_accelerators
    and rejected.attempt_id is null
    and nodes.attempt_id is null
