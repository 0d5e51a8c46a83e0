-- Evidence that an open attempt is over: one of its nodes went down, the attempts that started after it need the
-- accelerators that it claims, or a snapshot of the queue lists jobs that run and it is not among them. What is older than
-- the last snapshot that shows it is no evidence. Suspended attempts may share a node with others and are not judged.
with candidates as (
    select
        attempts.attempt_id,
        attempts.cluster,
        attempts.job_id,
        attempts.job_id_shown,
        attempts.submitted_at,
        attempts.allocated_tres,
        attempts.node_list,
        attempts.started_at,
        clusters.as_of_at
    from core.attempts as attempts
    inner join core.clusters as clusters on attempts.cluster = clusters.cluster
    where attempts.is_open
        and attempts.ended_at is null
        and attempts.started_at < clusters.as_of_at
        and attempts.state not in ('SUSPENDED', 'STOPPED')
),

candidate_nodes as (
    select
        candidates.*,
        hostlists.node
    from candidates
    inner join core.hostlists as hostlists on candidates.node_list = hostlists.node_list
),

-- Down, the scheduler ends what runs on a node; on one that fails (FAIL) or does not respond, jobs may run on.
downs as (
    select
        candidate_nodes.attempt_id,
        candidate_nodes.node,
        events.starts_at as evidence_at,
        'node_down' as evidence
    from candidate_nodes
    inner join core.node_events as events
        on candidate_nodes.cluster = events.cluster
        and candidate_nodes.node = events.node
        and events.unavailability = 'down_unplanned'
        and regexp_matches(events.node_state, 'DOWN')
        and events.starts_at > candidate_nodes.started_at
        and events.starts_at < candidate_nodes.as_of_at
),

-- A snapshot lists what runs where some of it runs; one of which a line was rejected may have lost the attempt.
lists as (
    select
        cluster,
        load_id,
        taken_at,
        count(*) as listed_jobs
    from raw.slurm_queue
    where state not in ('PENDING', 'REQUEUE_HOLD', 'REQUEUED', 'SPECIAL_EXIT', 'RESV_DEL_HOLD')
    group by cluster, load_id, taken_at
),

whole_lists as (
    select
        lists.cluster,
        lists.taken_at,
        max(lists.listed_jobs) as listed_jobs
    from lists
    left join landing.rejected as rejected
        on lists.load_id = rejected.load_id and coalesce(rejected.record_at, lists.taken_at) = lists.taken_at
    where rejected.load_id is null
    group by lists.cluster, lists.taken_at
),

-- A resized job keeps its submission in the queue, where its records have later ones; a requeued one gets a new one.
sightings as (
    select
        candidates.attempt_id,
        max(queue.taken_at) as seen_at
    from candidates
    inner join raw.slurm_queue as queue
        on candidates.cluster = queue.cluster
        and queue.job_id_shown = coalesce(candidates.job_id_shown, candidates.job_id)
        and queue.submitted_at <= candidates.submitted_at
        and queue.taken_at >= candidates.started_at
    group by candidates.attempt_id
),

-- The collector's clock may be wrong by seconds. Without the id that is shown, the task of an array is not recognised.
missed as (
    select
        candidates.attempt_id,
        whole_lists.taken_at,
        whole_lists.listed_jobs,
        count(*) over (partition by whole_lists.cluster, whole_lists.taken_at) as missed_attempts
    from candidates
    left join sightings on candidates.attempt_id = sightings.attempt_id
    inner join whole_lists
        on candidates.cluster = whole_lists.cluster
        and whole_lists.taken_at > greatest(
            candidates.started_at + interval 1 minute, coalesce(sightings.seen_at, candidates.started_at)
        )
        and whole_lists.taken_at < candidates.as_of_at
    where candidates.job_id_shown is not null or sightings.attempt_id is not null
),

-- A snapshot that lacks more than it lists was not shown all (PrivateData, one partition): it contradicts nobody.
absences as (
    select
        attempt_id,
        cast(null as varchar) as node,
        min(taken_at) as evidence_at,
        'not_in_queue' as evidence
    from missed
    where missed_attempts <= listed_jobs
    group by attempt_id
),

-- Who held what on the nodes of the candidates since the first of them began: few host lists, most of them lately.
busy_nodes as (
    select
        cluster,
        node,
        min(started_at) as first_at
    from candidate_nodes
    group by cluster, node
),

busy_lists as (
    select
        busy_nodes.cluster,
        hostlists.node_list,
        min(busy_nodes.first_at) as first_at
    from busy_nodes
    inner join core.hostlists as hostlists on busy_nodes.node = hostlists.node
    group by busy_nodes.cluster, hostlists.node_list
),

