"""The table of what may be wrong around a site: its databases, what is published, its disk, its clock, and kills.

What belongs here: a line for each, with how it is made and what must come of the next build. What does not: contents
and landings (`file_faults`, `landing_faults`).
"""

import json
import os
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Literal

from fault_files import T0, job

KILLED = {
    "killed_writing": "capacity_dagster.publish:_write_database",
    "killed_syncing": "capacity_dagster.publish:make_durable",
    "killed_before_the_swap": "capacity_dagster.publish:point",
    "killed_after_the_swap": "capacity_dagster.warehouse:Warehouse.record_published",
    "killed_pruning": "capacity_dagster.publish:prune_versions",
    "killed_reading": "capacity_dagster.sources.reader:Reader._copy",
    "killed_recording": "capacity_dagster.landed:_record_loads",
}
"""The functions before which a build is killed."""


@dataclass(frozen=True)
class SiteFault:
    """Something wrong with a site that was built and published, before it is built again.

    Attributes:
        id: names it, in words.
        what: what is wrong, for the page.
        spoil: makes it so, in a site's folder.
        said: a part of the message of a build that cannot go on; None: it goes on.
        remedy: what is done then, after which a build goes on.
        then: whether a build that goes on publishes the same numbers, or numbers with what is new.
        killed_before: the function before which the build is killed.
        tiny_disk: the folder that lies on a small file system, full of something else.
        read_only: the folder that lies on a file system that cannot be written.
        as_of: until when the records speak that are built then; after it a build is as before.
    """

    id: str
    what: str
    spoil: Callable[[Path], object] = lambda _: None
    said: str | None = None
    remedy: Callable[[Path], object] = lambda _: None
    then: Literal["same", "new"] = "same"
    killed_before: str | None = None
    tiny_disk: str | None = None
    read_only: str | None = None
    as_of: datetime | None = None


def deliver(site: Path) -> None:
    """A second good file, with a job of a later day."""
    later = job(50, Cluster="good", NodeList="g1", Submit=T0 + 7200, Start=T0 + 7200, End=T0 + 10800)
    header = (site / "landing/good/jobs.psv").read_text(encoding="utf-8").splitlines()[0]
    (site / "landing/good/jobs-2.psv").write_text(f"{header}\n{later}\n", encoding="utf-8")


def new_and(*spoils: Callable[[Path], object]) -> Callable[[Path], object]:
    """Something new is delivered, and something else happens."""

    def spoil(site: Path) -> None:
        deliver(site)
        for each in spoils:
            each(site)

    return spoil


def damage(name: str, keep: float, add: bytes = b"") -> Callable[[Path], object]:
    """Keeps a part of a file that a pattern names."""

    def spoil(site: Path) -> None:
        for file in sorted(site.glob(name)):
            content = file.read_bytes()
            file.chmod(0o644)
            file.write_bytes(content[: int(len(content) * keep)] + add)

    return spoil


def garble(name: str) -> Callable[[Path], object]:
    """Overwrites the middle of a file."""

    def spoil(site: Path) -> None:
        for file in sorted(site.glob(name)):
            content = file.read_bytes()
            file.write_bytes(content[:20_000] + b"x" * max(0, len(content) - 20_000))

    return spoil


def remove(name: str) -> Callable[[Path], object]:
    """Removes files, links or a folder."""

    def spoil(site: Path) -> None:
        for path in sorted(site.glob(name)):
            shutil.rmtree(path) if path.is_dir() and not path.is_symlink() else path.unlink()

    return spoil


def current_leads(target: str) -> Callable[[Path], object]:
    """Makes the link `current` lead elsewhere."""

    def spoil(site: Path) -> None:
        (site / "published/current").unlink()
        (site / "published/current").symlink_to(target)

    return spoil


def other_manifest(site: Path) -> None:
    """JSON that is no manifest."""
    manifest = site / "published/current/manifest.json"
    manifest.chmod(0o644)
    manifest.write_text("[1, 2]", encoding="utf-8")


