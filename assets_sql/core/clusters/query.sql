-- Until when each cluster's records speak: what was asked for, else what a delivery declares, else the newest record.
with newest_records as (
    select
        cluster,
        greatest(max(submitted_at), max(started_at), max(ended_at)) as newest_at,
        min(submitted_at) as oldest_at,
        max(collected_at) as collected_at
    from raw.slurm_jobs
    group by cluster
    union all
    select
        cluster,
        greatest(max(started_at), max(ended_at)),
        min(started_at),
        max(collected_at)
    from raw.slurm_node_events
    group by cluster
),

records as (
    select
        cluster,
        max(newest_at) as newest_record_at,
        min(oldest_at) as first_record_at,
        max(collected_at) as collected_at
    from newest_records
    group by cluster
),

-- A delivery is about the cluster that the site file names for it, and about those that its records name. Snapshots of
-- the queue come many times between two deliveries of jobs, and do not make the jobs any newer.
named as (
    select
        cluster,
        max(collected_at) as collected_at
    from landing.deliveries
    where cluster is not null and coalesce(source_kind, '') <> 'slurm_queue'
    group by cluster
),

declared as (
    select
        clusters.cluster,
        greatest(named.collected_at, records.collected_at) as collected_at
    from site.clusters as clusters
    left join named on clusters.cluster = named.cluster
    left join records on clusters.cluster = records.cluster
)

select
    clusters.cluster,
    clusters.scheduler,
    clusters.reporting_time_zone,
    clusters.first_at,
    coalesce(clusters.as_of_at, declared.collected_at, records.newest_record_at) as as_of_at,
    case
        when clusters.as_of_at is not null then 'asked for'
        when declared.collected_at is not null then 'declared by a delivery'
        when records.newest_record_at is not null then 'newest record'
    end as as_of_source,
    records.first_record_at
from site.clusters as clusters
left join declared on clusters.cluster = declared.cluster
left join records on clusters.cluster = records.cluster
