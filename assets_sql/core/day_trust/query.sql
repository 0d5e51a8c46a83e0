-- A source is expected from its first day to as_of, or to the day on which the site file says that it ended, if it is one
-- that tells of each day and it did so on three quarters of the days from the first to the last that it told of: its
-- silence afterwards makes it no less regular. Of fewer than three days nobody can tell that it would go on. On a day that
-- as_of cuts it may still come. It was seen if a record of the day is in use: what another one supersedes says nothing, as
-- the same facts may be delivered with it or without. What names no cluster when it is rejected may belong to each.
with seen as (
    select
        outcomes.cluster,
        outcomes.source,
        outcomes.usage_date
    from core.record_outcomes as outcomes
    inner join core.cluster_days as cluster_days
        on outcomes.usage_date = cluster_days.usage_date and outcomes.cluster = cluster_days.cluster
    where outcomes.source in ('slurm_jobs', 'slurm_queue', 'slurm_account_usage', 'slurm_cluster_usage')
        and outcomes.rows_accepted > 0
),

begun as (
    select
        cluster,
        source,
        min(usage_date) as first_date,
        max(usage_date) as last_date,
        count(*) as days_seen
    from seen
    group by cluster, source
),

regular as (
    select
        begun.cluster,
        begun.source,
        begun.first_date,
        coalesce(ended.last_date, case when begun.days_seen < 3 then begun.last_date end) as expected_until
    from begun
    inner join core.cluster_days as cluster_days
        on begun.cluster = cluster_days.cluster
        and cluster_days.usage_date between begun.first_date and begun.last_date
    left join site.ended_sources as ended on begun.cluster = ended.cluster and begun.source = ended.source
    group by begun.cluster, begun.source, begun.first_date, begun.last_date, begun.days_seen, ended.last_date
    having begun.days_seen * 4 >= count(*) * 3
),

sources as (
    select
        cluster_days.usage_date,
        cluster_days.cluster,
        count(*) as sources_expected,
        count(seen.source) as sources_seen,
        string_agg(
            case when seen.source is null then regular.source end, ', ' order by regular.source
        ) as missing_sources
    from core.cluster_days as cluster_days
    inner join regular
        on cluster_days.cluster = regular.cluster
        and cluster_days.usage_date >= regular.first_date
        and cluster_days.usage_date <= coalesce(regular.expected_until, cluster_days.usage_date)
    left join seen
        on cluster_days.usage_date = seen.usage_date
        and cluster_days.cluster = seen.cluster
        and regular.source = seen.source
    where not cluster_days.is_partial or seen.source is not null
    group by cluster_days.usage_date, cluster_days.cluster
),

reasons as (
    select
        usage_date,
        cluster,
        reject_reason,
        count(*) as records
    from core.rejected_records
    where not is_released
    group by usage_date, cluster, reject_reason
),

told_reasons as (
    select
        usage_date,
        cluster,
        string_agg(
            reject_reason || ' ' || cast(records as varchar), ', ' order by records desc, reject_reason asc
        ) as rejected_reasons
    from reasons
    group by usage_date, cluster
),

outcomes as (
    select
        usage_date,
        cluster,
        cast(sum(rows_rejected) as bigint) as rows_rejected,
        cast(sum(rows_unvaluable) as bigint) as rows_unvaluable,
        cast(sum(rejected_seconds) as bigint) as rejected_seconds,
        count(rejected_charges_currency) as sources_losing_money,
        max(newest_accepted_at) as newest_at
    from core.record_outcomes
    group by usage_date, cluster
),

joined as (
    select
        cluster_days.usage_date,
        cluster_days.cluster,
        cluster_days.is_partial,
        outcomes.newest_at,
        coalesce(sources.sources_expected, 0) as sources_expected,
        coalesce(sources.sources_seen, 0) as sources_seen,
        sources.missing_sources,
        coalesce(outcomes.rows_rejected, 0) as rows_rejected,
        coalesce(nowhere.rows_rejected, 0) as rows_rejected_nowhere,
        coalesce(outcomes.rows_unvaluable, 0) as rows_unvaluable,
        coalesce(outcomes.rejected_seconds, 0) as rejected_seconds,
        nullif(concat_ws(', ', told.rejected_reasons, told_nowhere.rejected_reasons), '') as rejected_reasons,
        coalesce(outcomes.rows_unvaluable, 0) > 0
        or coalesce(outcomes.rejected_seconds, 0) > 0
        or coalesce(outcomes.sources_losing_money, 0) > 0
        or coalesce(nowhere.rows_unvaluable, 0) > 0
        or coalesce(nowhere.rejected_seconds, 0) > 0
        or coalesce(nowhere.sources_losing_money, 0) > 0 as lacks_records
    from core.cluster_days as cluster_days
    left join outcomes
        on cluster_days.usage_date = outcomes.usage_date and cluster_days.cluster = outcomes.cluster
    left join outcomes as nowhere
        on cluster_days.usage_date = nowhere.usage_date and nowhere.cluster = ''
    left join sources
        on cluster_days.usage_date = sources.usage_date and cluster_days.cluster = sources.cluster
    left join told_reasons as told
        on cluster_days.usage_date = told.usage_date and cluster_days.cluster = told.cluster
    left join told_reasons as told_nowhere
        on cluster_days.usage_date = told_nowhere.usage_date and told_nowhere.cluster = ''
)

select
    usage_date,
    cluster,
    trust_name(case
        when missing_sources is not null then 3
        when lacks_records then 2
        when is_partial then 1
        else 0
    end) as trust,
    is_partial,
    newest_at,
    sources_expected,
    sources_seen,
    missing_sources,
    rows_rejected,
    rows_rejected_nowhere,
    rows_unvaluable,
    rejected_seconds,
    rejected_reasons
from joined
