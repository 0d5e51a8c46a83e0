"""`capacity build` beside another one, and one that is interrupted, ended or killed: no lock stays, nothing is lost."""

import fcntl
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from test_rebuilds import JOBS, TOML, jobs_file, with_jobs

from capacity_dagster.site_file import SITE_VARIABLE, Site, load_site
from capacity_dagster.versions import current
from capacity_dagster.warehouse import Warehouse

pytestmark = pytest.mark.faults

SMALL = TOML.replace('"jobs/*"', '"jobs/*.psv"')
AS_OF = datetime(2026, 1, 4, tzinfo=UTC)

PAUSED_BUILD = """
import pathlib, sys, time
from capacity_dagster import publish, warehouse
from capacity_dagster.cli import main
from capacity_dagster.tables import expectations
from capacity_dagster.tables.checks import CheckOutcome, planned_checks

site, paused_at, mark = sys.argv[1:]
expectations.check_expectations = lambda connection, table, counts: [
    CheckOutcome(check.name, check.is_blocking, True, 0, "")
    for check in planned_checks(table) if check.name.startswith("expectations_")
]

def pause():
    pathlib.Path(mark).touch()
    time.sleep(120)

record = warehouse.Warehouse.record
def record_and_pause(self, table_name, *rest):
    record(self, table_name, *rest)
    if table_name == paused_at:
        pause()
warehouse.Warehouse.record = record_and_pause

point = publish.point
def pause_and_point(*arguments):
    if paused_at == "publishing":
        pause()
    point(*arguments)
publish.point = pause_and_point

main(["build", "--site", site, "--as-of", "2026-01-04T00:00:00Z"])
"""


@pytest.fixture(scope="module")
def fresh(tmp_path_factory: pytest.TempPathFactory, build: Any) -> Site:
    """The site as a build has it that nobody disturbs."""
    site = made(tmp_path_factory.mktemp("fresh") / "site")
    build(site, as_of=AS_OF)
    return site


def made(folder: Path) -> Site:
    for path, content in with_jobs(all_psv=jobs_file(JOBS)).items():
        file = folder / "landing" / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(content if isinstance(content, bytes) else content.encode())
    (folder / "site.toml").write_text(SMALL, encoding="utf-8")
    return load_site(folder)


@contextmanager
def building(site: Site, paused_at: str = "") -> Iterator[subprocess.Popen[str]]:
    """A build in a process of its own, which stands still inside a table, or just before the link is swapped."""
    mark = site.folder / "paused"
    mark.unlink(missing_ok=True)
    environment = {name: value for name, value in os.environ.items() if name not in (SITE_VARIABLE, "DAGSTER_HOME")}
    process = subprocess.Popen(
        [sys.executable, "-c", PAUSED_BUILD, str(site.path), paused_at, str(mark)],
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        while paused_at and not mark.exists():
            assert process.poll() is None, process.communicate()
            time.sleep(0.05)
        yield process
    finally:
        process.kill()
        process.communicate()


def is_free(site: Site) -> bool:
    with site.write_lock.open("a") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        return True


def test_builds_that_are_stopped_and_wait_for_each_other_end_as_one_that_was_not(
    tmp_path: Path, fresh: Site, content_of: Callable[[Site], dict[str, str]]
) -> None:
    site = made(tmp_path / "site")
    for number, place in ((signal.SIGINT, "core.attempts"), (signal.SIGTERM, "mart.capacity_ledger_hourly")):
        with building(site, place) as process:
            assert not is_free(site)
            process.send_signal(number)
            process.communicate(timeout=120)
            assert process.returncode != 0, number
        assert is_free(site), number
        with Warehouse(site).write("a test") as warehouse:
            assert warehouse.version(place) is None, number  # the transaction that it stood in is undone
            assert warehouse.version("raw.slurm_jobs") is not None
    with building(site, "publishing") as first, building(site) as second:
        assert second.stderr is not None
        told = " ".join(second.stderr.readline().split())
        holder = json.loads(site.write_lock.read_text(encoding="utf-8"))
        assert holder["pid"] == first.pid
        assert f"waiting for {holder['purpose']} (process {first.pid}, writing since" in told
        assert second.poll() is None
        assert current(site.published) is None
        first.kill()
        out, errors = second.communicate(timeout=300)
        assert second.returncode == 0, errors
    assert is_free(site)
    assert content_of(site) == content_of(fresh)
    published = current(site.published)
    assert published is not None
    assert f"published: {published.folder}" in out
    # The version of which the link was never swapped is whole, and is not taken for another one.
    versions = sorted((site.published / "versions").iterdir())
    assert [folder.name for folder in versions] == ["000001", "000002"]
    never_current, is_current = (json.loads((folder / "manifest.json").read_text()) for folder in versions)
    assert never_current["tables"] == is_current["tables"]
    assert published.manifest == is_current
    assert all(check["passed"] or not check["blocking"] for check in is_current["checks"])
