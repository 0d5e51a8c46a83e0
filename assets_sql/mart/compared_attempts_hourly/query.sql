-- Slurm counts every attempt that was eligible before an hour's end, from its recorded start, with its AllocTRES; but jobs
-- of a reservation that does not ignore jobs are replaced by the reservation. It counts a runaway on after the evidence that
-- it is over, and attempts that are rejected here, because nobody declares what their shares are worth. Each way in which
-- that is not the truth is a column.
with compared as (
    select compared_hours.*
    from core.compared_hours as compared_hours
    inner join days on compared_hours.usage_date = days.usage_date
),

bounds as (
    select
        cluster,
        min(starts_at) as first_at,
        max(ends_at) as last_at
    from compared
    group by cluster
),

spans as (
    select
        attempts.cluster,
        attempts.attempt_id,
        attempts.allocated_tres,
        attempts.reservation_name,
        attempts.eligible_at,
        attempts.started_at,
        greatest(attempts.recorded_start_at, bounds.first_at) as starts_at,
        least(coalesce(attempts.ended_at, bounds.last_at), bounds.last_at) as ends_at,
        coalesce(known.ended_at, bounds.last_at) as true_end_at,
        rejected.attempt_id is not null as is_rejected
    from core.attempts as attempts
    left join mart.attempts as known on attempts.attempt_id = known.attempt_id
    left join core.rejected_attempts as rejected on attempts.attempt_id = rejected.attempt_id
    inner join bounds
        on attempts.cluster = bounds.cluster
        and attempts.recorded_start_at < bounds.last_at
        and coalesce(attempts.ended_at, bounds.last_at) > bounds.first_at
    where attempts.started_at is not null
),

counts as (
    select
        strings.tres,
        resources.resource,
        tres_count(strings.tres, resources.resource) as resource_count
    from (select distinct allocated_tres as tres from spans) as strings
    cross join (select distinct resource from compared) as resources
    where tres_count(strings.tres, resources.resource) > 0
),

span_hours as (
    select
        *,
        unnest(generate_series(
            date_trunc('hour', starts_at), ends_at - interval 1 second, interval 1 hour
        )) as hour_at
    from spans
    where starts_at < ends_at
),

held as (
    select
        compared.usage_date,
        compared.hour_at,
        compared.cluster,
        compared.resource,
        span_hours.attempt_id,
        span_hours.reservation_name,
        counts.resource_count,
        coalesce(span_hours.eligible_at < compared.hour_at + interval 1 hour, true) as is_counted,
        greatest(span_hours.starts_at, compared.starts_at) as recorded_from_at,
        greatest(span_hours.started_at, span_hours.starts_at, compared.starts_at) as held_from_at,
        least(span_hours.true_end_at, span_hours.ends_at, compared.ends_at) as held_to_at,
        least(span_hours.ends_at, compared.ends_at) as recorded_to_at,
        span_hours.is_rejected
    from span_hours
    inner join counts on span_hours.allocated_tres = counts.tres
    inner join compared
        on span_hours.cluster = compared.cluster
        and span_hours.hour_at = compared.hour_at
        and counts.resource = compared.resource
        and span_hours.starts_at < compared.ends_at
        and span_hours.ends_at > compared.starts_at
),

held_seconds as (
    select
        *,
        case when is_rejected then 0 else greatest(0, seconds_between(held_from_at, held_to_at)) end as true_seconds,
        case when is_rejected then 0
            else greatest(0, seconds_between(greatest(recorded_from_at, held_to_at), recorded_to_at))
        end as runaway_seconds,
        greatest(0, seconds_between(recorded_from_at, recorded_to_at)) as recorded_seconds
    from held
),

reservations as (
    select distinct
        cluster,
        reservation_id,
        reservation_name,
        starts_at,
        ends_at,
        is_maintenance,
        ignores_jobs,
        reserved_tres
    from core.reservations
),

reservation_names as (
    select distinct
        cluster,
        reservation_name
    from reservations
),

-- Of jobs of a reservation, what they held while one that ignores jobs was there counts as theirs.
kept as (
    select
        held.usage_date,
        held.hour_at,
        held.cluster,
        held.resource,
        held.attempt_id,
        held.recorded_from_at,
        cast(sum(greatest(0, seconds_between(
            greatest(held.recorded_from_at, reservations.starts_at), least(held.recorded_to_at, reservations.ends_at)
        ))) as bigint) as kept_seconds
    from held
    inner join reservations
        on held.cluster = reservations.cluster and held.reservation_name = reservations.reservation_name
    where reservations.ignores_jobs
    group by
        held.usage_date, held.hour_at, held.cluster, held.resource, held.attempt_id, held.recorded_from_at
)

select
    held.usage_date,
    held.hour_at,
    held.cluster,
    held.resource,
    cast(sum(held.resource_count * held.true_seconds) as bigint) as resource_seconds,
    coalesce(cast(sum(
        case when held.is_counted and not held.is_rejected
            then held.resource_count * (held.recorded_seconds - held.true_seconds - held.runaway_seconds) end
    ) as bigint), 0) as resize_overlap_seconds,
    coalesce(cast(sum(
        case when held.is_counted then held.resource_count * held.runaway_seconds end
    ) as bigint), 0) as runaway_seconds_counted,
    coalesce(cast(sum(
        case when held.is_counted and held.is_rejected then held.resource_count * held.recorded_seconds end
    ) as bigint), 0) as rejected_seconds_counted,
    coalesce(cast(sum(
        case when not held.is_counted then held.resource_count * held.true_seconds end
    ) as bigint), 0) as eligible_later_seconds,
    coalesce(cast(sum(
        case when held.is_counted and names.reservation_name is not null
            then held.resource_count * (held.recorded_seconds - coalesce(kept.kept_seconds, 0)) end
    ) as bigint), 0) as reservation_replaced_seconds,
    coalesce(cast(sum(
        case when held.is_counted then held.resource_count
            * case
                when names.reservation_name is null then held.recorded_seconds
                else coalesce(kept.kept_seconds, 0)
            end
        end
    ) as bigint), 0) as their_allocated_seconds
from held_seconds as held
left join reservation_names as names
    on held.cluster = names.cluster and held.reservation_name = names.reservation_name
left join kept
    on held.usage_date = kept.usage_date
    and held.hour_at = kept.hour_at
    and held.cluster = kept.cluster
    and held.resource = kept.resource
    and held.attempt_id = kept.attempt_id
    and held.recorded_from_at = kept.recorded_from_at
group by held.usage_date, held.hour_at, held.cluster, held.resource
