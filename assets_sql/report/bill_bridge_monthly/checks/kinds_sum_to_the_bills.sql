-- severity: error
-- The kinds of charges of a billing month do not sum to what its bills say.
with bridge as (
    select
        billing_month,
        provider_name,
        billing_account_id,
        sum(billed_cost) as billed_cost,
        sum(effective_cost) as effective_cost
    from report.bill_bridge_monthly
    group by billing_month, provider_name, billing_account_id
),

bills as (
    select
        cast(date_trunc('month', billing_period_start_at) as date) as billing_month,
        provider_name,
        billing_account_id,
        sum(billed_cost) as billed_cost,
        sum(effective_cost) as effective_cost
    from core.bills
    where is_current
    group by date_trunc('month', billing_period_start_at), provider_name, billing_account_id
)

select
    coalesce(bridge.billing_month, bills.billing_month) as billing_month,
    coalesce(bridge.provider_name, bills.provider_name) as provider_name,
    coalesce(bridge.billing_account_id, bills.billing_account_id) as billing_account_id,
    bridge.billed_cost,
    bills.billed_cost as delivered_billed_cost,
    bridge.effective_cost,
    bills.effective_cost as delivered_effective_cost
from bridge
full outer join bills
    on bridge.billing_month = bills.billing_month
    and bridge.provider_name = bills.provider_name
    and bridge.billing_account_id = bills.billing_account_id
where bridge.billed_cost is distinct from bills.billed_cost
    or bridge.effective_cost is distinct from bills.effective_cost
