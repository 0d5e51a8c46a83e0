-- What each pool is ever billed for besides its purchases, in whatever currency. A new component makes every day without its
-- bill unknown.
select distinct
    cluster,
    pool,
    cost_component
from core.charges
where accelerator_model is null
