-- Installed time under each rate that was in force. Energy is what the site drew, with its PUE.
with timeline as (
    select
        usage_date,
        cluster,
        pool,
        accelerator_model,
        starts_at,
        ends_at,
        cast(sum(installed_units) as bigint) as installed_units
    from mart.node_timeline
    where usage_date in (select usage_date from days) and installed_units > 0
    group by usage_date, cluster, pool, accelerator_model, starts_at, ends_at
),

drawn as (
    select
        timeline.usage_date,
        timeline.cluster,
        timeline.pool,
        timeline.accelerator_model,
        rates.currency,
        rates.kilowatts,
        rates.pue,
        rates.hourly_picos,
        cast(sum(timeline.installed_units * seconds_between(
            greatest(timeline.starts_at, rates.valid_from_at), least(timeline.ends_at, rates.valid_to_at)
        )) as bigint) as unit_seconds
    from timeline
    inner join core.power_rates as rates
        on timeline.cluster = rates.cluster
        and timeline.pool = rates.pool
        and rates.accelerator_model in ('', timeline.accelerator_model)
        and rates.valid_from_at < timeline.ends_at
        and rates.valid_to_at > timeline.starts_at
    left join core.power_rates as closer
        on rates.accelerator_model = ''
        and timeline.cluster = closer.cluster
        and timeline.pool = closer.pool
        and timeline.accelerator_model = closer.accelerator_model
    where closer.pool is null
    group by
        timeline.usage_date,
        timeline.cluster,
        timeline.pool,
        timeline.accelerator_model,
        rates.currency,
        rates.kilowatts,
        rates.pue,
        rates.hourly_picos,
        rates.valid_from_at
)

select
    usage_date,
    cluster,
    pool,
    accelerator_model,
    currency,
    picos_amount(sum(
        (amount_picos(kilowatts) * amount_picos(pue) // 1000000000000 * unit_seconds + 151200000) // 302400000
    )) as energy_kwh,
    picos_amount(sum((hourly_picos * unit_seconds + 151200000) // 302400000)) as power_cost,
    cast(sum(unit_seconds) as bigint) as powered_unit_seconds
from drawn
group by usage_date, cluster, pool, accelerator_model, currency
