"""The warehouse as a resource: opened, and locked, once for a whole run."""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, date, datetime

import dagster as dg
import duckdb
from dagster_duckdb import DuckDBResource
from pydantic import PrivateAttr

from capacity_dagster import progress
from capacity_dagster.health import record_health
from capacity_dagster.materialise import Materialiser
from capacity_dagster.site_file import load_site, site_path
from capacity_dagster.sources.landing import parse_instant
from capacity_dagster.sources.object_store import mirror
from capacity_dagster.tables.catalogue import load_catalogue
from capacity_dagster.warehouse import Warehouse


class WarehouseResource(DuckDBResource):
    """The site's warehouse, for the steps of one run.

    Where the plain resource keeps its connection open after a failure and gives up on a lock after a while, this one
    closes whatever happens, and waits for another build for as long as that takes, saying for whom.

    Attributes:
        database: the site file; its folder holds the databases.
        as_of: until when records speak, an instant with an offset; null: what the deliveries declare.
        rebuild_from: first day to rebuild even if nothing changed.
        rebuild_to: last such day.
        allow_erasing: whether deliveries may take away most of a month's or day's attempts, or of a bill's charges.
    """

    as_of: str | None = None
    rebuild_from: str | None = None
    rebuild_to: str | None = None
    allow_erasing: bool = False

    _materialiser: Materialiser | None = PrivateAttr(default=None)

    @contextmanager
    def yield_for_execution(self, context: dg.InitResourceContext) -> Iterator["WarehouseResource"]:
        """Holds the write lock from the first step of a run to its last."""
        as_of = parse_instant(self.as_of) if self.as_of else None
        warehouse = Warehouse(load_site(self.database), as_of, self.allow_erasing)
        run_id = context.run.run_id[:8] if context.run else "without a run"
        with warehouse.write(f"build {run_id}"):
            mirror(warehouse.site)
            self._materialiser = Materialiser(warehouse, load_catalogue(), progress.started)
            try:
                yield self
            finally:
                self._materialiser = None
                record_health(warehouse, datetime.now(UTC))

    @contextmanager
    def get_connection(self) -> Iterator[duckdb.DuckDBPyConnection]:
        """The run's connection to both databases."""
        yield self.materialiser.warehouse.connection

    @property
    def materialiser(self) -> Materialiser:
        """Brings tables of the open warehouse up to date."""
        if self._materialiser is None:
            raise dg.DagsterInvalidInvocationError("the warehouse is open only while a run is")
        return self._materialiser

    @property
    def accounted_days(self) -> list[date]:
        """The days that the site accounts for, in order."""
        warehouse = self.materialiser.warehouse
        if warehouse.version("core.cluster_days") is None:
            return []
        return [row[0] for row in warehouse.rows("select distinct usage_date from core.cluster_days order by 1")]

    @property
    def forced_days(self) -> list[date]:
        """The days that the run was asked to rebuild, changed or not."""
        if not self.rebuild_from and not self.rebuild_to:
            return []
        first = date.fromisoformat(self.rebuild_from) if self.rebuild_from else date.min
        last = date.fromisoformat(self.rebuild_to) if self.rebuild_to else date.max
        return [day for day in self.accounted_days if first <= day <= last]


@dg.definitions
def resources() -> dg.Definitions:
    """The warehouse of the site that is named by CAPACITY_SITE, or of the demo."""
    return dg.Definitions(
        resources={"warehouse": WarehouseResource(database=str(site_path()))},
        executor=dg.in_process_executor,  # whatever is launched from the UI, too: one writer, one process
    )
