-- A sweep: every wait is an edge up where it begins and an edge down where it ends. Within a piece of an hour, what waits
-- is the level after its edges times its length, less what the edges' distance from its beginning makes too much.
with bounds as (
    select
        cluster_days.cluster,
        min(cluster_days.starts_at) as first_at,
        max(cluster_days.ends_at) as last_at
    from core.cluster_days as cluster_days
    inner join days on cluster_days.usage_date = days.usage_date
    group by cluster_days.cluster
),

-- What has no end is read apart, so that an engine can leave out what it stores of other times.
present as (
    select
        attempts.*,
        bounds.first_at,
        bounds.last_at
    from mart.attempts as attempts
    inner join bounds
        on attempts.cluster = bounds.cluster
        and attempts.submitted_at < bounds.last_at
        and attempts.ended_at > bounds.first_at
    union all
    select
        attempts.*,
        bounds.first_at,
        bounds.last_at
    from mart.attempts as attempts
    inner join bounds on attempts.cluster = bounds.cluster and attempts.submitted_at < bounds.last_at
    where attempts.ended_at is null
),

waits as (
    select
        attempts.attempt_id,
        attempts.cluster,
        coalesce(attempts.partition_name, '') as partition_name,
        attempts.team,
        attempts.submitted_at,
        coalesce(attempts.job_id_shown, attempts.job_id) as queue_entry,
        regexp_extract(coalesce(attempts.job_id_shown, ''), '^([0-9]+)_', 1) as array_job_id,
        attempts.array_tasks,
        attempts.job_count,
        cast(round(coalesce(attempts.accelerators_requested, attempts.accelerators) * 84000) as bigint) as task_units,
        greatest(attempts.eligible_at, attempts.submitted_at) as eligible_at,
        coalesce(attempts.started_at, attempts.ended_at) as waited_until_at,
        attempts.first_at,
        attempts.last_at
    from present as attempts
    where greatest(attempts.eligible_at, attempts.submitted_at) < attempts.last_at
        and coalesce(attempts.started_at, attempts.ended_at, attempts.last_at) > attempts.first_at
        and attempts.eligible_at is not null
        and not attempts.is_resize_follower
        and attempts.end_class <> 'revoked'
),

-- An array's limits, as snapshots show them; they hold for the tasks that have left that entry since, too.
limits as (
    select distinct
        cluster,
        regexp_extract(queue_entry, '^([0-9]+)_', 1) as array_job_id,
        submitted_at,
        array_task_limit
    from core.queue_reasons
    where array_task_limit > 0 and reason_class = 'capacity'
),

-- A limit of k lets the k tasks that start first compete; the next one competes once one of those has started. The
-- tasks that share a record, as they have not started, come last.
ordered as (
    select
        waits.attempt_id,
        waits.cluster,
        waits.array_job_id,
        waits.submitted_at,
        waits.array_tasks,
        waits.waited_until_at,
        limits.array_task_limit,
        row_number() over (
            partition by waits.cluster, waits.array_job_id, waits.submitted_at, limits.array_task_limit
            order by waits.array_tasks asc, waits.waited_until_at asc nulls last, waits.attempt_id asc
        ) as place
    from waits
    inner join limits
        on waits.cluster = limits.cluster
        and waits.array_job_id = limits.array_job_id
        and waits.submitted_at = limits.submitted_at
),

competitors as (
    select
        *,
        place - 1 + unnest(generate_series(1, least(array_tasks, array_task_limit))) as task_place
    from ordered
),

throttles as (
    select
        later.attempt_id,
        later.array_task_limit,
        case
            when earlier.attempt_id is null then timestamp '1900-01-01'
            else coalesce(earlier.waited_until_at, timestamp '9999-01-01')
        end as competes_from_at
    from competitors as later
    left join ordered as earlier
        on later.cluster = earlier.cluster
        and later.array_job_id = earlier.array_job_id
        and later.submitted_at = earlier.submitted_at
        and later.array_task_limit = earlier.array_task_limit
        and earlier.place = later.task_place - later.array_task_limit
),