def litter(site: Path) -> None:
    """What builds leave that are killed."""
    for name in (
        "published/versions/000009.unfinished/parquet/x.parquet",
        "work/tmp/read-x/clean.txt",
        "work/raw/slurm_jobs/y.parquet.12.tmp",
        "work/fingerprints.12.tmp",
    ):
        (site / name).parent.mkdir(parents=True, exist_ok=True)
        (site / name).write_bytes(b"half")
    (site / "published/.current.12").symlink_to("versions/000009")
    (site / "work/write.lock").write_text(json.dumps({"purpose": "x", "pid": os.getpid()}), encoding="utf-8")


DAMAGED = "has a damaged file"
NO_SPACE = "space"
READ_ONLY = "Read-only file system"
NO_WORK = remove("work")

SITES = [
    SiteFault(
        "database_garbage",
        "a database that is something else",
        damage("work/pipeline.duckdb", 0, b"x" * 9000),
        DAMAGED,
        NO_WORK,
    ),
    SiteFault("database_empty", "a database of no bytes", damage("work/capacity.duckdb", 0), DAMAGED, NO_WORK),
    SiteFault(
        "database_cut",
        "a database that is cut off",
        new_and(damage("work/pipeline.duckdb", 0.5)),
        DAMAGED,
        NO_WORK,
        then="new",
    ),
    SiteFault(
        "database_garbled",
        "a database with other bytes in its middle",
        new_and(garble("work/capacity.duckdb")),
        DAMAGED,
        NO_WORK,
        then="new",
    ),
    SiteFault("database_gone", "one of the two databases is gone", remove("work/pipeline.duckdb*")),
    SiteFault("work_gone", "the work folder is gone", NO_WORK),
    SiteFault("records_gone", "files that were read into Parquet are gone", remove("work/raw/*/*.parquet")),
    SiteFault(
        "records_cut",
        "files that were read into Parquet are cut off",
        new_and(damage("work/raw/*/*.parquet", 0.5)),
        DAMAGED,
        NO_WORK,
        then="new",
    ),
    SiteFault("current_gone", "the link `current` is gone", remove("published/current")),
    SiteFault("current_dangling", "the link `current` leads nowhere", current_leads("versions/999999")),
    SiteFault("current_loop", "the link `current` leads to itself", current_leads("current")),
    SiteFault("manifest_cut", "a manifest that is cut off", damage("published/current/manifest.json", 0.5)),
    SiteFault("manifest_other", "a manifest that is JSON of something else", other_manifest),
    SiteFault(
        "published_file_gone",
        "a published Parquet file is gone",
        new_and(remove("published/versions/*/parquet/report/*/*.parquet")),
        "lacks parquet/report/",
        remove("published/current"),
        then="new",
    ),
    SiteFault(
        "litter", "temporary files, half a version and a lock of builds that were killed", new_and(litter), then="new"
    ),
    *(
        SiteFault(
            name,
            f"a build killed ({name.removeprefix('killed_').replace('_', ' ')})",
            deliver,
            "",
            then="new",
            killed_before=function,
        )
        for name, function in KILLED.items()
    ),
    SiteFault("disk_full_work", "no space left for the databases", deliver, NO_SPACE, then="new", tiny_disk="work"),
    SiteFault(
        "disk_full_published", "no space left for a new version", deliver, NO_SPACE, then="new", tiny_disk="published"
    ),
    SiteFault(
        "read_only_work", "a work folder that cannot be written", deliver, READ_ONLY, then="new", read_only="work"
    ),
    SiteFault(
        "read_only_published",
        "a published folder that cannot be written",
        deliver,
        READ_ONLY,
        then="new",
        read_only="published",
    ),
    SiteFault(
        "as_of_earlier",
        "a build as of an earlier time than the one before, then one as of now",
        as_of=datetime(2026, 1, 1, 0, 30, tzinfo=UTC),
    ),
]
