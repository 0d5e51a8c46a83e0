-- severity: error
-- What an attempt holds on nodes differs from what it was allocated.
with placed as (
    select
        attempt_id,
        cast(sum(accelerator_units) as bigint) as placed_units
    from mart.attempt_nodes
    group by attempt_id
)

select
    attempts.attempt_id,
    attempts.accelerator_units,
    placed.placed_units
from core.attempts as attempts
left join placed on attempts.attempt_id = placed.attempt_id
where attempts.started_at is not null
    and attempts.accelerator_units > 0
    and attempts.accelerator_units is distinct from placed.placed_units
