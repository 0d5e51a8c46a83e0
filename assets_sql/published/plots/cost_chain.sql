-- What an accelerator-hour cost in the newest month at each link of the chain, for the pools that cost most.
select
    cluster || ' / ' || pool || ' / ' || accelerator_model as pool,
    currency,
    usage_month,
    cost_per_installed_hour,
    cost_per_available_hour,
    cost_per_allocated_hour,
    cost_per_sm_active_hour,
    cost_per_productive_hour
from report.cost_per_accelerator_hour_monthly
where cost_per_installed_hour is not null
    and usage_month = (
        select max(newest.usage_month)
        from report.cost_per_accelerator_hour_monthly as newest
        where newest.cost_per_installed_hour is not null
    )
order by cost desc, cluster asc, pool asc, accelerator_model asc, currency asc
limit 12
