with typed as (
    select
        source_line,
        record_text,
        problem,
        coalesce(given(cluster), $cluster) as cluster,
        given(pool) as pool,
        given(accelerator_model) as accelerator_model,
        case when regexp_full_match(given(kilowatts), '[0-9]{1,6}(\.[0-9]{1,6})?')
            then try_cast(given(kilowatts) as decimal(18, 6)) end as kilowatts,
        case when regexp_full_match(given(pue), '[0-9]{1,2}(\.[0-9]{1,4})?')
            then try_cast(given(pue) as decimal(18, 6)) end as pue,
        case when regexp_full_match(given(price_per_kwh), '-?[0-9]{1,6}(\.[0-9]{1,9})?')
            then try_cast(given(price_per_kwh) as decimal(38, 12)) end as price_per_kwh,
        given(currency) as currency,
        instant(given(valid_from), $time_zone) as valid_from_at,
        instant(given(valid_to), $time_zone) as valid_to_at,
        given(valid_from) as from_text,
        given(valid_to) as to_text
    from delivered
)

select
    cluster,
    pool,
    accelerator_model,
    kilowatts,
    pue,
    price_per_kwh,
    currency,
    valid_from_at,
    valid_to_at,
    source_line,
    record_text,
    case
        when problem is not null then problem
        when cluster is null then 'no_cluster'
        when not list_contains($clusters, cluster) then 'undeclared_cluster'
        when pool is null then 'no_pool'
        when kilowatts is null then 'unreadable_kilowatts'
        when pue is null or pue < 1 then 'unreadable_pue'
        when price_per_kwh is null then 'unreadable_price'
        when currency is null or not regexp_full_match(currency, '[A-Z]{3}') then 'unreadable_currency'
        when $time_zone is null and (is_local_time(from_text) or is_local_time(to_text)) then 'undeclared_time_zone'
        when valid_from_at is null then 'unreadable_valid_from'
        when to_text is not null and valid_to_at is null then 'unreadable_valid_to'
        when valid_to_at < valid_from_at then 'end_before_start'
    end as reject_reason,
    plausible(valid_from_at) as record_at,
    null::bigint as record_accelerator_seconds
from typed
