-- A month is the sum of its days, in whole minor units of the currency. The month's total is rounded half up; the units are
-- given to what each team pays directly and to what nobody used by largest remainder, and those of the latter, policy by
-- policy, to the teams in the same way. Ties go by name, so that what is paid directly is the same under each policy. What
-- closed months come to now, less what was charged for them, is an adjustment in the first month that is open.
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

-- Whether each day and model of the month has a cost, and how far they may be believed.
complete as (
    select
        usage_month,
        cluster,
        pool,
        bool_and(cost is not null) as is_complete,
        max(trust_place(trust)) as worst_trust
    from report.cost_per_accelerator_hour_monthly
    group by usage_month, cluster, pool
),

charges as (
    select
        shares.usage_month,
        shares.cluster,
        shares.pool,
        shares.team,
        shares.idle_policy,
        shares.currency,
        picos_amount(direct.units * shares.minor_picos) as direct_cost,
        picos_amount(shares.units * shares.minor_picos) as idle_cost,
        shares.allocated_unit_seconds,
        shares.entitled_unit_seconds
    from rounded_shares as shares
    inner join rounded_parts as direct
        on shares.usage_month = direct.usage_month
        and shares.cluster = direct.cluster
        and shares.pool = direct.pool
        and shares.currency = direct.currency
        and shares.team = direct.team
),

-- What closed months come to now, and what was charged for them, adjustments in them included.
settled as (
    select
        cluster,
        pool,
        team,
        idle_policy,
        currency,
        direct_cost + idle_cost as owed_cost
    from charges
    where usage_month in (select usage_month from site.closed_months)
    union all
    select
        cluster,
        pool,
        team,
        idle_policy,
        currency,
        -charged_cost as owed_cost
    from closed.showback_monthly
),

adjustments as (
    select
        first_open.usage_month,
        settled.cluster,
        settled.pool,
        settled.team,
        settled.idle_policy,
        settled.currency,
        sum(settled.owed_cost) as adjustment_cost
    from settled
    cross join (
        select cast(max(usage_month) + interval 1 month as date) as usage_month from site.closed_months
    ) as first_open
    group by
        first_open.usage_month,
        settled.cluster,
        settled.pool,
        settled.team,
        settled.idle_policy,
        settled.currency
    having sum(settled.owed_cost) <> 0
    union all
    select
        usage_month,
        cluster,
        pool,
        team,
        idle_policy,
        currency,
        adjustment_cost
    from closed.showback_monthly
    where adjustment_cost <> 0
),

charged as (
    select
        coalesce(charges.usage_month, adjustments.usage_month) as usage_month,
        coalesce(charges.cluster, adjustments.cluster) as cluster,
        coalesce(charges.pool, adjustments.pool) as pool,
        coalesce(charges.team, adjustments.team) as team,
        coalesce(charges.idle_policy, adjustments.idle_policy) as idle_policy,
        coalesce(charges.currency, adjustments.currency) as currency,
        coalesce(charges.direct_cost, 0) as direct_cost,
        coalesce(charges.idle_cost, 0) as idle_cost,
        coalesce(adjustments.adjustment_cost, 0) as adjustment_cost,
        coalesce(charges.allocated_unit_seconds, 0) as allocated_unit_seconds,
        coalesce(charges.entitled_unit_seconds, 0) as entitled_unit_seconds
    from charges
    full outer join adjustments
        on charges.usage_month = adjustments.usage_month
        and charges.cluster = adjustments.cluster
        and charges.pool = adjustments.pool
        and charges.team = adjustments.team
        and charges.idle_policy = adjustments.idle_policy
        and charges.currency = adjustments.currency
)

select
    charged.usage_month,
    charged.cluster,
    charged.pool,
    charged.team,
    charged.idle_policy,
    charged.currency,
    charged.direct_cost,
    charged.idle_cost,
    cast(charged.direct_cost + charged.idle_cost as decimal(38, 12)) as total_cost,
    cast(charged.adjustment_cost as decimal(38, 12)) as adjustment_cost,
    cast(charged.direct_cost + charged.idle_cost + charged.adjustment_cost as decimal(38, 12)) as charged_cost,
    coalesce(complete.is_complete, false) as is_complete,
    unit_hours(charged.allocated_unit_seconds) as allocated_hours,
    unit_hours(charged.entitled_unit_seconds) as entitled_hours,
    charged.allocated_unit_seconds,
    charged.entitled_unit_seconds,
    trust_name(complete.worst_trust) as trust
from charged
left join complete
    on charged.usage_month = complete.usage_month
    and charged.cluster = complete.cluster
    and charged.pool = complete.pool