own_entries as (
    select
        cluster,
        queue_entry,
        submitted_at,
        min(starts_at) as starts_at
    from core.queue_reasons
    group by cluster, queue_entry, submitted_at
),

-- A task that was singled out (held, say) has an entry of its own from then on.
reasoned as (
    select
        waits.*,
        reasons.reason_class,
        reasons.array_task_limit,
        reasons.starts_at,
        reasons.ends_at
    from waits
    inner join core.queue_reasons as reasons
        on waits.cluster = reasons.cluster
        and waits.queue_entry = reasons.queue_entry
        and waits.submitted_at = reasons.submitted_at
    union all
    select
        waits.*,
        reasons.reason_class,
        reasons.array_task_limit,
        reasons.starts_at,
        least(reasons.ends_at, own_entries.starts_at) as ends_at
    from waits
    inner join core.queue_reasons as reasons
        on waits.cluster = reasons.cluster
        and waits.array_job_id || '_[]' = reasons.queue_entry
        and waits.submitted_at = reasons.submitted_at
    left join own_entries
        on waits.cluster = own_entries.cluster
        and waits.queue_entry = own_entries.queue_entry
        and waits.submitted_at = own_entries.submitted_at
    where waits.array_job_id <> ''
),

-- What is known of a reason is taken from what is unknown, and what a limit holds back from what competes.
shares as (
    select
        waits.*,
        'unknown' as reason_class,
        waits.eligible_at as starts_at,
        waits.last_at as ends_at,
        waits.array_tasks as tasks
    from waits
    union all
    select
        reasoned.* exclude (reason_class, array_task_limit, starts_at, ends_at),
        'unknown' as reason_class,
        reasoned.starts_at,
        reasoned.ends_at,
        -reasoned.array_tasks as tasks
    from reasoned
    union all
    select
        reasoned.* exclude (reason_class, array_task_limit, starts_at, ends_at),
        reasoned.reason_class,
        greatest(reasoned.starts_at, throttles.competes_from_at) as starts_at,
        reasoned.ends_at,
        case when throttles.attempt_id is null then reasoned.array_tasks else 1 end as tasks
    from reasoned
    left join throttles
        on reasoned.attempt_id = throttles.attempt_id
        and reasoned.array_task_limit = throttles.array_task_limit
        and reasoned.reason_class = 'capacity'
    union all
    select
        reasoned.* exclude (reason_class, array_task_limit, starts_at, ends_at),
        'user' as reason_class,
        reasoned.starts_at,
        reasoned.ends_at,
        reasoned.array_tasks as tasks
    from reasoned
    inner join ordered
        on reasoned.attempt_id = ordered.attempt_id
        and reasoned.array_task_limit = ordered.array_task_limit
    where reasoned.reason_class = 'capacity'
    union all
    select
        reasoned.* exclude (reason_class, array_task_limit, starts_at, ends_at),
        'user' as reason_class,
        greatest(reasoned.starts_at, throttles.competes_from_at) as starts_at,
        reasoned.ends_at,
        -1 as tasks
    from reasoned
    inner join throttles
        on reasoned.attempt_id = throttles.attempt_id
        and reasoned.array_task_limit = throttles.array_task_limit
    where reasoned.reason_class = 'capacity'
),

pieces as (
    select
        cluster,
        partition_name,
        team,
        reason_class,
        greatest(starts_at, eligible_at, first_at) as starts_at,
        least(ends_at, waited_until_at, last_at) as ends_at,
        last_at,
        case when job_count = 0 then 0 else tasks end as jobs,
        tasks * task_units as units
    from shares
),

edges as (
    select
        cluster,
        partition_name,
        team,
        reason_class,
        starts_at as edge_at,
        jobs,
        units
    from pieces
    where starts_at < ends_at
    union all
    select
        cluster,
        partition_name,
        team,
        reason_class,
        ends_at,
        -jobs,
        -units
    from pieces
    where starts_at < ends_at and ends_at < last_at
),

