-- Of attempts, node events, registrations and reservations alike. Where a string has types and no total, the types are
-- the total.
with strings as (
    select allocated_tres as tres
    from raw.slurm_jobs
    where not is_step and allocated_tres is not null
    union
    select node_tres
    from raw.slurm_node_events
    where node_tres is not null
    union
    select reserved_tres
    from raw.slurm_reservations
    where reserved_tres is not null
),

entries as (
    select
        tres,
        unnest(string_split(tres, ',')) as entry
    from strings
),

counts as (
    select
        tres,
        lower(regexp_extract(entry, '^(gres/gpu(:[^=]+)?)=', 1)) as resource,
        cast(regexp_extract(entry, '=([0-9]{1,9})$', 1) as bigint) as resource_count
    from entries
    where regexp_matches(entry, '^gres/gpu(:[^=]+)?=[0-9]{1,9}$')
)

select
    tres,
    resource,
    cast(sum(resource_count) as bigint) as resource_count
from counts
where resource <> 'gres/gpu'
group by tres, resource
union all
select
    tres,
    'gres/gpu' as resource,
    cast(greatest(
        sum(case when resource = 'gres/gpu' then 0 else resource_count end),
        max(case when resource = 'gres/gpu' then resource_count else 0 end)
    ) as bigint) as resource_count
from counts
group by tres
