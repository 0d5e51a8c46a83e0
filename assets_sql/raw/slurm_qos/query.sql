with typed as (
    select
        source_line,
        record_text,
        problem,
        given(qos) as qos,
        given(preempts) as preempts,
        whole(given(priority)) as priority
    from delivered
)

select
    $cluster as cluster,
    qos,
    preempts,
    priority,
    source_line,
    record_text,
    case
        when problem is not null then problem
        when qos is null then 'no_name'
    end as reject_reason,
    cast(null as timestamp) as record_at,
    cast(null as bigint) as record_accelerator_seconds
from typed
