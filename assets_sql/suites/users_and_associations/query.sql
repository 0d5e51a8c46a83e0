-- Users of attempts submitted in the last four weeks under an account, by cluster, and those whom no delivery of the
-- scheduler's associations knows there; of clusters whose associations are delivered with users.
with associated as (
    select distinct
        cluster,
        account,
        user_name
    from raw.slurm_associations
),

held as (
    select
        attempts.cluster,
        attempts.account,
        attempts.user_name,
        count(*) as attempts
    from core.attempts as attempts
    inner join core.clusters as clusters on attempts.cluster = clusters.cluster
    where attempts.submitted_at >= clusters.as_of_at - interval 28 day
        and attempts.user_name is not null
        and attempts.cluster in (select cluster from associated where user_name is not null)
    group by attempts.cluster, attempts.account, attempts.user_name
)

select
    held.cluster,
    count(*) as users,
    count(case when associated.user_name is null then 1 end) as users_without_association,
    ratio(count(case when associated.user_name is null then 1 end), count(*)) as unassociated_rate
from held
left join associated
    on held.cluster = associated.cluster
    and held.account = associated.account
    and held.user_name = associated.user_name
group by held.cluster
