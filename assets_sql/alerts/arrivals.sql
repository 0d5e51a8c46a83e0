-- One row per source and cluster that delivers with times: when it delivered last, how often it did, and how far apart
-- its last deliveries usually were.
--
-- A delivery's time is when it says that it was collected. Sources whose records never cease need not say it: the
-- newest record of each day tells.
with times as (
    select
        deliveries.source_kind,
        coalesce(deliveries.cluster, records.cluster) as cluster,
        coalesce(deliveries.collected_at, records.newest_at) as delivered_at
    from landing.deliveries as deliveries
    left join pipeline.state.load_days as records on deliveries.load_id = records.load_id
),

clusters as (
    select distinct source_kind, cluster
    from times
    where delivered_at is not null and cluster is not null
),

-- A file that names no cluster, because it has no record, may be about any.
deliveries as (
    select distinct
        times.source_kind,
        coalesce(clusters.cluster, '') as cluster,
        times.delivered_at
    from times
    left join clusters
        on times.source_kind = clusters.source_kind
        and (times.cluster is null or times.cluster = clusters.cluster)
    where times.delivered_at is not null
),

gaps as (
    select
        source_kind,
        cluster,
        delivered_at,
        epoch_us(delivered_at)
        - epoch_us(lag(delivered_at) over (partition by source_kind, cluster order by delivered_at)) as gap,
        row_number() over (partition by source_kind, cluster order by delivered_at desc) as place
    from deliveries
)

select
    source_kind,
    cluster,
    max(delivered_at) as newest_at,
    count(*) as deliveries,
    quantile_cont(gap, 0.5) filter (where place <= 20) / 3600e6 as usual_gap_hours
from gaps
group by source_kind, cluster
order by source_kind, cluster
