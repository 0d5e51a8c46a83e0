-- What each pool is ever billed for besides its purchases. A new component makes every day without its bill unknown.
select distinct
    cluster,
    pool,
    cost_component,
    currency
from core.charges
where accelerator_model is null
