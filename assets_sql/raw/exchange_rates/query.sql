with typed as (
    select
        source_line,
        record_text,
        problem,
        given(from_currency) as from_currency,
        given(to_currency) as to_currency,
        case when regexp_full_match(given(rate), '[0-9]{1,9}(\.[0-9]{1,12})?')
            then try_cast(given(rate) as decimal(38, 12)) end as exchange_rate,
        given(provider_name) as provider_name,
        instant(given(valid_from), $time_zone) as valid_from_at,
        instant(given(valid_to), $time_zone) as valid_to_at,
        given(valid_from) as from_text,
        given(valid_to) as to_text
    from delivered
)

select
    from_currency,
    to_currency,
    exchange_rate,
    provider_name,
    valid_from_at,
    valid_to_at,
    source_line,
    record_text,
    case
        when problem is not null then problem
        when from_currency is null or not regexp_full_match(from_currency, '[A-Z]{3}') then 'unreadable_currency'
        when to_currency is null or not regexp_full_match(to_currency, '[A-Z]{3}') then 'unreadable_currency'
        when exchange_rate is null or exchange_rate <= 0 then 'unreadable_rate'
        when $time_zone is null and (is_local_time(from_text) or is_local_time(to_text)) then 'undeclared_time_zone'
        when valid_from_at is null then 'unreadable_valid_from'
        when valid_to_at is null then 'unreadable_valid_to'
        when valid_to_at <= valid_from_at then 'end_before_start'
    end as reject_reason,
    plausible(valid_from_at) as record_at,
    null::bigint as record_accelerator_seconds,
    null::varchar as cluster
from typed
