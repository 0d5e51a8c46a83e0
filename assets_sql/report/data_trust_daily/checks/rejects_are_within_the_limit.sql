-- severity: error
-- Of a source's records of a day more were rejected than the site file accepts ([trust] reject_share_limit). See which and
-- why with `capacity rejects`; deliver the file again, or raise the limit. Rejected records without a time that can be read
-- (no usage_date) are of no day, and held against all records of their source; those that name no cluster, against the
-- records of all clusters, one of which they are of.
with rejected as (
    select
        case when record_at is not null then usage_date end as usage_date,
        source,
        cluster,
        count(*) as rows_rejected
    from core.rejected_records
    where not is_released
    group by case when record_at is not null then usage_date end, source, cluster
),

-- Of each day and cluster, of all days (no date), and of all clusters (no name).
accepted as (
    select
        usage_date,
        source,
        cluster,
        cast(sum(rows_accepted) as bigint) as rows_accepted
    from report.data_trust_daily
    group by grouping sets ((usage_date, source, cluster), (usage_date, source), (source, cluster), (source))
)

select
    rejected.usage_date,
    rejected.source,
    rejected.cluster,
    rejected.rows_rejected,
    coalesce(accepted.rows_accepted, 0) as rows_accepted,
    settings.reject_share_limit
from rejected
cross join site.settings as settings
left join accepted
    on rejected.source = accepted.source
    and rejected.usage_date is not distinct from accepted.usage_date
    and nullif(rejected.cluster, '') is not distinct from accepted.cluster
where rejected.rows_rejected > settings.reject_rows_tolerated
    and cast(rejected.rows_rejected as double)
    > settings.reject_share_limit * cast(rejected.rows_rejected + coalesce(accepted.rows_accepted, 0) as double)
