-- A device is cut into 7 compute and 8 memory slices, or into 4 and 4 (`compute_slices` in the site file). A profile
-- `3g.40gb` names 3 compute slices and 40 GB, which is 4 of the 8 memory slices of a device of 80 GB. What NVIDIA does not
-- offer is no profile, and a model whose memory the site file does not give has none.
with named as (
    select share
    from core.tres
    where gres_name = 'gpu' and share <> ''
    union
    select unnest(regexp_extract_all(
        lower(coalesce(configured_tres, '') || ',' || coalesce(gres, '')), '[0-9]+g\.[0-9]+gb'
    ))
    from raw.slurm_nodes
    union
    select unnest(regexp_extract_all(lower(sharing), '[0-9]+g\.[0-9]+gb'))
    from raw.inventory
    where sharing is not null
),

profiles as (
    select
        share,
        cast(regexp_extract(share, '^([0-9]{1,4})g', 1) as bigint) as compute,
        cast(regexp_extract(share, '([0-9]{1,6})gb$', 1) as bigint) as memory_gb
    from named
    where regexp_matches(share, '^[0-9]{1,4}g\.[0-9]{1,6}gb$')
),

sliced as (
    select
        models.accelerator_model,
        profiles.share,
        models.compute_slices,
        case when models.compute_slices = 7 then 8 else models.compute_slices end as memory_slices,
        profiles.compute,
        profiles.memory_gb,
        models.memory_gb as device_gb
    from profiles
    cross join site.accelerator_models as models
    where models.memory_gb is not null
),

-- To the nearest memory slice; names round their gigabytes, by a tenth at the most.
counted as (
    select
        *,
        (2 * memory_gb * memory_slices + device_gb) // (2 * device_gb) as memory
    from sliced
),

-- The version changes when a profile is added or a weight corrected.
offered as (
    select
        compute_slices,
        compute,
        memory,
        '2026-11' as weights_version
    from (
        values
        (7, 1, 1),
        (7, 1, 2),
        (7, 2, 2),
        (7, 3, 4),
        (7, 4, 4),
        (7, 7, 8),
        (4, 1, 1),
        (4, 2, 2),
        (4, 4, 4)
    ) as profiles (compute_slices, compute, memory)
)

select
    counted.accelerator_model,
    counted.share,
    cast(greatest(
        84000 * counted.compute // counted.compute_slices, 84000 * counted.memory // counted.memory_slices
    ) as bigint) as slice_units,
    offered.weights_version
from counted
inner join offered
    on counted.compute_slices = offered.compute_slices
    and counted.compute = offered.compute
    and counted.memory = offered.memory
    and 10 * abs(counted.memory_gb * counted.memory_slices - counted.memory * counted.device_gb)
    <= counted.memory * counted.device_gb
