with typed as (
    select
        source_line,
        record_text,
        problem,
        given(lot_id) as lot_id,
        coalesce(given(cluster), $cluster) as cluster,
        given(pool) as pool,
        given(accelerator_model) as accelerator_model,
        whole(given(accelerators)) as lot_accelerators,
        case when regexp_full_match(given(price), '[0-9]{1,12}(\.[0-9]{1,9})?')
            then try_cast(given(price) as decimal(38, 12)) end as price,
        case when regexp_full_match(given(residual), '[0-9]{1,12}(\.[0-9]{1,9})?')
            then try_cast(given(residual) as decimal(38, 12)) end as residual,
        given(replacement_price) as replacement_text,
        case when regexp_full_match(given(replacement_price), '[0-9]{1,12}(\.[0-9]{1,9})?')
            then try_cast(given(replacement_price) as decimal(38, 12)) end as replacement_price,
        given(currency) as currency,
        instant(given(in_service_at), $time_zone) as in_service_at,
        whole(given(life_months)) as life_months,
        given(in_service_at) as in_service_text
    from delivered
)

select
    lot_id,
    cluster,
    pool,
    accelerator_model,
    lot_accelerators,
    price,
    residual,
    replacement_price,
    currency,
    in_service_at,
    life_months,
    source_line,
    record_text,
    case
        when problem is not null then problem
        when lot_id is null then 'no_lot_id'
        when cluster is null then 'no_cluster'
        when not list_contains($clusters, cluster) then 'undeclared_cluster'
        when pool is null then 'no_pool'
        when accelerator_model is null then 'no_model'
        when coalesce(lot_accelerators, 0) < 1 then 'unreadable_accelerators'
        when lot_accelerators > 10000000 then 'implausible_accelerators'
        when price is null then 'unreadable_price'
        when residual is null then 'unreadable_residual'
        when residual > price then 'residual_above_price'
        when replacement_text is not null and replacement_price is null then 'unreadable_replacement_price'
        when currency is null or not regexp_full_match(currency, '[A-Z]{3}') then 'unreadable_currency'
        when $time_zone is null and is_local_time(in_service_text) then 'undeclared_time_zone'
        when in_service_at is null then 'unreadable_in_service'
        when life_months is null or life_months not between 1 and 600 then 'unreadable_life'
    end as reject_reason,
    plausible(in_service_at) as record_at,
    null::bigint as record_accelerator_seconds
from typed
