-- Until when each cluster's records speak: what was asked for, else what a delivery declares, else the newest record.
-- Bills are the records of what no scheduler manages, and of what no rule assigns to a cluster.
with sites as (
    select
        max(reporting_time_zone) as reporting_time_zone,
        min(first_at) as first_at,
        max(as_of_at) as as_of_at
    from site.clusters
),

billed as (
    select
        min(starts_at) as oldest_at,
        max(case when charge_category = 'Usage' then ends_at end) as newest_at
    from core.billed_charges
),

collected as (
    select max(collected_at) as collected_at
    from core.bills
    where is_current
),

clusters as (
    select
        cluster,
        scheduler,
        reporting_time_zone,
        first_at,
        as_of_at
    from site.clusters
    union all
    select
        'unassigned',
        'none',
        sites.reporting_time_zone,
        sites.first_at,
        sites.as_of_at
    from sites
    where exists (select 1 from core.billed_charges where cluster = 'unassigned')
),

newest_records as (
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
    union all
    select
        clusters.cluster,
        billed.newest_at,
        billed.oldest_at,
        collected.collected_at
    from clusters
    cross join billed
    cross join collected
    where clusters.scheduler = 'none'
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
    from clusters
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
from clusters
left join declared on clusters.cluster = declared.cluster
left join records on clusters.cluster = records.cluster
