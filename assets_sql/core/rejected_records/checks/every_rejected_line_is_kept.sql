-- severity: error
-- Lines that were rejected when files were read, by source, are not those that the quarantine stands for.
with delivered as (
    select
        source_kind as source,
        count(*) as delivered_rows
    from landing.rejected
    group by source_kind
),

kept as (
    select
        source,
        cast(sum(rows_delivered) as bigint) as kept_rows
    from core.rejected_records
    where rejected_in = 'raw'
    group by source
)

select
    coalesce(delivered.source, kept.source) as source,
    delivered.delivered_rows,
    kept.kept_rows
from delivered
full outer join kept on delivered.source = kept.source
where coalesce(delivered.delivered_rows, 0) <> coalesce(kept.kept_rows, 0)
