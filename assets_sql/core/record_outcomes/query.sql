-- Every delivered record by the day it is about (where it is about none, the last that its delivery tells of) and what
-- became of it.
-- A record is superseded when another one carries its fact: a later delivery, or the job of which it is a step.
with records as (
    select 'slurm_node_events' as source, cluster, load_id, started_at as record_at, source_file, source_line
    from raw.slurm_node_events
    union all
    select 'slurm_reservations', cluster, load_id, started_at, source_file, source_line from raw.slurm_reservations
    union all
    select 'slurm_account_usage', cluster, load_id, window_start_at, source_file, source_line
    from raw.slurm_account_usage
    union all
    select 'slurm_cluster_usage', cluster, load_id, window_start_at, source_file, source_line
    from raw.slurm_cluster_usage
    union all
    select 'slurm_queue', cluster, load_id, taken_at, source_file, source_line from raw.slurm_queue
    union all
    select 'slurm_associations', cluster, load_id, null, source_file, source_line from raw.slurm_associations
    union all
    select 'slurm_nodes', cluster, load_id, null, source_file, source_line from raw.slurm_nodes
    union all
    select 'slurm_suspensions', cluster, load_id, suspended_at, source_file, source_line from raw.slurm_suspensions
    union all
    select 'slurm_qos', '', load_id, null, source_file, source_line from raw.slurm_qos
    union all
    select 'inventory', cluster, load_id, null, source_file, source_line from raw.inventory
    union all
    select 'org_mapping', coalesce(cluster, ''), load_id, null, source_file, source_line from raw.org_mapping
    union all
    select 'entitlements', cluster, load_id, null, source_file, source_line from raw.entitlements
    union all
    select 'purchase_lots', cluster, load_id, null, source_file, source_line from raw.purchase_lots
    union all
    select 'flat_costs', cluster, load_id, null, source_file, source_line from raw.flat_costs
    union all
    select 'power_rates', cluster, load_id, null, source_file, source_line from raw.power_rates
    union all
    select 'exchange_rates', '', load_id, null, source_file, source_line from raw.exchange_rates
),

-- Where each source's surviving records are; a source without a table of survivors keeps all it accepts.
survivors as (
    select 'slurm_node_events' as source, source_file, source_line from core.node_events where not is_from_snapshot
    union all
    select 'slurm_node_events', source_file, source_line from core.cluster_registrations
    union all
    select distinct 'slurm_reservations', source_file, source_line from core.reservations
    union all
    select 'slurm_reservations', source_file, source_line from raw.slurm_reservations where node_list is null
    union all
    select 'inventory', source_file, source_line from core.inventory where source_file is not null
    union all
    select 'org_mapping', source_file, source_line from core.teams
    union all
    select 'entitlements', source_file, source_line from core.entitlements
    union all
    select 'power_rates', source_file, source_line from core.power_rates
    union all
    select 'exchange_rates', source_file, source_line from core.exchange_rates
    union all
    select case when charge_id like 'lot/%' then 'purchase_lots' else 'flat_costs' end, source_file, source_line
    from core.charges
    union all
    select distinct
        case when subject_kind = 'cluster' then 'slurm_cluster_usage' else 'slurm_account_usage' end,
        source_file,
        source_line
    from core.scheduler_usage
    union all
    select 'slurm_queue', source_file, source_line from raw.slurm_queue
    union all
    select 'slurm_associations', source_file, source_line from raw.slurm_associations
    union all
    select 'slurm_nodes', source_file, source_line from raw.slurm_nodes
    union all
    select 'slurm_suspensions', source_file, source_line from raw.slurm_suspensions
    union all
    select 'slurm_qos', source_file, source_line from raw.slurm_qos
),

-- Of attempts and charges, which are many, quarters of an hour are counted: no zone's midnight is within one. What is received and
-- neither accepted nor rejected is superseded.
job_records as (
    select
        cluster,
        load_id,
        epoch_us(coalesce(ended_at, started_at, submitted_at)) // 900000000 as quarter,
        count(*) as records,
        max(coalesce(ended_at, started_at, submitted_at)) as newest_at
    from raw.slurm_jobs
    group by cluster, load_id, epoch_us(coalesce(ended_at, started_at, submitted_at)) // 900000000
),

accepted_jobs as (
    select
        cluster,
        epoch_us(coalesce(ended_at, recorded_start_at, submitted_at)) // 900000000 as quarter,
        count(*) as records,
        max(coalesce(ended_at, recorded_start_at, submitted_at)) as newest_at
    from core.attempts
    group by cluster, epoch_us(coalesce(ended_at, recorded_start_at, submitted_at)) // 900000000
),

-- A bill that another delivery of it replaces is superseded, with all its charges.
billed as (
    select
        load_id,
        coalesce(provider_name, '') as provider_name,
        coalesce(billing_account_id, '') as billing_account_id,
        billing_period_start_at,
        epoch_us(charge_period_start_at) // 900000000 as quarter,
        count(*) as records,
        max(charge_period_start_at) as newest_at
    from raw.focus_charges
    group by
        load_id,
        coalesce(provider_name, ''),
        coalesce(billing_account_id, ''),
        billing_period_start_at,
        epoch_us(charge_period_start_at) // 900000000
),

