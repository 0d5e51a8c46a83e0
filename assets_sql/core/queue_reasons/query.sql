-- Why each entry of the queue waited, from when to when. An array's tasks that wait together are the entry `123_[]`.
with reasons as (
    select distinct coalesce(reason, '') as reason
    from raw.slurm_queue
),

-- `other` has a reason that is none of the four classes; `unknown` has none, as before the scheduler looked at it.
classes as (
    select
        reason,
        case
            when reason = '' then 'unknown'
            when regexp_matches(reason, '^(Resources|Priority|ReqNodeNotAvail|NodeDown|FrontEndDown|Nodes required)')
                then 'capacity'
            when regexp_matches(reason, '^(Dependency|BeginTime|JobHeldUser|JobArrayTaskLimit|ArrayTaskLimit|BadConstraints)')
                then 'user'
            when regexp_matches(reason, '^(QOS|Assoc|Invalid|Max|AccountNotAllowed|PartitionTimeLimit|PartitionNodeLimit)')
                then 'policy'
            when regexp_matches(reason, '^(JobHeldAdmin|JobHoldMaxRequeue|Reservation|Partition|launch failed)')
                then 'admin'
            else 'other'
        end as reason_class
    from reasons
),

lines as (
    select
        queue.cluster,
        case
            when regexp_matches(queue.job_id_shown, '_\[') then regexp_extract(queue.job_id_shown, '^([0-9]+)_', 1) || '_[]'
            else queue.job_id_shown
        end as queue_entry,
        queue.submitted_at,
        queue.taken_at,
        min(classes.reason_class) as reason_class,
        max(cast(nullif(regexp_extract(queue.job_id_shown, '%([0-9]{1,9})\]$', 1), '') as bigint)) as array_task_limit
    from raw.slurm_queue as queue
    inner join classes on coalesce(queue.reason, '') = classes.reason
    where queue.state in ('PENDING', 'REQUEUED', 'REQUEUE_HOLD', 'SPECIAL_EXIT', 'RESV_DEL_HOLD')
    group by queue.cluster, queue_entry, queue.submitted_at, queue.taken_at
),

spoken as (
    select
        lines.*,
        snapshots.speaks_until_at,
        lag(lines.taken_at) over entry as previous_taken_at,
        lag(snapshots.speaks_until_at) over entry as previous_speaks_until_at,
        lag(lines.reason_class) over entry as previous_reason_class,
        lag(lines.array_task_limit) over entry as previous_array_task_limit
    from lines
    inner join core.queue_snapshots as snapshots
        on lines.cluster = snapshots.cluster and lines.taken_at = snapshots.taken_at
    window entry as (partition by lines.cluster, lines.queue_entry, lines.submitted_at order by lines.taken_at)
),

-- Stretches are cut at midnight, so that a new snapshot changes nothing about the days before.
compared as (
    select
        *,
        case
            when previous_speaks_until_at = taken_at
                and previous_reason_class = reason_class
                and coalesce(previous_array_task_limit, -1) = coalesce(array_task_limit, -1)
                and date_trunc('day', previous_taken_at) = date_trunc('day', taken_at) then 0
            else 1
        end as is_first
    from spoken
),

stretches as (
    select
        *,
        sum(is_first) over (
            partition by cluster, queue_entry, submitted_at order by taken_at rows unbounded preceding
        ) as stretch
    from compared
)

select
    cluster,
    queue_entry,
    submitted_at,
    min(reason_class) as reason_class,
    min(array_task_limit) as array_task_limit,
    min(taken_at) as starts_at,
    max(speaks_until_at) as ends_at
from stretches
group by cluster, queue_entry, submitted_at, stretch
