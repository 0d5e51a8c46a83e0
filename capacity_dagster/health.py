"""What a build left, for those who watch: which blocking checks fail, and when each source delivered last.

What belongs here: writing that down at the end of every run, and reading it. What does not: who is told (`alerts`).

It is a file, so that whoever watches needs neither the databases nor the lock, and never keeps a build waiting.
"""

import json
import logging
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from typing import Any

import duckdb

from capacity_dagster.durable import write_whole
from capacity_dagster.publish import failed_checks
from capacity_dagster.site_file import Site
from capacity_dagster.tables.catalogue import assets_folder, load_catalogue
from capacity_dagster.tables.quoting import parquet
from capacity_dagster.warehouse import Warehouse, naive

log = logging.getLogger("capacity_dagster")

HEALTH_FILE = "health.json"
RECORD_TIMES = {
    "slurm_jobs": "coalesce(ended_at, started_at, submitted_at)",
    "slurm_queue": "taken_at",
    "slurm_account_usage": "window_start_at",
    "slurm_cluster_usage": "window_start_at",
}
"""SQL for the time of a record, of the kinds whose records never cease: a newer one means that something came."""


@dataclass(frozen=True)
class FailedCheck:
    """A blocking check that has not passed on the current state of its table."""

    table: str
    check: str
    failed_rows: int
    description: str
    sample: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Arrival:
    """When a source delivered last, for one cluster, or (empty) for none in particular.

    Attributes:
        usual_gap_hours: half of its last deliveries came sooner after the one before; None: there was one only.
    """

    source: str
    cluster: str
    newest_at: datetime
    deliveries: int
    usual_gap_hours: float | None


@dataclass(frozen=True)
class Health:
    """What the last build left, at the end of it."""

    at: datetime
    failed: list[FailedCheck]
    arrivals: list[Arrival]


def record_health(warehouse: Warehouse, now: datetime) -> None:
    """Writes down what a build left; that this fails fails no build."""
    path = warehouse.site.work / HEALTH_FILE
    try:
        health = judged_health(warehouse, now)
        write_whole(path, json.dumps(asdict(health), default=_told, indent=1) + "\n")
    except (OSError, duckdb.Error) as error:
        log.warning("%s: not written, so that alerts judge by what the build before left: %s", path, error)


def judged_health(warehouse: Warehouse, now: datetime) -> Health:
    """What is so in an open warehouse."""
    _note_new_loads(warehouse, now)
    arrivals = (assets_folder() / "alerts" / "arrivals.sql").read_text(encoding="utf-8")
    return Health(
        now,
        [
            FailedCheck(
                table, check.name, check.failed_rows, check.description, check.sample[0] if check.sample else {}
            )
            for table, check in failed_checks(warehouse)
        ],
        [
            Arrival(source, cluster, newest_at.replace(tzinfo=UTC), deliveries, gap)
            for source, cluster, newest_at, deliveries, gap in warehouse.rows(arrivals)
        ],
    )


def read_health(site: Site) -> Health | None:
    """What the last build left; None where none was, or where it cannot be read."""
    try:
        told = json.loads((site.work / HEALTH_FILE).read_text(encoding="utf-8"))
        return Health(
            datetime.fromisoformat(told["at"]),
            [FailedCheck(**each) for each in told["failed"]],
            [Arrival(**{**each, "newest_at": datetime.fromisoformat(each["newest_at"])}) for each in told["arrivals"]],
        )
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _note_new_loads(warehouse: Warehouse, now: datetime) -> None:
    """Looks once at the records of each content that was read: on which days they are.

    Records of the future are no sign that something was delivered.
    """
    noted = "pipeline.state.load_days"
    missing = warehouse.rows(
        "select source_kind, list(distinct load_id order by load_id) from landing.deliveries "
        f"where load_id not in (select load_id from {noted}) group by all order by 1"
    )
    catalogue = load_catalogue()
    with warehouse.transaction() as connection:
        connection.execute(f"delete from {noted} where load_id not in (select load_id from landing.deliveries)")
        for kind, loads in missing:
            files = [warehouse.site.records_file(kind, load_id) for load_id in loads]
            cluster = "nullif(cluster, '')" if "cluster" in catalogue[f"raw.{kind}"].contract.columns else "null"
            connection.execute(
                f"insert into {noted} select load_id, {cluster}, cast(told_at as date), max(told_at) from "
                f"(select *, {RECORD_TIMES.get(kind, 'null::timestamp')} as told_at from {parquet(files)}) "
                "where reject_reason is null and (told_at is null or told_at <= ?) group by all",
                [naive(now)],
            )
            connection.execute(  # those without a record were looked at, too
                f"insert into {noted} select load_id, null, null, null from (select unnest(?) as load_id) "
                f"where load_id not in (select load_id from {noted})",
                [loads],
            )


def _told(value: Any) -> str:
    return value.isoformat() if isinstance(value, datetime) else str(value)
