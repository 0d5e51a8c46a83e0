with typed as (
    select
        source_line,
        record_text,
        problem,
        lower(given(cost_component)) as cost_component,
        coalesce(given(cluster), $cluster) as cluster,
        given(pool) as pool,
        case when regexp_full_match(given(amount), '-?[0-9]{1,12}(\.[0-9]{1,9})?')
            then try_cast(given(amount) as decimal(38, 12)) end as amount,
        given(currency) as currency,
        instant(given(period_start_at), $time_zone) as period_start_at,
        instant(given(period_end_at), $time_zone) as period_end_at,
        given(period_start_at) as start_text,
        given(period_end_at) as end_text
    from delivered
)

select
    cost_component,
    cluster,
    pool,
    amount,
    currency,
    period_start_at,
    period_end_at,
    source_line,
    record_text,
    case
        when problem is not null then problem
        when cost_component is null then 'no_component'
        when not regexp_full_match(cost_component, '[a-z][a-z0-9_]*') then 'unreadable_component'
        when cluster is null then 'no_cluster'
        when not list_contains($clusters, cluster) then 'undeclared_cluster'
        when pool is null then 'no_pool'
        when amount is null then 'unreadable_amount'
        when currency is null or not regexp_full_match(currency, '[A-Z]{3}') then 'unreadable_currency'
        when $time_zone is null and (is_local_time(start_text) or is_local_time(end_text)) then 'undeclared_time_zone'
        when period_start_at is null then 'unreadable_start'
        when period_end_at is null then 'unreadable_end'
        when is_implausible(period_start_at) or is_implausible(period_end_at) then 'implausible_time'
        when period_end_at <= period_start_at then 'end_before_start'
    end as reject_reason,
    plausible(period_start_at) as record_at,
    null::bigint as record_accelerator_seconds
from typed
