select
    source,
    usage_date,
    records,
    usual_records,
    share_of_usual
from result
