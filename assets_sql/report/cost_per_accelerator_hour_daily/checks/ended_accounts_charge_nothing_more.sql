-- severity: warn
-- An account that ended charges for a later day, or no bill is known of it: its name or its last day is another.
select
    ended.provider_name,
    ended.billing_account_id,
    ended.last_date,
    max(charges.ends_at) as charged_until_at
from site.ended_accounts as ended
cross join site.settings as settings
left join core.billed_charges as charges
    on ended.provider_name = charges.provider_name and ended.billing_account_id = charges.billing_account_id
group by ended.provider_name, ended.billing_account_id, ended.last_date, settings.reporting_time_zone
having coalesce(max(charges.ends_at), timestamp '9999-01-01')
    > first_instant(cast(ended.last_date as timestamp) + interval 1 day, settings.reporting_time_zone)
