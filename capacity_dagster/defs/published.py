"""The published version: what analysts open."""

import dagster as dg

from capacity_dagster import progress
from capacity_dagster.defs.data_docs import DATA_DOCS
from capacity_dagster.defs.landing import DAILY
from capacity_dagster.defs.metadata import publication_metadata
from capacity_dagster.defs.resources import WarehouseResource
from capacity_dagster.publish import publish
from capacity_dagster.tables.catalogue import load_catalogue

PUBLISHED = dg.AssetKey(["published", "current"])


@dg.asset(
    key=PUBLISHED,
    deps=[*(dg.AssetKey([table.layer, table.name]) for table in load_catalogue() if table.is_published), DATA_DOCS],
    description="One row per published version: the mart and the report as analysts open them, immutable.\n\n"
    "Refuses while a blocking check has not passed on the current state of its table; the version before stays.",
    group_name="published",
    kinds={"duckdb", "parquet"},
    owners=["team:capacity-engineering"],
    tags={"layer": "published"},
    freshness_policy=DAILY,
)
def published(context: dg.AssetExecutionContext, warehouse: WarehouseResource) -> dg.MaterializeResult:
    """Publishes what passed its checks."""
    progress.started("published")
    publication = publish(warehouse.materialiser, context.run.run_id)
    progress.published(publication)
    return dg.MaterializeResult(metadata=publication_metadata(publication))
