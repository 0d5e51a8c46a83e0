select
    state,
    unit_hours(sum(unit_seconds)) as hours
from result
group by state