holders as (
    select
        attempts.attempt_id,
        attempts.cluster,
        attempts.allocated_tres,
        attempts.node_list,
        attempts.started_at,
        coalesce(attempts.ended_at, timestamp '9999-01-01') as ended_at
    from core.attempts as attempts
    inner join busy_lists
        on attempts.cluster = busy_lists.cluster
        and attempts.node_list = busy_lists.node_list
        and attempts.started_at >= busy_lists.first_at
    where attempts.started_at < coalesce(attempts.ended_at, timestamp '9999-01-01')
),

holdings as (
    select
        holders.attempt_id,
        holders.cluster,
        holders.started_at,
        holders.ended_at,
        placements.node,
        placements.accelerator_model,
        placements.accelerator_units
    from holders
    left join core.epoch_days as epochs
        on holders.cluster = epochs.cluster
        and date_trunc('day', holders.started_at) = epochs.start_day_at
        and holders.started_at >= epochs.valid_from_at
        and holders.started_at < epochs.valid_to_at
    inner join core.placements as placements
        on holders.cluster = placements.cluster
        and holders.allocated_tres = placements.allocated_tres
        and holders.node_list = placements.node_list
        and coalesce(epochs.epoch_at, timestamp '1900-01-01') = placements.epoch_at
    inner join busy_nodes
        on placements.cluster = busy_nodes.cluster
        and placements.node = busy_nodes.node
        and holders.started_at >= busy_nodes.first_at
),

claims as (
    select
        candidates.attempt_id,
        candidates.as_of_at,
        holdings.cluster,
        holdings.node,
        holdings.accelerator_model,
        holdings.started_at,
        holdings.accelerator_units
    from candidates
    inner join holdings on candidates.attempt_id = holdings.attempt_id
    left join (select distinct attempt_id from core.suspensions) as suspended
        on candidates.attempt_id = suspended.attempt_id
    where suspended.attempt_id is null
),

later as (
    select
        claims.*,
        holdings.started_at as later_start_at,
        holdings.ended_at as later_end_at,
        holdings.accelerator_units as later_units
    from claims
    inner join holdings
        on claims.cluster = holdings.cluster
        and claims.node = holdings.node
        and claims.accelerator_model = holdings.accelerator_model
        and claims.attempt_id <> holdings.attempt_id
        and (
            holdings.started_at > claims.started_at
            or (holdings.started_at = claims.started_at and holdings.attempt_id > claims.attempt_id)
        )
),

edges as (
    select
        attempt_id,
        as_of_at,
        cluster,
        node,
        accelerator_model,
        accelerator_units,
        later_start_at as edge_at,
        later_units as added_units
    from later
    union all
    select
        attempt_id,
        as_of_at,
        cluster,
        node,
        accelerator_model,
        accelerator_units,
        later_end_at,
        -later_units
    from later
),

-- At one instant what ends goes before what begins.
claimed as (
    select
        *,
        accelerator_units + sum(added_units) over (
            partition by attempt_id, node, accelerator_model
            order by edge_at, added_units rows unbounded preceding
        ) as claimed_units
    from edges
),

-- The scheduler may know more accelerators than the inventory: then nothing is contradicted.
known_units as (
    select
        cluster,
        node,
        cast(sum(installed_accelerators) as bigint) * 84000 as scheduler_units
    from core.node_snapshots
    group by cluster, node
),

reallocations as (
    select
        claimed.attempt_id,
        claimed.node,
        claimed.edge_at as evidence_at,
        'node_reallocated' as evidence
    from claimed
    inner join core.node_capacity as capacity
        on claimed.cluster = capacity.cluster
        and claimed.node = capacity.node
        and claimed.accelerator_model = capacity.accelerator_model
        and claimed.edge_at >= capacity.valid_from_at
        and claimed.edge_at < capacity.valid_to_at
        and capacity.installed_units > 0
    left join known_units on claimed.cluster = known_units.cluster and claimed.node = known_units.node
    where claimed.added_units > 0
        and claimed.edge_at < claimed.as_of_at
        and claimed.claimed_units > greatest(capacity.installed_units, coalesce(known_units.scheduler_units, 0))
),

evidence as (
    select * from downs
    union all
    select * from reallocations
    union all
    select * from absences
),

earliest as (
    select evidence.*
    from evidence
    left join sightings on evidence.attempt_id = sightings.attempt_id
    where sightings.seen_at is null or evidence.evidence_at > sightings.seen_at
    qualify row_number() over (
        partition by evidence.attempt_id order by evidence.evidence_at, evidence.evidence, evidence.node
    ) = 1
)

select
    candidates.attempt_id,
    candidates.cluster,
    candidates.started_at,
    earliest.evidence_at as ended_at,
    earliest.evidence,
    earliest.node,
    seconds_between(earliest.evidence_at, candidates.as_of_at) as runaway_seconds
from candidates
inner join earliest on candidates.attempt_id = earliest.attempt_id
