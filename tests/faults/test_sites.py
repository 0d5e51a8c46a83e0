"""Whatever happens to a site's databases, disk and builds, what is published stays right, and the next build goes on.

Whole builds: `make faults`.
"""

import importlib
import os
import shutil
import signal
import subprocess
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import duckdb
import pytest
from fault_files import INVENTORY, JOBS, T0, TEAMS, job
from site_faults import SITES, SiteFault, deliver

from capacity_dagster import publish as publish_module
from capacity_dagster.errors import CapacityError
from capacity_dagster.landed import stale_deliveries
from capacity_dagster.materialise import Materialiser
from capacity_dagster.site_file import load_site
from capacity_dagster.sources.landing import scan
from capacity_dagster.tables import expectations
from capacity_dagster.tables.catalogue import load_catalogue
from capacity_dagster.warehouse import Warehouse

pytestmark = pytest.mark.faults

TOML = """
[site]
name = "faults"
first_day = 2026-01-01

[clusters.good]
[clusters.alpha]
[clusters.beta]

[[sources]]
kind = "slurm_jobs"
files = "good/jobs*.psv"
collected_at = "-at-(?P<at>[0-9TZ]+)"

[[sources]]
kind = "inventory"
files = "good/inventory.csv"

[[sources]]
kind = "org_mapping"
files = "good/teams.csv"
"""
FILES = {
    "good/jobs.psv": f"{JOBS}\n{job(1, Cluster='good', NodeList='g1')}\n{job(2, Cluster='good', NodeList='g[1-2]')}\n",
    "good/inventory.csv": f"{INVENTORY}\ngood,g1,train,h100,8,{T0},\ngood,g2,train,h100,8,{T0},\n",
    "good/teams.csv": f"{TEAMS}\ngood,a,,vision,{T0},\n",
}
NUMBERS = """
select usage_date, cluster, pool, accelerator_model, installed_unit_seconds, allocated_unit_seconds
from report.fleet_efficiency_daily where cluster = 'good' order by all
"""


@dataclass(frozen=True)
class Done:
    """What a build in a process of its own ended with: 0, 1 (it said why), or the signal that killed it."""

    code: int
    said: str


def run_build(site: Path, as_of: datetime | None = None, killed_before: str | None = None) -> Done:
    """Builds and publishes in a process of its own, which may be killed; without Dagster, expectations and plots."""
    receiver, sender = os.pipe()
    child = os.fork()
    if child == 0:
        code, said = 2, ""
        try:
            os.close(receiver)
            code, said = _built(site, as_of, killed_before)
        except BaseException:
            said = traceback.format_exc()
        finally:
            os.write(sender, said.encode()[:60_000])
            os._exit(code)
    os.close(sender)
    with os.fdopen(receiver, encoding="utf-8") as heard:
        said = heard.read()
    _, status = os.waitpid(child, 0)
    code = os.waitstatus_to_exitcode(status)
    assert code < 2, said
    return Done(code, said)


def _built(site: Path, as_of: datetime | None, killed_before: str | None) -> tuple[int, str]:
    if killed_before:
        module, _, name = killed_before.partition(":")
        *owner, name = name.split(".")
        holder = importlib.import_module(module)
        holder = getattr(holder, owner[0]) if owner else holder
        setattr(holder, name, lambda *_, **__: os.kill(os.getpid(), signal.SIGKILL))
    expectations.check_expectations = lambda *_: []
    publish_module.draw_plots = lambda *_: []
    catalogue = load_catalogue()
    try:
        loaded = load_site(site)
        warehouse = Warehouse(loaded, as_of)
        with warehouse.write("a test"):
            materialiser = Materialiser(warehouse, catalogue)
            stale = {*materialiser.stale_tables(), *stale_deliveries(warehouse, catalogue, scan(loaded))}
            for table in catalogue:
                if table.full_name in catalogue.downstream_of(stale) or table.contract.partition:
                    materialiser.bring_up_to_date(table)
            publish_module.publish(materialiser, "a run")
    except (CapacityError, OSError, duckdb.Error) as error:  # what the command line tells without a traceback
        return 1, str(error)
    return 0, ""


