-- Of each source and cluster, the emptiest and the fullest day of the last four weeks, by how many records it has beside
-- what is usual: the median of the 28 days before. A source's newest day is not judged, as it may still come in; nor is
-- one with little or irregular before. Two days of each, so that hundreds of clusters are still a small aggregate; what
-- they tell is then looked at in `report.data_trust_daily`, which has all days.
with received as (
    select
        source,
        cluster,
        usage_date,
        rows_accepted + rows_rejected as records
    from report.data_trust_daily
    where source in (
        'slurm_jobs', 'slurm_node_events', 'slurm_account_usage', 'slurm_cluster_usage', 'slurm_queue', 'slurm_reservations'
    )
),

spans as (
    select
        source,
        cluster,
        min(usage_date) as first_date,
        max(usage_date) as newest_date
    from received
    group by source, cluster
),

days_of_sources as (
    select
        spans.source,
        spans.cluster,
        cluster_days.usage_date,
        spans.newest_date,
        coalesce(received.records, 0) as records
    from spans
    inner join core.cluster_days as cluster_days
        on spans.cluster = cluster_days.cluster
        and spans.first_date <= cluster_days.usage_date
        and spans.newest_date - 57 <= cluster_days.usage_date
        and spans.newest_date > cluster_days.usage_date
    left join received
        on spans.source = received.source
        and spans.cluster = received.cluster
        and cluster_days.usage_date = received.usage_date
),

compared as (
    select
        *,
        median(records) over before as usual_records,
        count(case when records > 0 then 1 end) over before as days_before
    from days_of_sources
    window before as (
        partition by source, cluster order by usage_date rows between 28 preceding and 1 preceding
    )
),

judged as (
    select
        source,
        cluster,
        usage_date,
        records,
        usual_records,
        case when usual_records >= 50 and days_before >= 14 then ratio(records, usual_records) end as share_of_usual
    from compared
    where usage_date >= newest_date - 28
),

ranked as (
    select
        *,
        row_number() over (
            partition by source, cluster order by share_of_usual asc nulls last, usage_date desc
        ) as emptiest,
        row_number() over (
            partition by source, cluster order by share_of_usual desc nulls last, usage_date desc
        ) as fullest
    from judged
)

select
    source,
    cluster,
    usage_date,
    records,
    usual_records,
    share_of_usual
from ranked
where emptiest = 1 or fullest = 1
