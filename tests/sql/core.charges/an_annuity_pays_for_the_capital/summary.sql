select
    charge_id,
    cast(amount_nanos / 1000000000 as decimal(18, 2)) as amount,
    cast(straight_line_nanos / 1000000000 as decimal(18, 2)) as straight_line,
    cast(annuity_nanos / 1000000000 as decimal(18, 2)) as annuity,
    case when charge_id = 'lot/L1' then cast(annuity_nanos / 4000000000 as decimal(18, 2)) end as a_year
from result
