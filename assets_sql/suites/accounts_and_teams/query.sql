-- Accounts of attempts submitted in the last four weeks, by cluster, and what of them no line of the organisation mapping
-- gives to a team; of clusters that the mapping has lines for.
with mapped as (
    select clusters.cluster
    from core.clusters as clusters
    where exists (select 1 from core.teams as teams where teams.cluster in ('', clusters.cluster))
),

accounts as (
    select
        attempts.cluster,
        coalesce(attempts.account, '') as account,
        max(case when attempts.team = 'unattributed' then 1 else 0 end) as is_unattributed,
        cast(sum(attempts.held_seconds * attempts.accelerator_units) as bigint) as unit_seconds,
        cast(sum(case
            when attempts.team = 'unattributed' then attempts.held_seconds * attempts.accelerator_units else 0
        end) as bigint) as unattributed_unit_seconds
    from mart.attempts as attempts
    inner join core.clusters as clusters on attempts.cluster = clusters.cluster
    where attempts.submitted_at >= clusters.as_of_at - interval 28 day
        and attempts.cluster in (select cluster from mapped)
    group by attempts.cluster, coalesce(attempts.account, '')
)

select
    cluster,
    count(*) as accounts,
    cast(sum(is_unattributed) as bigint) as accounts_without_team,
    unit_hours(sum(unattributed_unit_seconds)) as unattributed_hours,
    ratio(sum(unattributed_unit_seconds), sum(unit_seconds)) as unattributed_rate
from accounts
group by cluster
