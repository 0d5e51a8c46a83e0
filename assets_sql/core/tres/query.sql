-- Typed and untyped counts of one string overlap: the untyped count is the total, and what the types leave of it is
-- untyped. A type such as `nvidia_h200_nvl_4g.71gb` counts slices of a device; so do the GRES `shard` and `mps`. Only
-- distinct strings are parsed.
with strings as (
    select allocated_tres as tres
    from records_in_scope
    where not is_step and allocated_tres is not null
    union
    select requested_tres
    from records_in_scope
    where not is_step and requested_tres is not null
    union
    select reserved_tres
    from raw.slurm_reservations
    where reserved_tres is not null
    union
    select node_tres(configured_tres, gres)
    from raw.slurm_nodes
    where node_tres(configured_tres, gres) is not null
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
        regexp_extract(entry, '^gres/([a-z]+)', 1) as gres_name,
        lower(regexp_extract(entry, '^gres/[a-z]+:([^=]+)=', 1)) as accelerator_type,
        cast(regexp_extract(entry, '=([0-9]{1,9})$', 1) as bigint) as accelerators
    from entries
    where regexp_matches(entry, '^gres/(gpu|shard|mps)(:[^=]+)?=[0-9]{1,9}$')
),

totals as (
    select
        tres,
        gres_name,
        cast(sum(case when accelerator_type = '' then 0 else accelerators end) as bigint) as typed,
        cast(max(case when accelerator_type = '' then accelerators else 0 end) as bigint) as untyped_total
    from counts
    group by tres, gres_name
),

settled as (
    select
        tres,
        gres_name,
        accelerator_type,
        cast(sum(accelerators) as bigint) as accelerators_counted
    from counts
    where accelerator_type <> '' and accelerators > 0
    group by tres, gres_name, accelerator_type
    union all
    select
        tres,
        gres_name,
        '' as accelerator_type,
        untyped_total - typed as accelerators_counted
    from totals
    where untyped_total > typed
)

select
    tres,
    gres_name,
    accelerator_type,
    device_type(accelerator_type) as device_type,
    case when gres_name = 'gpu' then mig_profile(accelerator_type) else gres_name end as share,
    accelerators_counted
from settled
