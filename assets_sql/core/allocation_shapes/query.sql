select distinct
    attempts.cluster,
    attempts.allocated_tres,
    coalesce(attempts.node_list, '') as node_list,
    coalesce(epochs.epoch_at, timestamp '1900-01-01') as epoch_at
from core.attempts as attempts
inner join (select distinct tres from core.tres) as tres on attempts.allocated_tres = tres.tres
left join core.inventory_epochs as epochs
    on attempts.cluster = epochs.cluster
    and attempts.started_at >= epochs.epoch_at
    and attempts.started_at < epochs.epoch_end_at
where attempts.started_at is not null
