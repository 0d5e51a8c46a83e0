-- Typed and untyped counts of one string overlap: the untyped count is the total, and what the types leave of it is
-- untyped. Only distinct strings are parsed.
with strings as (
    select allocated_tres as tres
    from raw.slurm_jobs
    where not is_step and allocated_tres is not null
    union
    select requested_tres
    from raw.slurm_jobs
    where not is_step and requested_tres is not null
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
        lower(regexp_extract(entry, '^gres/gpu:([^=]+)=', 1)) as accelerator_type,
        cast(regexp_extract(entry, '=([0-9]{1,9})$', 1) as bigint) as accelerators
    from entries
    where regexp_matches(entry, '^gres/gpu(:[^=]+)?=[0-9]{1,9}$')
),

totals as (
    select
        tres,
        cast(sum(case when accelerator_type = '' then 0 else accelerators end) as bigint) as typed,
        cast(max(case when accelerator_type = '' then accelerators else 0 end) as bigint) as untyped_total
    from counts
    group by tres
)

select
    tres,
    accelerator_type,
    cast(sum(accelerators) as bigint) as accelerators_counted
from counts
where accelerator_type <> '' and accelerators > 0
group by tres, accelerator_type
union all
select
    tres,
    '' as accelerator_type,
    untyped_total - typed as accelerators_counted
from totals
where untyped_total > typed
