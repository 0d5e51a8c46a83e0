-- severity: error
-- Of a source's records of a day more were rejected than the site file accepts ([trust] reject_share_limit). See which and
-- why with `capacity rejects`; deliver the file again, or raise the limit.
select
    trust.usage_date,
    trust.source,
    trust.cluster,
    trust.rows_rejected,
    trust.rows_accepted,
    settings.reject_share_limit
from report.data_trust_daily as trust
cross join site.settings as settings
where trust.rows_rejected > settings.reject_rows_tolerated
    and cast(trust.rows_rejected as double)
    > settings.reject_share_limit * cast(trust.rows_rejected + trust.rows_accepted as double)
