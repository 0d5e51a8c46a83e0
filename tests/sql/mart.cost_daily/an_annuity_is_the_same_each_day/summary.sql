select
    usage_date,
    cost_component,
    cast(cost / 8 / 24 as decimal(18, 4)) as an_hour,
    cast(straight_line_cost / 8 / 24 as decimal(18, 4)) as straight_line_an_hour,
    cast(annuity_cost / 8 / 24 as decimal(18, 4)) as annuity_an_hour
from result
