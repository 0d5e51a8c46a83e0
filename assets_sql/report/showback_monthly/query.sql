-- A month is the sum of its days, in whole minor units of the currency. The month's total is rounded half up; the units are
-- given to what each team pays directly and to what nobody used by largest remainder, and those of the latter, policy by
-- policy, to the teams in the same way. Ties go by name, so that what is paid directly is the same under each policy.
with months as (
    select
        cast(date_trunc('month', usage_date) as date) as usage_month,
        cluster,
        pool,
        team,
        idle_policy,
        currency,
        minor_unit_picos(currency) as minor_picos,
        amount_picos(sum(direct_cost)) as direct_picos,
        amount_picos(sum(idle_cost)) as share_picos,
        cast(sum(allocated_unit_seconds) as bigint) as allocated_unit_seconds,
        cast(sum(entitled_unit_seconds) as bigint) as entitled_unit_seconds
    from report.showback_daily
    group by date_trunc('month', usage_date), cluster, pool, team, idle_policy, currency
),

-- What is paid directly, by team, and what nobody used, which has no team: under any policy the same.
parts as (
    select
        usage_month,
        cluster,
        pool,
        currency,
        minor_picos,
        team,
        direct_picos as part_picos
    from months
    where idle_policy = 'central'
    union all
    select
        usage_month,
        cluster,
        pool,
        currency,
        minor_picos,
        null as team,
        sum(share_picos) as part_picos
    from months
    where idle_policy = 'central'
    group by usage_month, cluster, pool, currency, minor_picos
),

floored_parts as (
    select
        *,
        whole_units(part_picos, minor_picos) as part_units,
        part_picos - whole_units(part_picos, minor_picos) * minor_picos as remainder,
        whole_units(sum(part_picos) over each + minor_picos // 2, minor_picos)
        - sum(whole_units(part_picos, minor_picos)) over each as units_left
    from parts
    window each as (partition by usage_month, cluster, pool, currency)
),

rounded_parts as (
    select
        *,
        part_units + case
            when row_number() over (
                partition by usage_month, cluster, pool, currency order by remainder desc, team asc nulls last
            ) <= units_left then 1
            else 0
        end as units
    from floored_parts
),

floored_shares as (
    select
        months.*,
        unused.units as unused_units,
        whole_units(months.share_picos, months.minor_picos) as share_units,
        months.share_picos - whole_units(months.share_picos, months.minor_picos) * months.minor_picos as remainder
    from months
    inner join rounded_parts as unused
        on months.usage_month = unused.usage_month
        and months.cluster = unused.cluster
        and months.pool = unused.pool
        and months.currency = unused.currency
        and unused.team is null
),

rounded_shares as (
    select
        *,
        share_units + case
            when row_number() over (
                partition by usage_month, cluster, pool, currency, idle_policy order by remainder desc, team asc
            ) <= unused_units - sum(share_units) over (
                partition by usage_month, cluster, pool, currency, idle_policy
            ) then 1
            else 0
        end as units
    from floored_shares
),

-- Whether each day and model of the month has a cost.
complete as (
    select
        usage_month,
        cluster,
        pool,
        bool_and(cost is not null) as is_complete
    from report.cost_per_accelerator_hour_monthly
    group by usage_month, cluster, pool
)

select
    shares.usage_month,
    shares.cluster,
    shares.pool,
    shares.team,
    shares.idle_policy,
    shares.currency,
    picos_amount(direct.units * shares.minor_picos) as direct_cost,
    picos_amount(shares.units * shares.minor_picos) as idle_cost,
    picos_amount((direct.units + shares.units) * shares.minor_picos) as total_cost,
    coalesce(complete.is_complete, false) as is_complete,
    unit_hours(shares.allocated_unit_seconds) as allocated_hours,
    unit_hours(shares.entitled_unit_seconds) as entitled_hours,
    shares.allocated_unit_seconds,
    shares.entitled_unit_seconds
from rounded_shares as shares
inner join rounded_parts as direct
    on shares.usage_month = direct.usage_month
    and shares.cluster = direct.cluster
    and shares.pool = direct.pool
    and shares.currency = direct.currency
    and shares.team = direct.team
left join complete
    on shares.usage_month = complete.usage_month
    and shares.cluster = complete.cluster
    and shares.pool = complete.pool
