with start_days as (
    select distinct
        cluster,
        date_trunc('day', started_at) as start_day_at
    from core.attempts
    where started_at is not null
)

select
    start_days.cluster,
    start_days.start_day_at,
    epochs.epoch_at,
    greatest(epochs.epoch_at, start_days.start_day_at) as valid_from_at,
    least(epochs.epoch_end_at, start_days.start_day_at + interval 1 day) as valid_to_at
from start_days
inner join core.inventory_epochs as epochs
    on start_days.cluster = epochs.cluster
    and epochs.epoch_at < start_days.start_day_at + interval 1 day
    and epochs.epoch_end_at > start_days.start_day_at
