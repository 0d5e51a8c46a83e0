select * exclude (cluster)
from result
where hour_at = timestamp '2026-01-01 18:00:00' or hour_at >= timestamp '2026-01-02 18:00:00'
