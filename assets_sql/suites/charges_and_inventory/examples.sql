with installed as (
    select distinct
        cluster,
        pool,
        accelerator_model
    from core.inventory
    where installed_accelerators > 0 and not is_inferred
),

carried as (
    select distinct charges.charge_id
    from core.charges as charges
    inner join installed
        on charges.cluster = installed.cluster
        and charges.pool = installed.pool
        and coalesce(charges.accelerator_model, installed.accelerator_model) = installed.accelerator_model
),

known as (
    select
        charges.*,
        carried.charge_id is not null as is_installed
    from core.charges as charges
    left join carried on charges.charge_id = carried.charge_id
    where charges.cluster in (select cluster from installed)
)

select
    cluster,
    pool,
    accelerator_model,
    cost_component,
    charge_id
from known
where not is_installed
order by cluster, pool, accelerator_model, cost_component, charge_id
