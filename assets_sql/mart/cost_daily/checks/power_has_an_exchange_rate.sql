-- severity: error
-- Power is drawn at a rate in another currency than the site's, on days for which no exchange rate was delivered: it would be
-- a cost of its own, which no other is added to.
select
    energy.usage_date,
    energy.cluster,
    energy.pool,
    energy.currency,
    min(rates.source_file) as source_file,
    min(rates.source_line) as source_line
from mart.energy_daily as energy
inner join site.settings as settings on energy.currency <> settings.currency
inner join mart.cost_daily as costs
    on energy.usage_date = costs.usage_date
    and energy.cluster = costs.cluster
    and energy.pool = costs.pool
    and energy.currency = costs.currency
    and costs.cost_component = 'power'
left join core.power_rates as rates
    on energy.cluster = rates.cluster and energy.pool = rates.pool and energy.currency = rates.currency
where energy.usage_date in (select usage_date from days)
group by energy.usage_date, energy.cluster, energy.pool, energy.currency
