-- severity: warn
-- A source that tells of each day has nothing of this one: a delivery is missing, also where later ones came. Collect the day
-- again; of a day on which the cluster stood still there is nothing to collect.
select
    usage_date,
    cluster,
    missing_sources,
    sources_seen,
    sources_expected
from core.day_trust
where missing_sources is not null
