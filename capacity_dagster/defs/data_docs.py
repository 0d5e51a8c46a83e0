"""What the suites expected and found: the checks of those written by hand, and the pages on all of them."""

import dagster as dg

from capacity_dagster import progress
from capacity_dagster.data_docs import write_data_docs
from capacity_dagster.defs.metadata import check_result, data_docs_metadata
from capacity_dagster.defs.resources import WarehouseResource
from capacity_dagster.judging import judge_stale_suites
from capacity_dagster.tables.catalogue import load_catalogue
from capacity_dagster.tables.suites import load_suites, planned_suite_checks

DATA_DOCS = dg.AssetKey(["published", "data_docs"])


def _read() -> list[dg.AssetKey]:
    """The tables that a suite reads, and the raw ones, which have suites of their own."""
    catalogue = load_catalogue()
    names = {table.full_name for table in catalogue.of_layer("raw")}
    names |= {name for suite in load_suites() for name in suite.inputs if name in catalogue.tables}
    return [dg.AssetKey(name.split(".")) for name in sorted(names)]


@dg.asset(
    key=DATA_DOCS,
    deps=_read(),
    check_specs=[
        dg.AssetCheckSpec(check.name, asset=DATA_DOCS, description=check.description, blocking=check.is_blocking)
        for suite in load_suites()
        for check in planned_suite_checks(suite)
    ],
    description="One row per suite of expectations, as a page: what was expected of the data, and what was found.\n\n"
    "Judges the suites that are written by hand, which compare sums, volumes and sources. Publishing puts the pages "
    "into `published/current/data_docs`.",
    group_name="published",
    kinds={"html"},
    owners=["team:capacity-engineering"],
    tags={"layer": "published"},
)
def data_docs(context: dg.AssetExecutionContext, warehouse: WarehouseResource) -> dg.MaterializeResult:
    """Judges the suites that are stale, and writes the pages that changed."""
    progress.started("published.data_docs")
    materialiser = warehouse.materialiser
    judged = judge_stale_suites(materialiser.warehouse, load_suites())
    docs = write_data_docs(materialiser.warehouse, materialiser.catalogue, load_suites())
    for page in docs.written:
        context.log.info(f"{page} is written anew")
    return dg.MaterializeResult(
        metadata=data_docs_metadata(docs),
        check_results=[check_result(DATA_DOCS, check) for checks in judged.values() for check in checks],
    )
