-- severity: error
-- Records received, by source, differ from those accepted, rejected and superseded.
with delivered as (
    select
        source_kind as source,
        cast(sum(accepted_rows + rejected_rows) as bigint) as delivered_rows
    from landing.deliveries
    group by source_kind
),

counted as (
    select
        source,
        cast(sum(rows_received) as bigint) as rows_received,
        cast(sum(rows_accepted + rows_rejected + rows_superseded) as bigint) as rows_accounted
    from report.data_trust_daily
    group by source
)

select
    delivered.source,
    delivered.delivered_rows,
    counted.rows_received,
    counted.rows_accounted
from delivered
full outer join counted on delivered.source = counted.source
where coalesce(delivered.delivered_rows, 0) <> coalesce(counted.rows_received, 0)
    or coalesce(counted.rows_received, 0) <> coalesce(counted.rows_accounted, 0)
