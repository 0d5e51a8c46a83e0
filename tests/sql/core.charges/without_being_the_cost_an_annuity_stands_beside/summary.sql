select
    charge_id,
    cast(amount_picos / 1000000000000 as decimal(18, 2)) as amount,
    cast(straight_line_picos / 1000000000000 as decimal(18, 2)) as straight_line,
    cast(annuity_picos / 1000000000000 as decimal(18, 2)) as annuity,
    case when charge_id = 'lot/L1' then cast(annuity_picos / 4000000000000 as decimal(18, 2)) end as a_year
from result