def numbers(site: Path) -> list[tuple[Any, ...]]:
    """What is published of the good cluster."""
    folder = (site / "published/current").resolve(strict=True)
    with duckdb.connect(str(folder / "capacity.duckdb"), read_only=True) as connection:
        return connection.execute(NUMBERS).fetchall()


def made(folder: Path) -> Path:
    for name, content in FILES.items():
        (folder / "landing" / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / "landing" / name).write_text(content, encoding="utf-8")
    (folder / "site.toml").write_text(TOML, encoding="utf-8")
    return folder


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    site = made(tmp_path_factory.mktemp("site") / "built")
    done = run_build(site)
    assert done.code == 0, done.said
    return site


@pytest.fixture(scope="module")
def with_what_is_new(built: Path) -> list[tuple[Any, ...]]:
    """The numbers of a site that has the second file from the beginning."""
    site = made(built.parent / "fresh")
    deliver(site)
    done = run_build(site)
    assert done.code == 0, done.said
    return numbers(site)


@pytest.fixture
def site(built: Path, tmp_path: Path) -> Path:
    """A copy of the site that was built, where it was built: its tables name their files."""
    kept = tmp_path / "kept"
    shutil.copytree(built, kept, symlinks=True)
    yield built
    shutil.rmtree(built)
    shutil.copytree(kept, built, symlinks=True)


@contextmanager
def on_small_disk(folder: Path, is_read_only: bool) -> Iterator[None]:
    """Puts a folder's content on a file system of its own: with hardly any space left, or one that is read-only."""
    moved = folder.with_name(f"{folder.name}.moved")
    folder.rename(moved)
    folder.mkdir()
    size = sum(file.lstat().st_size for file in moved.rglob("*")) // 1024 + 512
    size = int(size * 1.3)
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={size}k", "tmpfs", str(folder)], check=True)
    try:
        shutil.copytree(moved, folder, symlinks=True, dirs_exist_ok=True)
        if is_read_only:
            subprocess.run(["mount", "-o", "remount,ro", str(folder)], check=True)
        else:
            free = shutil.disk_usage(folder).free
            (folder / "filler").write_bytes(bytes(max(0, free - 65536)))
        yield
    finally:
        subprocess.run(["umount", str(folder)], check=True)
        folder.rmdir()
        moved.rename(folder)


@pytest.mark.parametrize("fault", [pytest.param(each, id=each.id) for each in SITES])
def test_a_site_survives(site: Path, with_what_is_new: list[tuple[Any, ...]], fault: SiteFault) -> None:
    before = numbers(site)
    version = (site / "published/current").resolve()
    small = fault.tiny_disk or fault.read_only
    if small and os.geteuid() != 0:
        pytest.skip("only root can mount a file system")
    fault.spoil(site)
    if small:
        with on_small_disk(site / small, is_read_only=fault.read_only is not None):
            done = run_build(site)
            still = numbers(site)
    else:
        done = run_build(site, fault.as_of, killed_before=fault.killed_before)
        still = None
    if fault.killed_before:
        assert done.code == -signal.SIGKILL
        assert numbers(site) in (before, with_what_is_new)
    elif fault.said is not None:
        assert done.code == 1, done.said
        assert fault.said in done.said
        assert "expected" in done.said
        assert (still or numbers(site)) == before
        assert (site / "published/current").resolve() == version
    else:
        assert done.code == 0, done.said
    fault.remedy(site)
    if fault.said is not None or fault.as_of:
        done = run_build(site)
        assert done.code == 0, done.said
    assert numbers(site) == (with_what_is_new if fault.then == "new" else before)
    assert not list((site / "published/versions").glob("*.unfinished"))
