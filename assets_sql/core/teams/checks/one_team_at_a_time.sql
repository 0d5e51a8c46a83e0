-- severity: error
-- An account or user is mapped to two teams at the same time.
select
    one.cluster,
    one.account,
    one.user_name,
    one.team,
    other.team as other_team,
    greatest(one.valid_from_at, other.valid_from_at) as since_at
from core.teams as one
inner join core.teams as other
    on one.cluster = other.cluster
    and one.account = other.account
    and one.user_name = other.user_name
    and one.valid_from_at < other.valid_from_at
    and other.valid_from_at < one.valid_to_at