outcomes as (
    select
        'slurm_jobs' as source,
        cluster,
        load_id,
        make_timestamp(quarter * 900000000) as record_at,
        newest_at,
        cast(null as timestamp) as newest_accepted_at,
        records as received,
        0 as accepted
    from job_records
    union all
    select
        'slurm_jobs',
        cluster,
        null,
        make_timestamp(quarter * 900000000),
        null,
        newest_at,
        0,
        records
    from accepted_jobs
    union all
    select
        'focus_charges',
        '',
        bills.load_id,
        make_timestamp(charges.quarter * 900000000),
        max(charges.newest_at),
        max(case when bills.is_current then charges.newest_at end),
        cast(sum(charges.records) as bigint),
        cast(sum(case when bills.is_current then charges.records else 0 end) as bigint)
    from billed as charges
    inner join core.bills as bills
        on charges.load_id = bills.load_id
        and charges.provider_name = bills.provider_name
        and charges.billing_account_id = bills.billing_account_id
        and charges.billing_period_start_at = bills.billing_period_start_at
    group by bills.load_id, charges.quarter
    union all
    select
        records.source,
        coalesce(records.cluster, ''),
        records.load_id,
        records.record_at,
        records.record_at as newest_at,
        case when survivors.source_line is not null then records.record_at end,
        1,
        case when survivors.source_line is null then 0 else 1 end
    from records
    left join survivors
        on records.source = survivors.source
        and records.source_file = survivors.source_file
        and records.source_line = survivors.source_line
    union all
    select
        source_kind,
        coalesce(cluster, ''),
        load_id,
        record_at,
        record_at as newest_at,
        null,
        1,
        0
    from landing.rejected
),

-- The same content delivered twice is received twice; its copies are superseded, and it counts when it came first.
copies as (
    select
        load_id,
        count(*) - 1 as copies,
        min(collected_at) as collected_at
    from landing.deliveries
    group by load_id
),

site_clock as (
    select
        max(as_of_at) as as_of_at,
        max(reporting_time_zone) as reporting_time_zone,
        min(first_at) as first_at
    from core.clusters
),

dated as (
    select
        cast(timezone(
            site_clock.reporting_time_zone,
            timezone('UTC', coalesce(
                outcomes.record_at,
                last_told(copies.collected_at, coalesce(clusters.as_of_at, site_clock.as_of_at)),
                site_clock.first_at
            ))
        ) as date) as usage_date,
        outcomes.*,
        copies.copies
    from outcomes
    cross join site_clock
    left join copies on outcomes.load_id = copies.load_id
    left join core.clusters as clusters on outcomes.cluster = clusters.cluster
),

received as (
    select
        usage_date,
        source,
        cluster,
        cast(sum(received * (1 + coalesce(copies, 0))) as bigint) as rows_received,
        cast(sum(accepted) as bigint) as rows_accepted,
        max(newest_at) as newest_at,
        max(newest_accepted_at) as newest_accepted_at
    from dated
    group by usage_date, source, cluster
),

-- Each fact is rejected once, on the day that it is about, else when it came first; what was accepted when it was read and rejected later is
-- not accepted.
rejected as (
    select
        usage_date,
        source,
        cluster,
        count(*) as rows_rejected,
        cast(sum(case when rejected_in = 'core' then 1 else 0 end) as bigint) as rows_rejected_later,
        cast(sum(case when rejected_seconds is null and record_cost is null then 1 else 0 end) as bigint)
            as rows_unvaluable,
        cast(coalesce(sum(rejected_seconds), 0) as bigint) as rejected_seconds,
        case when count(distinct record_currency) = 1 then sum(record_cost) end as rejected_charges_cost,
        case
            when count(distinct record_currency) = 1 then min(record_currency)
            when count(record_cost) > 0 then 'XXX'
        end as rejected_charges_currency
    from core.rejected_records
    where not is_released
    group by usage_date, source, cluster
)

select
    coalesce(received.usage_date, rejected.usage_date) as usage_date,
    coalesce(received.source, rejected.source) as source,
    coalesce(received.cluster, rejected.cluster) as cluster,
    coalesce(received.rows_received, 0) as rows_received,
    coalesce(received.rows_accepted, 0) - coalesce(rejected.rows_rejected_later, 0) as rows_accepted,
    coalesce(rejected.rows_rejected, 0) as rows_rejected,
    coalesce(received.rows_received, 0)
    - coalesce(received.rows_accepted, 0)
    + coalesce(rejected.rows_rejected_later, 0)
    - coalesce(rejected.rows_rejected, 0) as rows_superseded,
    coalesce(rejected.rows_unvaluable, 0) as rows_unvaluable,
    coalesce(rejected.rejected_seconds, 0) as rejected_seconds,
    cast(rejected.rejected_charges_cost as decimal(38, 12)) as rejected_charges_cost,
    rejected.rejected_charges_currency,
    received.newest_at,
    received.newest_accepted_at
from received
full outer join rejected
    on received.usage_date = rejected.usage_date
    and received.source = rejected.source
    and received.cluster = rejected.cluster
