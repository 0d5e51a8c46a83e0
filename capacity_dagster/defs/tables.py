"""One asset for each table of `assets_sql`, with its checks."""

from collections.abc import Iterator
from datetime import date
from typing import Any

import dagster as dg

from capacity_dagster import progress
from capacity_dagster.defs.metadata import (
    check_result,
    definition_metadata,
    delivery_metadata,
    outcome_metadata,
    quarantine_metadata,
)
from capacity_dagster.defs.resources import WarehouseResource
from capacity_dagster.outcome import Outcome
from capacity_dagster.privacy import concealed
from capacity_dagster.quarantine import rejected_reasons
from capacity_dagster.tables.catalogue import Catalogue, Table, load_catalogue
from capacity_dagster.tables.checks import planned_checks
from capacity_dagster.wording import printable


def key_of(table: Table) -> dg.AssetKey:
    """The asset key of a table: its schema and its name."""
    return dg.AssetKey([table.layer, table.name])


QUARANTINE = "core.rejected_records"
"""The table whose asset shows the top reasons, with samples."""

DAYS = dg.DynamicPartitionsDefinition(name="usage_date")
"""The reporting days that a site accounts for: exactly those that `core.cluster_days` has."""


def table_asset(table: Table, catalogue: Catalogue) -> dg.AssetsDefinition:
    """The asset of a table that is rebuilt whole."""

    described = _described(table, catalogue)

    @dg.asset(
        key=key_of(table),
        check_specs=_check_specs(table),
        deps=described["deps"],
        description=described["description"],
        group_name=described["group_name"],
        kinds=described["kinds"],
        owners=described["owners"],
        tags=described["tags"],
        code_version=described["code_version"],
        metadata=described["metadata"],
    )
    def build_table(context: dg.AssetExecutionContext, warehouse: WarehouseResource) -> dg.MaterializeResult:
        outcome = _build(context, warehouse, table, [])
        if table.is_raw:
            context.log_event(
                dg.AssetObservation(asset_key=["landing", table.name], metadata=delivery_metadata(outcome))
            )
        if table.full_name == QUARANTINE:
            connection = warehouse.materialiser.warehouse.connection
            reasons = concealed(connection, rejected_reasons(connection))
            return _result(outcome, quarantine_metadata(reasons, not outcome.was_up_to_date))
        return _result(outcome)

    return build_table


def day_assets(catalogue: Catalogue) -> dg.AssetsDefinition:
    """The assets of the tables that are rebuilt by day, as one step.

    Run without a partition, as the job `build` does, it rebuilds what is stale and marks the days that it touched; run
    with a range of days, as from the UI, it rebuilds that range. They share a step because Dagster cannot resolve a
    dependency between two partitioned steps in a run without a partition (docs/decisions/0002), and because a day of
    the report is never older than the same day of the mart. A blocking check that fails ends the step there.
    """
    tables = [table for table in catalogue if table.contract.partition]

    @dg.multi_asset(
        name="days",
        specs=[dg.AssetSpec(key_of(table), skippable=True, **_described(table, catalogue)) for table in tables],
        check_specs=[spec for table in tables for spec in _check_specs(table)],
        partitions_def=DAYS,
        backfill_policy=dg.BackfillPolicy.single_run(),
    )
    def days(context: dg.AssetExecutionContext, warehouse: WarehouseResource) -> Iterator[dg.MaterializeResult]:
        asked = _days_of_run(context)
        _register_days(context, warehouse.accounted_days)
        for table in tables:
            outcome = _build(context, warehouse, table, asked or warehouse.forced_days)
            result = _result(outcome)
            for day in sorted(set(outcome.days) - set(asked)):  # Dagster itself marks those that were asked for
                context.log_event(
                    dg.AssetMaterialization(
                        asset_key=key_of(table),
                        partition=day.isoformat(),
                        metadata={"why": "; ".join(outcome.reasons)},
                    )
                )
            yield result

    return days


def _build(
    context: dg.AssetExecutionContext, warehouse: WarehouseResource, table: Table, forced_days: list[date]
) -> Outcome:
    progress.started(table.full_name)
    outcome = warehouse.materialiser.bring_up_to_date(table, forced_days)
    progress.finished(outcome)
    for reason in outcome.reasons:
        context.log.info(printable(f"{table.full_name}: {reason}"))
    for problem in outcome.problems:
        context.log.error(printable(problem))
    return outcome


def _result(outcome: Outcome, more: dict[str, Any] | None = None) -> dg.MaterializeResult:
    return dg.MaterializeResult(
        asset_key=key_of(outcome.table),
        metadata={**outcome_metadata(outcome), **(more or {})},
        check_results=[check_result(key_of(outcome.table), check) for check in outcome.checks],
    )


def _described(table: Table, catalogue: Catalogue) -> dict[str, Any]:
    upstream = [key_of(each) for each in catalogue.upstream(table)]
    if table.is_raw:
        upstream = [dg.AssetKey(["landing", table.name])]
    return {
        "deps": upstream,
        "description": table.contract.description.replace("\n", "\n\n", 1),
        "group_name": table.layer,
        "kinds": {"duckdb", "sql"},
        "owners": [table.contract.owner],
        "tags": {"layer": table.layer, **table.contract.tags},
        "code_version": table.code_hash,
        "metadata": definition_metadata(table),
    }


def _check_specs(table: Table) -> list[dg.AssetCheckSpec]:
    return [
        dg.AssetCheckSpec(check.name, asset=key_of(table), description=check.description, blocking=check.is_blocking)
        for check in planned_checks(table)
    ]


def _days_of_run(context: dg.AssetExecutionContext) -> list[date]:
    """The days that a run from the UI asks for; empty where it names none."""
    if not context.has_partition_key_range and not context.has_partition_key:
        return []
    return [date.fromisoformat(key) for key in context.partition_keys]


def _register_days(context: dg.AssetExecutionContext, days: list[date]) -> None:
    """Makes the partitions that the UI shows those that are accounted for."""
    known = set(context.instance.get_dynamic_partitions(str(DAYS.name)))
    accounted = {day.isoformat() for day in days}
    if new := sorted(accounted - known):
        context.instance.add_dynamic_partitions(str(DAYS.name), new)
    for gone in sorted(known - accounted):
        context.instance.delete_dynamic_partition(str(DAYS.name), gone)


@dg.definitions
def tables() -> dg.Definitions:
    """The assets of all tables."""
    catalogue = load_catalogue()
    return dg.Definitions(
        assets=[
            *(table_asset(table, catalogue) for table in catalogue if not table.contract.partition),
            day_assets(catalogue),
        ]
    )
