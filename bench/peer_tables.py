"""What the peers of the benchmark share, whatever library they use: the tables' shapes, the site, the stages' times.

What belongs here: what `assets_sql/report/*/contract.yaml` promises, and what surrounds a computation. What does not:
any computation.
"""

import json
import re
import sys
import time
import tomllib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import yaml

DAY = 86_400
HOUR = 3_600
UNITS = 84_000
"""Of one device."""

TOLD_OF_NUMBERS = frozenset({"trust", "rejected_currency"})
"""Columns in which the product says what its numbers are worth; no other contender does."""

EVER = 2**32 - 1
"""An instant after all others, in seconds since 1970."""

STATES = (
    *("COMPLETED", "FAILED", "OUT_OF_MEMORY", "TIMEOUT", "NODE_FAIL", "PREEMPTED", "REQUEUED", "RESIZING"),
    *("RUNNING", "PENDING"),
)
"""Words of a state that stand alone; `CANCELLED by 1234` is the other one."""

JOB_COLUMNS = (
    *(
        "Cluster",
        "DBIndex",
        "JobIDRaw",
        "JobID",
        "Submit",
        "Eligible",
        "Start",
        "End",
        "ElapsedRaw",
        "Suspended",
        "State",
    ),
    *("ExitCode", "Restarts", "Partition", "QOS", "Account", "User", "Reservation", "NNodes", "AllocCPUS", "ReqTRES"),
    *("AllocTRES", "TimelimitRaw", "NodeList", "Reason", "Flags", "FailedNode", "JobName"),
)

REPORT = (
    *("fleet_efficiency_daily", "team_efficiency_daily", "cost_per_accelerator_hour_daily"),
    *("cost_per_accelerator_hour_monthly", "queue_daily", "demand_daily", "data_trust_daily", "reconciliation_daily"),
)
"""The tables that a peer computes."""


@dataclass(frozen=True)
class Contract:
    """What a table promises: its key, and its columns in order with their SQL types."""

    key: list[str]
    columns: dict[str, str]


def read_contracts() -> dict[str, Contract]:
    """The contracts of the report tables."""
    assets = Path(__file__).parent.parent / "assets_sql"
    known = _read_yaml(assets / "columns.yaml")
    found = {}
    for table in REPORT:
        contract = _read_yaml(assets / "report" / table / "contract.yaml")
        found[table] = Contract(
            contract["key"],
            {name: known[name]["type"] for name in contract["columns"] if name not in TOLD_OF_NUMBERS},
        )
    return found


def _read_yaml(file: Path) -> dict[str, Any]:
    return yaml.load(file.read_text(encoding="utf-8"), yaml.CSafeLoader)


@dataclass(frozen=True)
class Site:
    """A generated site: where its files are, and what its site file says."""

    folder: Path
    cluster: str
    first_day: date
    models: dict[str, str]
    """The accelerator model of each name for it."""
    workload_rules: list[tuple[str, str | None, str | None]]
    """(class, partition or any, quality of service or any), of which the first that fits rules."""

    @property
    def landing(self) -> Path:
        """What was delivered."""
        return self.folder / "landing"

    @property
    def scheduler_files(self) -> Path:
        """What the scheduler's tools wrote."""
        return self.landing / "slurm" / self.cluster

    @property
    def first_at(self) -> int:
        """The first day's beginning."""
        return int(datetime(self.first_day.year, self.first_day.month, self.first_day.day, tzinfo=UTC).timestamp())

    @property
    def as_of(self) -> int:
        """Until when the records speak: when the last delivery was collected."""
        return max(collected_at(file) for file in self.scheduler_files.glob("*-collected-*"))

    def deliveries(self, kind: str) -> list[Path]:
        """The files of a kind, as they were collected."""
        return sorted(self.scheduler_files.glob(f"{kind}-*"), key=collected_at)


def read_site(folder: Path) -> Site:
    """What a generated site's file says."""
    content = tomllib.loads((folder / "site.toml").read_text(encoding="utf-8"))
    return Site(
        folder=folder,
        cluster=next(iter(content["clusters"])),
        first_day=content["site"]["first_day"],
        models={
            alias.lower(): model
            for model, about in content["accelerators"].items()
            for alias in (model, *about.get("aliases", ()))
        },
        workload_rules=[
            (rule["name"], partition, qos)
            for rule in content["workload_classes"]
            for partition in rule.get("partitions", [None])
            for qos in rule.get("qos", [None])
        ],
    )


def collected_at(file: Path) -> int:
    """When a delivery says that it was collected."""
    stamp = re.search(r"collected-([0-9]{8}T[0-9]{6})Z", file.name)
    assert stamp, file
    return int(datetime.strptime(stamp.group(1), "%Y%m%dT%H%M%S").replace(tzinfo=UTC).timestamp())


@contextmanager
def stage(name: str) -> Iterator[None]:
    """Prints what a part of the work took, as a line of JSON."""
    cpu, wall = time.process_time(), time.perf_counter()
    yield
    took = {"cpu_seconds": time.process_time() - cpu, "wall_seconds": time.perf_counter() - wall}
    print(json.dumps({"stage": name, **{unit: round(seconds, 3) for unit, seconds in took.items()}}), flush=True)


def arguments() -> tuple[Site, Path]:
    """The site and the folder for its tables, as the command line names them."""
    if len(sys.argv) != 3:
        sys.exit(f"usage: python {sys.argv[0]} SITE_FOLDER OUT_FOLDER")
    return read_site(Path(sys.argv[1])), Path(sys.argv[2])


def table_file(out: Path, table: str) -> Path:
    """Where a table is written to."""
    folder = out / "parquet" / "report" / table
    folder.mkdir(parents=True, exist_ok=True)
    return folder / f"{table}.parquet"
