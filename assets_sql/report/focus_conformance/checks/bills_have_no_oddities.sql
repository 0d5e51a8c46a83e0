-- severity: warn
-- What no rule of the specification forbids and yet is hardly meant: usage of a negative amount that is no correction, a
-- number for an availability zone.
select *
from report.focus_conformance
where rule_id like 'Oddity-%'
