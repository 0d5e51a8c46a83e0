-- What does each team owe for a month, and what would it under another policy for what nobody used?
-- Each policy's column sums to the cost. It grows while a bill or a price is missing (is_complete is false).
select
    usage_month,
    team,
    currency,
    sum(direct_cost) filter (where idle_policy = 'central') as direct_cost,
    sum(total_cost) filter (where idle_policy = 'central') as central,
    sum(total_cost) filter (where idle_policy = 'proportional') as proportional,
    sum(total_cost) filter (where idle_policy = 'entitlement') as entitlement,
    sum(total_cost) filter (where idle_policy = 'hybrid') as hybrid,
    bool_and(is_complete) as is_complete
from report.showback_monthly
group by usage_month, team, currency
order by usage_month, currency, team
