select distinct
    attempts.cluster,
    attempts.allocated_tres,
    coalesce(attempts.node_list, '') as node_list,
    coalesce(epochs.epoch_at, timestamp '1900-01-01') as epoch_at
from attempts_in_scope as attempts
inner join (select distinct tres from core.tres) as tres on attempts.allocated_tres = tres.tres
left join core.epoch_days as epochs
    on attempts.cluster = epochs.cluster
    and date_trunc('day', attempts.started_at) = epochs.start_day_at
    and attempts.started_at >= epochs.valid_from_at
    and attempts.started_at < epochs.valid_to_at
where attempts.started_at is not null
