-- severity: error
-- Of a source's records of a day more were rejected than the site file accepts ([trust] reject_share_limit). See which and
-- why with `capacity rejects`; deliver the file again, or raise the limit. Rejected records that name no cluster are held
-- against the records of all clusters, one of which they are of.
with accepted as (
    select
        usage_date,
        source,
        cluster,
        rows_rejected,
        case
            when cluster = '' then sum(rows_accepted) over (partition by usage_date, source)
            else rows_accepted
        end as rows_accepted
    from report.data_trust_daily
)

select
    accepted.usage_date,
    accepted.source,
    accepted.cluster,
    accepted.rows_rejected,
    accepted.rows_accepted,
    settings.reject_share_limit
from accepted
cross join site.settings as settings
where accepted.rows_rejected > settings.reject_rows_tolerated
    and cast(accepted.rows_rejected as double)
    > settings.reject_share_limit * cast(accepted.rows_rejected + accepted.rows_accepted as double)
