-- Macros that are created inside the published DuckDB file. They divide sums again at each grain, because an average of
-- daily rates is not the rate of the month. They use nothing but what the file holds, and run on DuckDB 1.4 and later.
--
--     from report.efficiency('month');
--
-- A grain is 'day', 'week' (Monday to Sunday), 'month', 'quarter', 'year' or 'all'.
--
-- DuckDB looks a macro's tables up from the reader's default database, not from the macro's own. Where the file is
-- attached under another name, make it the default first: `attach 'capacity.duckdb' as fleet; use fleet;`.

-- The first day of the period that a day belongs to; of 'all' the first day there is.
create or replace macro report.period_start(grain, usage_date, first_date) as
    cast(
        case
            when grain = 'day' then usage_date
            when grain = 'week' then date_trunc('week', usage_date)
            when grain = 'month' then date_trunc('month', usage_date)
            when grain = 'quarter' then date_trunc('quarter', usage_date)
            when grain = 'year' then date_trunc('year', usage_date)
            when grain = 'all' then first_date
            else error(
                'grain is ''' || grain || '''; expected one of ''day'', ''week'', ''month'', ''quarter'', ''year'', ''all'''
            )
        end as date
    );

-- Unit-seconds as accelerator-hours, rounded half up to a millionth; one device is 84,000 units.
create or replace macro report.accelerator_hours(unit_seconds) as
    cast(
        cast((cast(unit_seconds as hugeint) * 10 + 1512) // 3024 as decimal(28, 0)) * cast(0.000001 as decimal(7, 6))
        as decimal(38, 6)
    );

-- A ratio of two sums; null where there is nothing to divide by.
create or replace macro report.rate(numerator, denominator) as
    case when denominator > 0 then cast(numerator as double) / cast(denominator as double) end;

-- What one accelerator-hour cost, of a sum of costs and a sum of unit-seconds; null where either is missing.
create or replace macro report.cost_rate(cost, unit_seconds) as
    case when unit_seconds > 0 then cast(cost as double) * 302400000 / cast(unit_seconds as double) end;

-- A sum that is null where one of its parts is: unknown is not zero.
create or replace macro report.whole_sum(amount) as
    case when count(amount) = count(*) then sum(amount) end;

-- Where every installed accelerator-hour went, by period and cluster; by pool and model too, or all of them together.
create or replace macro report.grouped_efficiency(grain, by_pool) as table
    with sums as (
        select
            report.period_start(
                grain, usage_date, (select min(earliest.usage_date) from report.fleet_efficiency_daily as earliest)
            ) as period_date,
            cluster,
            case when by_pool then pool end as pool,
            case when by_pool then accelerator_model end as accelerator_model,
            count(distinct usage_date) as days_counted,
            bool_or(is_partial) as is_partial,
            sum(installed_unit_seconds) as installed_unit_seconds,
            sum(available_unit_seconds) as available_unit_seconds,
            sum(allocated_unit_seconds) as allocated_unit_seconds,
            sum(reserved_idle_unit_seconds) as reserved_idle_unit_seconds,
            sum(idle_unit_seconds) as idle_unit_seconds,
            sum(down_planned_unit_seconds) as down_planned_unit_seconds,
            sum(down_unplanned_unit_seconds) as down_unplanned_unit_seconds,
            sum(draining_unit_seconds) as draining_unit_seconds,
            sum(overcommit_unit_seconds) as overcommit_unit_seconds,
            sum(unplaced_unit_seconds) as unplaced_unit_seconds,
            sum(allocated_while_down_hours) as allocated_while_down_hours,
            report.whole_sum(stranded_hours) as stranded_hours,
            report.whole_sum(productive_hours) as productive_hours
        from report.fleet_efficiency_daily
        group by period_date, cluster, case when by_pool then pool end, case when by_pool then accelerator_model end
    )

    select
        period_date,
        cluster,
        pool,
        accelerator_model,
        days_counted,
        is_partial,
        report.accelerator_hours(installed_unit_seconds) as installed_hours,
        report.accelerator_hours(available_unit_seconds) as available_hours,
        report.accelerator_hours(allocated_unit_seconds) as allocated_hours,
        report.accelerator_hours(reserved_idle_unit_seconds) as reserved_idle_hours,
        report.accelerator_hours(idle_unit_seconds) as idle_hours,
        report.accelerator_hours(down_planned_unit_seconds) as down_planned_hours,
        report.accelerator_hours(down_unplanned_unit_seconds) as down_unplanned_hours,
        report.accelerator_hours(draining_unit_seconds) as draining_hours,
        stranded_hours,
        report.accelerator_hours(overcommit_unit_seconds) as overcommit_hours,
        report.accelerator_hours(unplaced_unit_seconds) as unplaced_hours,
        allocated_while_down_hours,
        productive_hours,
        report.rate(allocated_unit_seconds, installed_unit_seconds) as allocation_rate_installed,
        report.rate(allocated_unit_seconds, available_unit_seconds) as allocation_rate_available,
        cast(installed_unit_seconds as bigint) as installed_unit_seconds,
        cast(available_unit_seconds as bigint) as available_unit_seconds,
        cast(allocated_unit_seconds as bigint) as allocated_unit_seconds
    from sums
    order by period_date, cluster, pool, accelerator_model;

-- One row per period, cluster, pool and accelerator model.
create or replace macro report.efficiency(grain) as table
    select * from report.grouped_efficiency(grain, true);

-- One row per period and cluster: the whole fleet, every pool and model together.
create or replace macro report.fleet(grain) as table
    select * exclude (pool, accelerator_model, allocated_while_down_hours, productive_hours)
    from report.grouped_efficiency(grain, false);

-- One row per period, cluster, pool, accelerator model and team. `allocated_share` is the team's part of what all teams
-- were allocated there in the period.
create or replace macro report.team_efficiency(grain) as table
    with sums as (
        select
            report.period_start(
                grain, usage_date, (select min(earliest.usage_date) from report.team_efficiency_daily as earliest)
            ) as period_date,
            cluster,
            pool,
            accelerator_model,
            team,
            count(distinct usage_date) as days_counted,
            sum(allocated_unit_seconds) as allocated_unit_seconds,
            sum(held_unit_seconds) as held_unit_seconds,
            report.whole_sum(productive_hours) as productive_hours,
            report.whole_sum(lost_infra_hours) as lost_infra_hours,
            report.whole_sum(lost_preempt_hours) as lost_preempt_hours,
            report.whole_sum(lost_user_failure_hours) as lost_user_failure_hours,
            report.whole_sum(restart_overhead_hours) as restart_overhead_hours,
            report.whole_sum(held_idle_hours) as held_idle_hours,
            cast(sum(jobs_started) as bigint) as jobs_started,
            cast(sum(jobs_ended) as bigint) as jobs_ended,
            sum(wall_hours) as wall_hours,
            sum(cpu_hours) as cpu_hours,
            sum(node_hours) as node_hours
        from report.team_efficiency_daily
        group by period_date, cluster, pool, accelerator_model, team
    )

    select
        period_date,
        cluster,
        pool,
        accelerator_model,
        team,
        days_counted,
        report.accelerator_hours(allocated_unit_seconds) as allocated_hours,
        report.accelerator_hours(held_unit_seconds) as held_hours,
        productive_hours,
        lost_infra_hours,
        lost_preempt_hours,
        lost_user_failure_hours,
        restart_overhead_hours,
        held_idle_hours,
        jobs_started,
        jobs_ended,
        wall_hours,
        cpu_hours,
        node_hours,
        report.rate(
            allocated_unit_seconds,
            sum(allocated_unit_seconds) over (partition by period_date, cluster, pool, accelerator_model)
        ) as allocated_share,
        cast(allocated_unit_seconds as bigint) as allocated_unit_seconds,
        cast(held_unit_seconds as bigint) as held_unit_seconds
    from sums
    order by period_date, cluster, pool, accelerator_model, team;

-- One row per period, cluster, pool, accelerator model and currency: what one accelerator-hour cost at each link. The cost
-- and its rates are null where one day of the period has no cost, in whatever currency; `known_cost` is what is known
-- nevertheless. A day that no bill tells of is one of the model `unassigned`, and counts for each model of its pool.
create or replace macro report.cost_per_hour(grain) as table
    with costs as (
        select
            *,
            report.period_start(
                grain, usage_date, (select min(earliest.usage_date) from report.cost_per_accelerator_hour_daily as earliest)
            ) as period_date
        from report.cost_per_accelerator_hour_daily
    ),

    marked as (
        select period_date, usage_date, cluster, pool, accelerator_model, cost is not null as is_priced
        from costs
        union all
        select untold.period_date, untold.usage_date, untold.cluster, untold.pool, models.accelerator_model, false
        from costs as untold
        inner join (select distinct period_date, cluster, pool, accelerator_model from costs) as models
            on untold.period_date = models.period_date
            and untold.cluster = models.cluster
            and untold.pool = models.pool
        where untold.accelerator_model = 'unassigned' and untold.cost is null
    ),

    counted as (
        select
            period_date,
            cluster,
            pool,
            accelerator_model,
            count(*) as days_counted,
            count(case when is_priced then 1 end) as days_priced
        from (
            select period_date, usage_date, cluster, pool, accelerator_model, bool_and(is_priced) as is_priced
            from marked
            group by period_date, usage_date, cluster, pool, accelerator_model
        ) as model_days
        group by period_date, cluster, pool, accelerator_model
    ),

    currencies as (
        select
            period_date,
            cluster,
            pool,
            accelerator_model,
            currency,
            sum(cost) as priced_cost,
            sum(known_cost) as known_cost,
            sum(depreciation_cost) as depreciation_cost,
            sum(power_cost) as power_cost,
            sum(colo_cost) as colo_cost,
            sum(support_cost) as support_cost,
            sum(other_cost) as other_cost,
            sum(unpriced_hours) as unpriced_hours,
            sum(installed_unit_seconds) as installed_unit_seconds,
            sum(available_unit_seconds) as available_unit_seconds,
            sum(allocated_unit_seconds) as allocated_unit_seconds
        from costs
        group by period_date, cluster, pool, accelerator_model, currency
    ),

    sums as (
        select
            currencies.*,
            counted.days_counted,
            counted.days_priced,
            case when counted.days_priced = counted.days_counted then currencies.priced_cost end as cost
        from currencies
        inner join counted
            on currencies.period_date = counted.period_date
            and currencies.cluster = counted.cluster
            and currencies.pool = counted.pool
            and currencies.accelerator_model = counted.accelerator_model
    )

    select
        period_date,
        cluster,
        pool,
        accelerator_model,
        currency,
        days_counted,
        days_priced,
        cost,
        known_cost,
        depreciation_cost,
        power_cost,
        colo_cost,
        support_cost,
        other_cost,
        unpriced_hours,
        report.accelerator_hours(installed_unit_seconds) as installed_hours,
        report.accelerator_hours(available_unit_seconds) as available_hours,
        report.accelerator_hours(allocated_unit_seconds) as allocated_hours,
        report.cost_rate(cost, installed_unit_seconds) as cost_per_installed_hour,
        report.cost_rate(cost, available_unit_seconds) as cost_per_available_hour,
        report.cost_rate(cost, allocated_unit_seconds) as cost_per_allocated_hour,
        cast(installed_unit_seconds as bigint) as installed_unit_seconds,
        cast(available_unit_seconds as bigint) as available_unit_seconds,
        cast(allocated_unit_seconds as bigint) as allocated_unit_seconds
    from sums
    order by period_date, cluster, pool, accelerator_model, currency;

-- The logarithm of the share that goes on waiting at a wait at which some start; -1000 stands for none left.
create or replace macro report.log_survivors(started, at_risk) as
    case
        when started = 0 then 0.0::double
        when started = at_risk then -1000.0::double
        else ln(cast(at_risk - started as double) / cast(at_risk as double))
    end;

-- Kaplan–Meier percentiles of waits, by period of submission and cluster; by partition too, or all of them together. A
-- percentile is the first wait at which no more than the rest go on waiting; 1e-10 allows for rounding.
create or replace macro report.grouped_queue(grain, by_partition) as table
    with waits as (
        select
            report.period_start(
                grain, usage_date, (select min(earliest.usage_date) from mart.queue_waits as earliest)
            ) as period_date,
            cluster,
            case when by_partition then partition_name end as partition_name,
            wait_kind,
            wait_seconds,
            has_started,
            job_count,
            requested_unit_seconds,
            submitted_unit_seconds
        from mart.queue_waits
    ),

    submitted as (
        select
            period_date,
            cluster,
            partition_name,
            cast(sum(job_count) as bigint) as jobs_submitted,
            report.accelerator_hours(report.whole_sum(submitted_unit_seconds)) as submitted_accelerator_hours
        from waits
        where wait_kind = 'submit'
        group by period_date, cluster, partition_name
    ),

    weighted as (
        select *, 'jobs' as weighting, job_count as weight, 0 as unweighted
        from waits
        where job_count > 0
        union all
        select
            *,
            'accelerator_hours',
            coalesce(requested_unit_seconds, 0),
            case when requested_unit_seconds is null then 1 else 0 end
        from waits
        where requested_unit_seconds > 0 or requested_unit_seconds is null
    ),

    times as (
        select
            period_date,
            cluster,
            partition_name,
            wait_kind,
            weighting,
            wait_seconds,
            sum(case when has_started then weight else 0 end) as started,
            sum(weight) as leaving,
            sum(unweighted) as unweighted
        from weighted
        group by period_date, cluster, partition_name, wait_kind, weighting, wait_seconds
    ),

    risks as (
        select *, sum(leaving) over (
            partition by period_date, cluster, partition_name, wait_kind, weighting
            order by wait_seconds desc rows unbounded preceding
        ) as at_risk
        from times
    ),

    curves as (
        select *, sum(report.log_survivors(started, at_risk)) over (
            partition by period_date, cluster, partition_name, wait_kind, weighting
            order by wait_seconds asc rows unbounded preceding
        ) - 1e-10 as log_survival
        from risks
    ),

    percentiles as (
        select
            period_date,
            cluster,
            partition_name,
            wait_kind || ' ' || weighting as kind,
            max(wait_seconds) as longest,
            case when sum(unweighted) = 0 then min(case when log_survival <= ln(0.5) then wait_seconds end) end as p50,
            case when sum(unweighted) = 0 then min(case when log_survival <= ln(0.1) then wait_seconds end) end as p90,
            case when sum(unweighted) = 0 then min(case when log_survival <= ln(0.05) then wait_seconds end) end as p95
        from curves
        group by period_date, cluster, partition_name, kind
    )

    select
        submitted.period_date,
        submitted.cluster,
        submitted.partition_name,
        submitted.jobs_submitted,
        submitted.submitted_accelerator_hours,
        max(case when kind = 'eligible jobs' then p50 end) as wait_eligible_p50_seconds,
        max(case when kind = 'eligible jobs' then p90 end) as wait_eligible_p90_seconds,
        max(case when kind = 'eligible jobs' then p95 end) as wait_eligible_p95_seconds,
        max(case when kind = 'eligible jobs' then longest end) as wait_eligible_longest_seconds,
        max(case when kind = 'submit jobs' then p50 end) as wait_submit_p50_seconds,
        max(case when kind = 'submit jobs' then p90 end) as wait_submit_p90_seconds,
        max(case when kind = 'submit jobs' then p95 end) as wait_submit_p95_seconds,
        max(case when kind = 'submit jobs' then longest end) as wait_submit_longest_seconds,
        max(case when kind = 'eligible accelerator_hours' then p50 end) as weighted_wait_eligible_p50_seconds,
        max(case when kind = 'eligible accelerator_hours' then p90 end) as weighted_wait_eligible_p90_seconds,
        max(case when kind = 'eligible accelerator_hours' then p95 end) as weighted_wait_eligible_p95_seconds,
        max(case when kind = 'submit accelerator_hours' then p50 end) as weighted_wait_submit_p50_seconds,
        max(case when kind = 'submit accelerator_hours' then p90 end) as weighted_wait_submit_p90_seconds,
        max(case when kind = 'submit accelerator_hours' then p95 end) as weighted_wait_submit_p95_seconds
    from submitted
    left join percentiles
        on submitted.period_date = percentiles.period_date
        and submitted.cluster = percentiles.cluster
        and submitted.partition_name is not distinct from percentiles.partition_name
    group by
        submitted.period_date,
        submitted.cluster,
        submitted.partition_name,
        submitted.jobs_submitted,
        submitted.submitted_accelerator_hours
    order by submitted.period_date, submitted.cluster, submitted.partition_name;

-- One row per period, cluster and partition: what was submitted, and how long it waited.
create or replace macro report.queue(grain) as table
    select * from report.grouped_queue(grain, true);

-- One row per period and cluster: all partitions together.
create or replace macro report.cluster_queue(grain) as table
    select * exclude (partition_name) from report.grouped_queue(grain, false);

-- How much of what was rented a commitment covered, by period, model and region; hours that were used, whoever used them.
create or replace macro report.commitment_coverage(grain) as table
    select
        report.period_start(
            grain, usage_date, (select min(earliest.usage_date) from mart.rented_hours_daily as earliest)
        ) as period_date,
        accelerator_model,
        region_id,
        report.accelerator_hours(sum(billed_unit_seconds)) as rented_hours,
        report.accelerator_hours(sum(case when tenure = 'committed' then billed_unit_seconds else 0 end)) as covered_hours,
        report.rate(sum(case when tenure = 'committed' then billed_unit_seconds else 0 end), sum(billed_unit_seconds))
            as commitment_coverage
    from mart.rented_hours_daily
    group by period_date, accelerator_model, region_id;

-- Whether the numbers of a period may be believed, by cluster: a period is as good as the worst of its days.
create or replace macro report.trust(grain) as table
    select
        report.period_start(
            grain, usage_date, (select min(earliest.usage_date) from report.trust_daily as earliest)
        ) as period_date,
        cluster,
        case max(list_position(['complete', 'partial', 'rejected', 'incomplete'], trust))
            when 1 then 'complete'
            when 2 then 'partial'
            when 3 then 'rejected'
            when 4 then 'incomplete'
        end as trust,
        count(*) as days_counted,
        count(case when trust = 'complete' then 1 end) as days_complete,
        count(missing_sources) as days_with_missing_sources,
        sum(rows_rejected) as rows_rejected,
        sum(rows_unvaluable) as rows_unvaluable,
        sum(rejected_hours) as rejected_hours,
        case when count(distinct rejected_currency) <= 1 then report.whole_sum(rejected_cost) end as rejected_cost,
        case when count(distinct rejected_currency) = 1 then min(rejected_currency) end as rejected_currency,
        case
            when count(case when reconciliation_status = 'unexplained' then 1 end) > 0 then 'unexplained'
            when count(case when reconciliation_status = 'explained' then 1 end) > 0 then 'explained'
            when count(case when reconciliation_status = 'agrees' then 1 end) > 0 then 'agrees'
            else 'not compared'
        end as reconciliation_status,
        max(newest_at) as newest_at
    from report.trust_daily
    group by period_date, cluster;
