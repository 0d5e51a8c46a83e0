-- Lots and flat costs of clusters with an inventory, and those for a pool, or a model in it, that the inventory has at no time: they cost,
-- and no accelerator-hour carries it. Pools and models that nobody prices are a check of
-- `report.cost_per_accelerator_hour_daily`.
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
    count(*) as charges,
    count(case when not is_installed then 1 end) as charges_without_inventory
from known
group by cluster
