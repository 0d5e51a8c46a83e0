"""Whether to believe the numbers, as a version tells it: in one line, and by cluster.

What belongs here: summing up what the tables of trust say. What does not: judging days (`core.day_trust`).
"""

from datetime import datetime
from decimal import Decimal
from typing import Any

from capacity_dagster.warehouse import Warehouse


def trust_line(warehouse: Warehouse) -> str:
    """One line on whether to believe the numbers."""
    received, rejected, hours, unvaluable = warehouse.rows(
        "select sum(rows_received), sum(rows_rejected), sum(rejected_hours), sum(rows_unvaluable) "
        "from report.data_trust_daily"
    )[0]
    compared, unexplained = warehouse.rows(
        "select count(*), coalesce(sum(abs(unexplained)), 0) from report.reconciliation_daily as compared "
        "inner join core.clusters as clusters on compared.cluster = clusters.cluster "
        "and compared.window_end <= clusters.as_of_at"
    )[0]
    reconciled = (
        f"{compared:,} totals of the scheduler compared, {unexplained:,} seconds unexplained"
        if compared
        else "no totals of the scheduler to compare with"
    )
    return (
        f"{received or 0:,} records received, {rejected or 0:,} rejected "
        f"({hours or 0:,.1f} accelerator-hours, {unvaluable or 0:,} without a readable value); {reconciled}"
    )


def trust_by_cluster(warehouse: Warehouse) -> dict[str, dict[str, Any]]:
    """What `report.trust_daily` says of each cluster in all."""
    rows = warehouse.connection.execute(
        """
        select
            cluster,
            max(newest_at) as newest_at,
            count(*) as days,
            count(case when trust = 'complete' then 1 end) as days_complete,
            count(case when trust = 'partial' then 1 end) as days_partial,
            count(case when trust = 'rejected' then 1 end) as days_with_rejected_records,
            count(case when trust = 'incomplete' then 1 end) as days_with_missing_sources,
            sum(rows_rejected) as rows_rejected,
            sum(rows_unvaluable) as rows_unvaluable,
            sum(rejected_hours) as rejected_hours,
            case
                when count(rejected_cost) = count(*) and count(distinct rejected_currency) <= 1 then sum(rejected_cost)
            end as rejected_cost,
            case when count(distinct rejected_currency) = 1 then min(rejected_currency) end as rejected_currency,
            max(telemetry_coverage) as telemetry_coverage,
            count(case when reconciliation_status = 'unexplained' then 1 end) as days_unexplained,
            sum(totals_compared) as totals_compared
        from report.trust_daily
        group by cluster
        order by cluster
        """
    )
    names = [column[0] for column in rows.description or ()][1:]
    return {cluster: dict(zip(names, map(_told, told), strict=True)) for cluster, *told in rows.fetchall()}


def _told(value: Any) -> Any:
    """A value as the manifest has it: exact numbers as text, instants as it writes them elsewhere."""
    if isinstance(value, datetime):
        return f"{value.isoformat()}Z"
    return str(value) if isinstance(value, Decimal) else value
