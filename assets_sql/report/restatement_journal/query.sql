-- A number that was published of a day that was over, and is otherwise now, is a line: what it was, what it is, and which
-- delivered files changed something of that day since. Of an open month the new number is published; of a closed one the
-- old number stays, and its lines since it was closed, added to it, give what is known now, of clusters that are gone too.
-- A cost that was unknown and becomes known restates nothing, unless the month is closed.
with windows as (
    select
        cluster_days.usage_date,
        cluster_days.cluster,
        cluster_days.starts_at as window_start_at,
        cluster_days.ends_at as window_end_at
    from core.cluster_days as cluster_days
    inner join days on cluster_days.usage_date = days.usage_date
    left join site.closed_months as closed_months
        on cast(date_trunc('month', cluster_days.usage_date) as date) = closed_months.usage_month
    left join published.clusters as clusters on cluster_days.cluster = clusters.cluster
    where clusters.as_of_at >= cluster_days.ends_at or closed_months.closed_version is not null
),

fleet as (
    select
        true as is_now,
        *
    from report.fleet_efficiency_daily
    where usage_date in (select usage_date from days)
    union all
    select
        false as is_now,
        *
    from published.fleet_efficiency_daily
    where usage_date in (select usage_date from days)
),

teams as (
    select
        true as is_now,
        *
    from report.team_efficiency_daily
    where usage_date in (select usage_date from days)
    union all
    select
        false as is_now,
        *
    from published.team_efficiency_daily
    where usage_date in (select usage_date from days)
),

costs as (
    select
        true as is_now,
        *
    from report.cost_per_accelerator_hour_daily
    where usage_date in (select usage_date from days)
    union all
    select
        false as is_now,
        *
    from published.cost_per_accelerator_hour_daily
    where usage_date in (select usage_date from days)
),

charges as (
    select
        true as is_now,
        *
    from report.showback_daily
    where usage_date in (select usage_date from days)
    union all
    select
        false as is_now,
        *
    from published.showback_daily
    where usage_date in (select usage_date from days)
),

-- What was known: of a day without all its costs, only what was held; charges grow until it has them.
numbers as (
    select
        is_now,
        'report.fleet_efficiency_daily' as table_name,
        usage_date,
        cluster,
        pool,
        accelerator_model,
        cast(null as varchar) as team,
        cast(null as varchar) as idle_policy,
        cast(null as varchar) as currency,
        true as is_known,
        unnest([
            journal_number('installed_hours', installed_hours),
            journal_number('available_hours', available_hours),
            journal_number('allocated_hours', allocated_hours),
            journal_number('reserved_idle_hours', reserved_idle_hours),
            journal_number('idle_hours', idle_hours),
            journal_number('down_planned_hours', down_planned_hours),
            journal_number('down_unplanned_hours', down_unplanned_hours),
            journal_number('draining_hours', draining_hours),
            journal_number('stranded_hours', stranded_hours),
            journal_number('overcommit_hours', overcommit_hours),
            journal_number('unplaced_hours', unplaced_hours)
        ]) as number
    from fleet
    union all
    select
        is_now,
        'report.team_efficiency_daily' as table_name,
        usage_date,
        cluster,
        pool,
        accelerator_model,
        team,
        cast(null as varchar) as idle_policy,
        cast(null as varchar) as currency,
        true as is_known,
        unnest([
            journal_number('allocated_hours', allocated_hours),
            journal_number('held_hours', held_hours)
        ]) as number
    from teams
    union all
    select
        is_now,
        'report.cost_per_accelerator_hour_daily' as table_name,
        usage_date,
        cluster,
        pool,
        accelerator_model,
        cast(null as varchar) as team,
        cast(null as varchar) as idle_policy,
        currency,
        cost is not null as is_known,
        unnest([
            journal_number('cost', cost),
            journal_number('known_cost', known_cost),
            journal_number('depreciation_cost', depreciation_cost),
            journal_number('power_cost', power_cost),
            journal_number('colo_cost', colo_cost),
            journal_number('support_cost', support_cost),
            journal_number('compute_cost', compute_cost),
            journal_number('storage_cost', storage_cost),
            journal_number('other_cost', other_cost),
            journal_number('unused_commitment_cost', unused_commitment_cost),
            journal_number('tax_cost', tax_cost),
            journal_number('credit_cost', credit_cost)
        ]) as number
    from costs
    union all
    select
        is_now,
        'report.showback_daily' as table_name,
        usage_date,
        cluster,
        pool,
        accelerator_model,
        team,
        idle_policy,
        currency,
        false as is_known,
        unnest([
            journal_number('direct_cost', direct_cost),
            journal_number('idle_cost', idle_cost)
        ]) as number
    from charges
),

told as (
    select *
    from published.restatement_journal
    where usage_date in (select usage_date from days)
),

