"""The files that a collector has landed: their names, and which of them a later one stands for.

What belongs here: finding, naming and removing collected files. What does not: where their content comes from.
"""

import os
import time
from datetime import UTC, datetime
from pathlib import Path

from capacity_dagster.locks import while_no_build_runs
from capacity_dagster.site_file import Site
from capacity_dagster.sources import bytes as file_bytes
from capacity_dagster.sources.slurm_commands import FILE_NAME, MAY_SHRINK, OBSERVATIONS, STAMP, first_of_record

TEMPORARY = ".part"
ABANDONED_AFTER_SECONDS = 86_400


def landed(folder: Path) -> dict[tuple[str, str], list[tuple[datetime, Path]]]:
    """A folder's collected files by kind and period, each with its time of collection."""
    found: dict[tuple[str, str], list[tuple[datetime, Path]]] = {}
    for file in folder.glob("*"):
        if match := FILE_NAME.fullmatch(file.name):
            try:
                at = datetime.strptime(match["at"], STAMP).replace(tzinfo=UTC)
            except ValueError:  # no such day or hour: no collector gave it that name
                continue
            found.setdefault((match["kind"], match["period"] or ""), []).append((at, file))
    return found


def temporary_name(target: Path) -> Path:
    """A name in the same folder that no pattern of a site file is meant to match."""
    return target.with_name(f".{target.name}.{os.getpid()}{TEMPORARY}")


def give_name(temporary: Path, target: Path) -> None:
    """Lands a file that is complete and synced; a crash leaves it there or not, never a part of it."""
    temporary.replace(target)
    folder = os.open(target.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


def remove_abandoned(folder: Path) -> None:
    """Removes what a collection that was killed left under a temporary name, a day later."""
    for file in folder.glob(f".*{TEMPORARY}"):
        if time.time() - file.stat().st_mtime > ABANDONED_AFTER_SECONDS:
            file.unlink(missing_ok=True)


def count_records(file: Path, kind: str, cluster: str) -> int:
    """How many records a collected file has, compressed since or not."""
    first_line = first_of_record(kind, cluster)
    with file_bytes.opened(file) as stream:
        return sum(1 for line in stream if first_line.match(line))


def supersede(site: Site, folder: Path, cluster: str) -> list[Path]:
    """Removes files for which a later one of the same kind and period stands, and returns them.

    One that has more records than the later one stays: what Slurm has purged since is kept. Nothing is removed while a
    build reads the landing: the next collection comes by again.
    """
    removed: list[Path] = []
    if site.content.collect.slurm.keep_superseded:
        return removed
    with while_no_build_runs(site, f"removing superseded files of {cluster}") as is_free:
        for (kind, _), files in landed(folder).items() if is_free else ():
            if kind in OBSERVATIONS:
                continue
            *earlier, (_, newest) = sorted(files)
            for _, file in earlier:
                if kind in MAY_SHRINK or count_records(file, kind, cluster) <= count_records(newest, kind, cluster):
                    file.unlink(missing_ok=True)
                    removed.append(file)
    return removed
