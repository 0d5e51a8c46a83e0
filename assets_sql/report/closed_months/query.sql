-- The months whose published numbers stay as they were signed, whatever comes later.
select
    usage_month,
    closed_version,
    closed_at
from site.closed_months