compared as (
    select
        table_name,
        usage_date,
        cluster,
        pool,
        accelerator_model,
        team,
        idle_policy,
        currency,
        number.measure as measure,
        case when is_now then number.amount end as amount_now,
        case when not is_now then number.amount end as amount_before,
        is_now or is_known as was_known
    from numbers
    union all
    -- Of a closed month what it is otherwise since is told already.
    select
        told.table_name,
        told.usage_date,
        told.cluster,
        told.pool,
        told.accelerator_model,
        told.team,
        told.idle_policy,
        told.currency,
        told.measure,
        null as amount_now,
        told.amount_change as amount_before,
        true as was_known
    from told
    inner join site.closed_months as closed_months
        on cast(date_trunc('month', told.usage_date) as date) = closed_months.usage_month
        and told.version_before >= closed_months.closed_version
    where told.is_month_closed
),

restated as (
    select
        table_name,
        usage_date,
        cluster,
        pool,
        accelerator_model,
        team,
        idle_policy,
        currency,
        measure,
        sum(amount_now) as amount_now,
        sum(amount_before) as amount_before,
        bool_and(was_known) as was_known,
        count(amount_before) as befores
    from compared
    group by table_name, usage_date, cluster, pool, accelerator_model, team, idle_policy, currency, measure
),

touching as (
    select
        windows.usage_date,
        windows.cluster,
        spans.source_file
    from windows
    inner join published.changed_spans as spans
        on spans.changed_from < windows.window_end_at
        and spans.changed_to > windows.window_start_at
        and coalesce(spans.cluster, windows.cluster) = windows.cluster
    group by windows.usage_date, windows.cluster, spans.source_file
    union
    -- A bill may charge for other days than those of its billing period.
    select
        windows.usage_date,
        windows.cluster,
        bills.source_file
    from published.changed_files as files
    inner join core.bills as bills on files.source_file = bills.source_file
    inner join core.billed_charges as charges
        on bills.provider_name = charges.provider_name
        and bills.billing_account_id = charges.billing_account_id
        and bills.billing_period_start_at = charges.billing_period_start_at
    inner join windows
        on charges.cluster = windows.cluster
        and charges.starts_at < windows.window_end_at
        and charges.ends_at > windows.window_start_at
    group by windows.usage_date, windows.cluster, bills.source_file
),

named as (
    select
        usage_date,
        cluster,
        source_file,
        row_number() over (partition by usage_date, cluster order by source_file) as file_no,
        count(*) over (partition by usage_date, cluster) as files
    from touching
),

causes as (
    select
        usage_date,
        cluster,
        string_agg(source_file, ', ' order by source_file)
        || case when max(files) > 5 then ', and ' || cast(max(files) - 5 as varchar) || ' more' else '' end as told_files
    from named
    where file_no <= 5
    group by usage_date, cluster
),

-- Where nothing says which file it was: all that are new, changed or gone.
numbered_changes as (
    select
        source_file || ' is ' || change as told_change,
        row_number() over (order by source_file, change) as change_no,
        count(*) over () as changes
    from published.changed_files
),

other_causes as (
    select
        string_agg(told_change, ', ' order by change_no)
        || case when max(changes) > 5 then ', and ' || cast(max(changes) - 5 as varchar) || ' more' else '' end
            as told_changes
    from numbered_changes
    where change_no <= 5
),

reopened as (
    select published_closed.usage_month
    from published.closed_months as published_closed
    left join site.closed_months as closed_months on published_closed.usage_month = closed_months.usage_month
    where closed_months.usage_month is null
)

select *
from told
union all
select
    restated.usage_date,
    versions.version as version_before,
    restated.table_name,
    restated.cluster,
    restated.pool,
    restated.accelerator_model,
    restated.team,
    restated.idle_policy,
    restated.currency,
    restated.measure,
    cast(restated.amount_before as decimal(38, 12)) as amount_before,
    cast(restated.amount_now as decimal(38, 12)) as amount_now,
    cast(coalesce(restated.amount_now, 0) - coalesce(restated.amount_before, 0) as decimal(38, 12)) as amount_change,
    closed_months.closed_version is not null as is_month_closed,
    coalesce(
        nullif(concat_ws(
            '; ',
            coalesce(causes.told_files, other_causes.told_changes),
            case when reopened.usage_month is not null then 'the month was opened again' end,
            case when versions.has_other_code then 'other rules' end,
            case when versions.has_other_site_file then 'another site file' end
        ), ''),
        'unknown'
    ) as because
from restated
cross join published.versions as versions
cross join other_causes
left join site.closed_months as closed_months
    on cast(date_trunc('month', restated.usage_date) as date) = closed_months.usage_month
left join windows on restated.usage_date = windows.usage_date and restated.cluster = windows.cluster
left join causes on restated.usage_date = causes.usage_date and restated.cluster = causes.cluster
left join reopened on cast(date_trunc('month', restated.usage_date) as date) = reopened.usage_month
where coalesce(restated.amount_now, 0) <> coalesce(restated.amount_before, 0)
    and (
        closed_months.closed_version is not null
        or (
            windows.cluster is not null
            and restated.was_known
            and (restated.befores > 0 or restated.currency is null)
        )
    )
