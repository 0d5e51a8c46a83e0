-- severity: warn
-- Bills break what FOCUS 1.2 requires of any provider: their charges count, but what they leave out cannot be relied upon.
select *
from report.focus_conformance
where is_required
