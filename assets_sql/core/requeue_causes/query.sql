-- A node of the attempt went down or was drained within ten minutes of its end: the infrastructure failed. Else, an attempt
-- whose quality of service may preempt its own started on one of its nodes within a minute of its end: it was preempted. A
-- job that left with an exit code of its own had itself requeued.
with requeued as (
    select
        attempts.attempt_id,
        attempts.cluster,
        attempts.qos,
        attempts.ended_at,
        hostlists.node
    from core.attempts as attempts
    inner join core.hostlists as hostlists on attempts.node_list = hostlists.node_list
    where attempts.end_class = 'requeued'
        and attempts.started_at is not null
        and not regexp_matches(coalesce(attempts.exit_code, ''), '^[1-9][0-9]*:0$')
),

failed as (
    select distinct
        requeued.attempt_id,
        'infra_failure' as end_cause
    from requeued
    inner join core.node_events as events
        on requeued.cluster = events.cluster
        and requeued.node = events.node
        and events.unavailability in ('down_unplanned', 'draining_unusable')
        and events.starts_at >= requeued.ended_at - interval 10 minute
        and events.starts_at <= requeued.ended_at + interval 10 minute
),

preempting as (
    select distinct
        qos,
        trim(unnest(string_split(preempts, ','))) as preempted_qos
    from raw.slurm_qos
    where preempts is not null
),

preempted as (
    select distinct
        requeued.attempt_id,
        'preempted' as end_cause
    from requeued
    inner join preempting on requeued.qos = preempting.preempted_qos
    inner join core.attempts as followers
        on requeued.cluster = followers.cluster
        and preempting.qos = followers.qos
        and followers.started_at >= requeued.ended_at
        and followers.started_at <= requeued.ended_at + interval 1 minute
        and followers.submitted_at <= requeued.ended_at
    inner join core.hostlists as follower_nodes
        on followers.node_list = follower_nodes.node_list and requeued.node = follower_nodes.node
)

select
    coalesce(failed.attempt_id, preempted.attempt_id) as attempt_id,
    coalesce(failed.end_cause, preempted.end_cause) as end_cause
from failed
full outer join preempted on failed.attempt_id = preempted.attempt_id
