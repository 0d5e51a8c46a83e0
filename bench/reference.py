"""The yardstick: what the product publishes of a generated site, by a script that was tuned for such sites by hand.

`python bench/reference.py SITE_FOLDER OUT_FOLDER` writes `capacity.duckdb` (schemas mart and report) and a Parquet file
for each table, with the product's content and nothing of the product: no contracts, checks, state or increments. The
SQL is in `reference.sql`. Each stage is told as a line of JSON, with the CPU and wall seconds that it took.
"""

import argparse
import json
import re
import resource
import shutil
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import duckdb

DICTIONARIES = {
    "partitions": "partition_name",
    "qualities": "quality",
    "accounts": "account",
    "users": "user_name",
    "reservation_names": "reservation_name",
    "states": "state",
    "requests": "request",
    "node_lists": "node_list",
}
"""Which column of the delivered lines each dictionary numbers."""

TABLES = {
    "mart": (
        "attempt_hours",
        "attempt_nodes",
        "attempts",
        "capacity_ledger_hourly",
        "compared_attempts_hourly",
        "compared_nodes_hourly",
        "cost_daily",
        "demand_hourly",
        "fragmentation_hourly",
        "node_timeline",
        "queue_hourly",
        "queue_percentiles_daily",
        "queue_waits",
        "scheduler_bridge_hourly",
    ),
    "report": (
        "cost_per_accelerator_hour_daily",
        "cost_per_accelerator_hour_monthly",
        "data_trust_daily",
        "demand_daily",
        "fleet_efficiency_daily",
        "focus_charges",
        "queue_daily",
        "reconciliation_daily",
        "showback_daily",
        "showback_monthly",
        "team_efficiency_daily",
    ),
}
"""What is published; each has a view of its name in `reference.sql`."""

STORAGE_VERSION = "v1.4.0"
BATCH_BYTES = 400_000_000
FIRST_DAY = re.compile(r"^first_day = (\S+)$", re.MULTILINE)
COLLECTED_AT = re.compile(r"collected-(\d{8}T\d{6})Z")


class Stages:
    """Runs the stages of `reference.sql` and says what each one takes."""

    def __init__(self, connection: duckdb.DuckDBPyConnection) -> None:
        text = Path(__file__).with_name("reference.sql").read_text(encoding="utf-8")
        parts = re.split(r"^-- stage: (.+)$", text, flags=re.MULTILINE)
        self._sql = dict(zip(parts[1::2], parts[2::2], strict=True))
        self._connection = connection
        self._cpu = cpu_seconds()
        self._wall = time.perf_counter()

    def run(self, name: str, **names: str) -> None:
        self._connection.execute(self._sql[name].format(**names) if names else self._sql[name])

    def tell(self, name: str) -> None:
        """Prints what was used since the stage before."""
        cpu, wall = cpu_seconds(), time.perf_counter()
        told = {"stage": name, "cpu_seconds": round(cpu - self._cpu, 3), "wall_seconds": round(wall - self._wall, 3)}
        print(json.dumps(told), flush=True)
        self._cpu, self._wall = cpu, wall


def cpu_seconds() -> float:
    """What this process has used, user and system."""
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


def build(site: Path, out: Path, memory_limit: str, threads: int) -> None:
    """Writes what the product would publish of a generated site."""
    database = out / "capacity.duckdb"
    shutil.rmtree(out, ignore_errors=True)
    out.mkdir(parents=True)
    connection = duckdb.connect(
        ":memory:", config={"memory_limit": memory_limit, "threads": threads, "temp_directory": str(out / "tmp")}
    )
    stages = Stages(connection)
    landing = site / "landing"
    files = sorted((landing / "slurm" / "atlas").glob("jobs-*"))
    collected = [instant(COLLECTED_AT.search(file.name)[1]) for file in files]
    first_day = FIRST_DAY.search((site / "site.toml").read_text(encoding="utf-8"))[1]
    for name, value in (
        ("landing", str(landing)),
        ("first_at", instant(first_day.replace("-", "") + "T000000")),
        ("as_of", max(collected)),
    ):
        connection.execute(f"set variable {name} = ?", [value])
    stages.run("begin")
    for number, (file, collected_at) in enumerate(zip(files, collected, strict=True)):
        path = file.relative_to(landing).as_posix()
        connection.execute("insert into files values (?, ?, ?)", [number, path, collected_at])
    for first, batch in batches(files):
        connection.execute("set variable paths = ?", [[str(file) for file in batch]])
        connection.execute("set variable first_file = ?", [first])
        stages.run("lines")
        for dictionary, column in DICTIONARIES.items():
            stages.run("dictionary", dictionary=dictionary, column=column)
        stages.run("records")
    stages.tell("read")
    for stage in ("attempts", "nodes", "attempts by key", "runaways", "timeline", "ledger", "queue", "days"):
        stages.run(stage)
        stages.tell(stage)
    stages.run("views")
    connection.execute(f"attach '{database}' as capacity (storage_version '{STORAGE_VERSION}')")
    for schema, tables in TABLES.items():
        connection.execute(f"create schema capacity.{schema}")
        for table in tables:
            connection.execute(f"create table capacity.{schema}.{table} as from {schema}_{table}")
    connection.execute("checkpoint capacity")
    stages.tell("write database")
    for schema, tables in TABLES.items():
        for table in tables:
            folder = out / "parquet" / schema / table
            folder.mkdir(parents=True)
            target = folder / f"{table}.parquet"
            connection.execute(f"copy (from {schema}_{table}) to '{target}' (format parquet, compression zstd)")
    stages.tell("write parquet")


def batches(files: list[Path]) -> Iterator[tuple[int, list[Path]]]:
    """(number of the first, files) that are read together: few statements, and little memory for large files."""
    first, size = 0, 0
    for number, file in enumerate(files):
        if size and size + file.stat().st_size > BATCH_BYTES:
            yield first, files[first:number]
            first, size = number, 0
        size += file.stat().st_size
    yield first, files[first:]


def instant(stamp: str) -> int:
    """Seconds since 1970 of a time such as 20250201T000000."""
    return int(datetime.strptime(stamp, "%Y%m%dT%H%M%S").replace(tzinfo=UTC).timestamp())


def main() -> None:
    """Builds what the command line names."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("site", type=Path, help="folder of a generated site")
    parser.add_argument("out", type=Path, help="folder to write; what is in it is removed")
    parser.add_argument("--memory-limit", default="8GB")
    parser.add_argument("--threads", type=int, default=2)
    given = parser.parse_args()
    build(given.site, given.out, given.memory_limit, given.threads)


if __name__ == "__main__":
    main()
