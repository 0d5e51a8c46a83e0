-- The sheet of entitlements by what it names; a model by its name in the site file.
with named as (
    select
        entitlements.*,
        coalesce(aliases.accelerator_model, lower(entitlements.accelerator_model), '') as model
    from raw.entitlements as entitlements
    left join site.accelerators as aliases on lower(entitlements.accelerator_model) = aliases.alias
)

select
    cluster,
    pool,
    model as accelerator_model,
    team,
    valid_from_at,
    coalesce(valid_to_at, timestamp '9999-01-01') as valid_to_at,
    cast(entitled_accelerators * 84000 as bigint) as entitled_units,
    source_file,
    source_line
from named
qualify row_number() over (
    partition by cluster, pool, model, team, valid_from_at
    order by collected_at desc nulls last, content_sha256 desc, source_line desc
) = 1
