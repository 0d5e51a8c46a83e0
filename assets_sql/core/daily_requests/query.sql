-- A request over several nodes needs its smallest share on each; what a request does not say, it does not need. An array is
-- as many requests as its tasks.
with counted as (
    select
        tres,
        cast(sum(case when share = '' then accelerators_counted else 0 end) as bigint) as whole
    from core.tres
    group by tres
),

shapes as (
    select
        tres,
        greatest(1, whole // tres_count(tres, 'node') * 84000) as needed_units,
        tres_count(tres, 'cpu') // tres_count(tres, 'node') as needed_cpus,
        coalesce(tres_memory_mib(tres), 0) // tres_count(tres, 'node') as needed_memory_mib
    from counted
    where tres_count(tres, 'node') > 0
)

select
    attempts.cluster,
    date_trunc('day', attempts.submitted_at) as submit_day_at,
    shapes.needed_units,
    shapes.needed_cpus,
    shapes.needed_memory_mib,
    cast(sum(attempts.array_tasks) as bigint) as requests
from core.attempts as attempts
inner join shapes on attempts.requested_tres = shapes.tres
where not attempts.is_resize_follower
group by
    attempts.cluster,
    date_trunc('day', attempts.submitted_at),
    shapes.needed_units,
    shapes.needed_cpus,
    shapes.needed_memory_mib
