-- severity: warn
-- Only the id of the reservation is known (`#3`: the JSON of Slurm 22.05 lacks its name), so that what the attempt holds
-- is not known to be the reservation's own. Deliver the records as text.
select
    attempt_id,
    reservation_name
from core.attempts
where reservation_name like '#%'