-- The edges of a clock's hour are summed before its piece is looked up; not in the few hours that are cut.
placed as (
    select
        *,
        case
            when date_trunc('hour', edge_at) in (
                select hours.hour_at from core.cluster_hours as hours where hours.hour_at <> hours.starts_at
            ) then edge_at
            else date_trunc('hour', edge_at)
        end as from_at
    from edges
),

sums as (
    select
        cluster,
        partition_name,
        team,
        reason_class,
        from_at,
        cast(sum(jobs) as bigint) as jobs,
        cast(sum(units) as bigint) as units,
        cast(sum(jobs * seconds_between(from_at, edge_at)) as bigint) as early_job_seconds,
        cast(sum(units * seconds_between(from_at, edge_at)) as bigint) as early_unit_seconds
    from placed
    group by cluster, partition_name, team, reason_class, from_at
),

steps as (
    select
        sums.cluster,
        sums.partition_name,
        sums.team,
        sums.reason_class,
        hours.hour_at,
        hours.starts_at,
        cast(sum(sums.jobs) as bigint) as jobs,
        cast(sum(sums.units) as bigint) as units,
        cast(sum(sums.early_job_seconds + sums.jobs * seconds_between(hours.starts_at, sums.from_at)) as bigint)
            as early_job_seconds,
        cast(sum(sums.early_unit_seconds + sums.units * seconds_between(hours.starts_at, sums.from_at)) as bigint)
            as early_unit_seconds
    from sums
    inner join core.cluster_hours as hours
        on sums.cluster = hours.cluster
        and date_trunc('hour', sums.from_at) = hours.hour_at
        and sums.from_at >= hours.starts_at
        and sums.from_at < hours.ends_at
    group by
        sums.cluster, sums.partition_name, sums.team, sums.reason_class, hours.hour_at, hours.starts_at
),

levels as (
    select
        cluster,
        partition_name,
        team,
        reason_class,
        hour_at,
        starts_at,
        early_job_seconds,
        early_unit_seconds,
        sum(jobs) over sweep as jobs,
        sum(units) over sweep as units,
        lead(starts_at) over sweep as next_edges_at
    from steps
    window sweep as (
        partition by cluster, partition_name, team, reason_class order by starts_at rows unbounded preceding
    )
),

-- A level lasts until the next piece that has edges; a level of nothing needs no more than its own piece.
lasting as (
    select
        *,
        unnest(generate_series(
            hour_at,
            case when jobs = 0 and units = 0 then hour_at else last_at - interval 1 second end,
            interval 1 hour
        )) as lasting_hour_at
    from (
        select
            levels.*,
            coalesce(levels.next_edges_at, bounds.last_at) as last_at
        from levels
        inner join bounds on levels.cluster = bounds.cluster
    ) as ended
),

waited as (
    select
        hours.usage_date,
        hours.hour_at,
        lasting.cluster,
        lasting.partition_name,
        lasting.team,
        lasting.reason_class,
        cast(sum(
            lasting.jobs * seconds_between(hours.starts_at, hours.ends_at)
            - case when hours.starts_at = lasting.starts_at then lasting.early_job_seconds else 0 end
        ) as bigint) as pending_job_seconds,
        cast(sum(
            lasting.units * seconds_between(hours.starts_at, hours.ends_at)
            - case when hours.starts_at = lasting.starts_at then lasting.early_unit_seconds else 0 end
        ) as bigint) as pending_unit_seconds
    from lasting
    inner join core.cluster_hours as hours
        on lasting.cluster = hours.cluster
        and lasting.lasting_hour_at = hours.hour_at
        and hours.starts_at >= lasting.starts_at
        and hours.starts_at < lasting.last_at
    inner join days on hours.usage_date = days.usage_date
    group by
        hours.usage_date, hours.hour_at, lasting.cluster, lasting.partition_name, lasting.team, lasting.reason_class
)

select
    usage_date,
    hour_at,
    cluster,
    partition_name,
    team,
    reason_class,
    pending_job_seconds,
    pending_unit_seconds,
    unit_accelerator_seconds(pending_unit_seconds) as pending_accelerator_seconds
from waited
where pending_job_seconds <> 0 or pending_unit_seconds <> 0
