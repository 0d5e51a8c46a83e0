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
    held.account,
    held.user_name,
    held.attempts
from held
left join associated
    on held.cluster = associated.cluster
    and held.account = associated.account
    and held.user_name = associated.user_name
where associated.user_name is null
order by held.attempts desc, held.cluster asc, held.account asc, held.user_name asc
