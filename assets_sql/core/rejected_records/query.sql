-- Lines of several deliveries that tell of one fact are one rejected record: overlapping pulls deliver a line that cannot
-- be read again and again, and it is worth what it is worth once. It is released where the record in use of its fact is
-- no older, or ended (an older one that runs on would hide that the fact went on), or where another delivery of its bill is
-- in force.
with deliveries as (
    select
        load_id,
        min(collected_at) as first_collected_at,
        max(collected_at) as last_collected_at,
        max(content_sha256) as content_sha256
    from landing.deliveries
    group by load_id
),

-- When the record of an attempt was collected, by the name that its file has there.
job_files as (
    select
        source_file,
        min(first_collected_at) as first_collected_at,
        max(last_collected_at) as last_collected_at
    from (
        select
            min(source_file) as source_file,
            min(collected_at) as first_collected_at,
            max(collected_at) as last_collected_at
        from landing.deliveries
        where source_kind = 'slurm_jobs'
        group by load_id
    ) as loads
    group by source_file
),

lines as (
    select
        rejected.source_kind as source,
        coalesce(rejected.cluster, '') as cluster,
        coalesce(
            rejected.record_key,
            coalesce(rejected.cluster, '') || '/text/' || md5(concat_ws(chr(31), rejected.record_text, cast(rejected.record_at as varchar)))
        ) as fact,
        rejected.reject_reason,
        rejected.record_at,
        -- A line of nothing is worth nothing.
        case when trim(rejected.record_text) = '' then 0 else rejected.accelerator_seconds end as accelerator_seconds,
        rejected.record_cost,
        rejected.record_currency,
        rejected.record_text,
        rejected.load_id,
        rejected.source_file,
        rejected.source_line,
        deliveries.first_collected_at,
        deliveries.last_collected_at,
        deliveries.content_sha256
    from landing.rejected as rejected
    inner join deliveries on rejected.load_id = deliveries.load_id
),

-- The newest line, in the order in which core.attempts chooses.
ranked as (
    select
        *,
        row_number() over (
            partition by source, cluster, fact
            order by
                last_collected_at desc nulls last,
                record_at desc nulls last,
                content_sha256 desc,
                source_line desc
        ) as place,
        min(first_collected_at) over (partition by source, cluster, fact) as first_seen_at,
        min(case when record_at is null then first_collected_at end) over (partition by source, cluster, fact)
            as first_undated_at,
        max(last_collected_at) over (partition by source, cluster, fact) as last_seen_at,
        count(*) over (partition by source, cluster, fact) as rows_delivered
    from lines
),

current_loads as (
    select
        load_id,
        bool_or(is_current) as is_current
    from core.bills
    group by load_id
),

-- Attempts whose record in use leaves nothing out that a rejected line tells: it ended, or was collected later, or, where
-- both were collected at once or nobody knows when, knows as late an instant.
released as (
    select
        ranked.fact,
        attempts.source_file
    from ranked
    inner join core.attempts as attempts on ranked.fact = attempts.attempt_id
    left join job_files on attempts.source_file = job_files.source_file
    where ranked.place = 1
        and ranked.source = 'slurm_jobs'
        and (
            (attempts.ended_at is not null and attempts.end_class not in ('open', 'pending'))
            or job_files.last_collected_at > ranked.last_seen_at
            or (job_files.last_collected_at is not null and ranked.last_seen_at is null)
            or (
                job_files.last_collected_at is not distinct from ranked.last_seen_at
                and coalesce(
                    ranked.record_at
                    <= coalesce(attempts.ended_at, attempts.recorded_start_at, attempts.submitted_at),
                    true
                )
            )
        )
),

read as (
    select
        ranked.source || '/' || ranked.fact as rejected_id,
        'raw' as rejected_in,
        ranked.source,
        ranked.cluster,
        ranked.reject_reason,
        ranked.record_at,
        ranked.accelerator_seconds as rejected_seconds,
        ranked.record_cost,
        ranked.record_currency,
        ranked.record_text,
        ranked.first_seen_at,
        ranked.first_undated_at,
        ranked.last_seen_at,
        ranked.rows_delivered,
        released.fact is not null or coalesce(not current_loads.is_current, false) as is_released,
        released.source_file as released_by,
        ranked.load_id,
        ranked.source_file,
        ranked.source_line
    from ranked
    left join released on ranked.source = 'slurm_jobs' and ranked.fact = released.fact
    left join current_loads on ranked.load_id = current_loads.load_id
    where ranked.place = 1
    union all
    select
        'slurm_jobs/' || rejected.attempt_id,
        'core',
        'slurm_jobs',
        rejected.cluster,
        rejected.reject_reason,
        coalesce(attempts.ended_at, attempts.recorded_start_at, attempts.submitted_at),
        rejected.accelerator_seconds_counted,
        null,
        null,
        concat_ws(' ', 'AllocTRES=' || rejected.allocated_tres, 'NodeList=' || rejected.node_list),
        job_files.first_collected_at,
        null,
        job_files.last_collected_at,
        1,
        false,
        null,
        null,
        rejected.source_file,
        rejected.source_line
    from core.rejected_attempts as rejected
    inner join core.attempts as attempts on rejected.attempt_id = attempts.attempt_id
    left join job_files on rejected.source_file = job_files.source_file
),

site_clock as (
    select
        max(as_of_at) as as_of_at,
        max(reporting_time_zone) as reporting_time_zone,
        min(first_at) as first_at
    from core.clusters
)

select
    read.rejected_id,
    cast(timezone(
        site_clock.reporting_time_zone,
        timezone('UTC', coalesce(
            read.record_at,
            last_told(read.first_undated_at, coalesce(clusters.as_of_at, site_clock.as_of_at)),
            site_clock.first_at
        ))
    ) as date) as usage_date,
    read.source,
    read.cluster,
    read.rejected_in,
    read.reject_reason,
    read.is_released,
    read.released_by,
    read.rejected_seconds,
    read.record_cost,
    read.record_currency,
    read.record_at,
    read.first_seen_at,
    read.last_seen_at,
    read.rows_delivered,
    read.record_text,
    read.load_id,
    read.source_file,
    read.source_line
from read
cross join site_clock
left join core.clusters as clusters on read.cluster = clusters.cluster
