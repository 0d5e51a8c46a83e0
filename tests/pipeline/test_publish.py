"""Publishing: what readers see while versions are swapped, and what a failed check leaves."""

import hashlib
import json
import multiprocessing
import random
import shutil
import stat
import time
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import duckdb
import pytest

from capacity_dagster import parquet_files
from capacity_dagster.building import selection
from capacity_dagster.durable import COPIED_AT_ONCE, copy_file
from capacity_dagster.materialise import Materialiser
from capacity_dagster.publish import PublishRefused, prune_versions, publish
from capacity_dagster.site_file import Site, load_site
from capacity_dagster.sources.landing import scan
from capacity_dagster.tables.catalogue import Catalogue
from capacity_dagster.versions import Publication, current
from capacity_dagster.warehouse import Warehouse

pytestmark = pytest.mark.usefixtures("quick")

READERS = 2
PAUSE = 0.05
"""Seconds between two opens of a reader, which otherwise would leave the builds little of the processors."""


def built_and_published(site: Site, catalogue: Catalogue, changed: str = "") -> Publication:
    """Builds everything, or what depends on one changed raw table, and publishes it."""
    warehouse = Warehouse(site)
    with warehouse.write("a test"):
        materialiser = Materialiser(warehouse, catalogue)
        names = catalogue.downstream_of({changed}) if changed else list(catalogue.tables)
        for name in names:
            materialiser.bring_up_to_date(catalogue[name])
        return publish(materialiser, "a run")


def rename_team(site: Site, team: str) -> None:
    """Changes one delivered file, and with it everything that knows teams."""
    file = site.landing / "teams.csv"
    lines = file.read_text().splitlines()
    lines = [
        f",foundation,,{team},2026-01-01T00:00:00Z," if line.startswith(",foundation,") else line for line in lines
    ]
    file.write_text("\n".join(lines) + "\n")


def read_in_a_loop(published: str, opens: int, done: Any, results: Any) -> None:
    """Opens the published file again and again, as analysts do; reports the first thing that is wrong."""
    last = 0
    count = 0
    try:
        while count < opens or not done.is_set():
            folder = (Path(published) / "current").resolve(strict=True)
            manifest = json.loads((folder / "manifest.json").read_text())
            version = manifest["version"]
            if version < last:
                raise AssertionError(f"version {version} after {last}")
            last = version
            with duckdb.connect(str(folder / "capacity.duckdb"), read_only=True) as connection:
                told = connection.execute(
                    """
                    select
                        (select sum(unit_seconds)::bigint from mart.capacity_ledger_hourly where state = 'allocated'),
                        (select sum(allocated_unit_seconds)::bigint from report.fleet_efficiency_daily),
                        (select sum(allocated_unit_seconds)::bigint from report.team_efficiency_daily),
                        (select max(team) from mart.attempts where account = 'foundation'),
                        (select max(team) from report.team_efficiency_daily where team like 'team-%')
                    """
                ).fetchall()[0]
            if len(set(told[:3])) != 1 or told[3] != told[4]:
                raise AssertionError(f"half a mart in version {version}: {told}")
            count += 1
            time.sleep(PAUSE)
        results.put((count, last, None))
    except BaseException as error:
        results.put((count, last, f"{type(error).__name__}: {error}"))


@pytest.mark.parametrize(("publishes", "opens"), [(6, 200), pytest.param(30, 1000, marks=pytest.mark.faults)])
def test_readers_never_see_half_a_mart_or_an_older_version(
    demo_site: Site, catalogue: Catalogue, publishes: int, opens: int
) -> None:
    rename_team(demo_site, "team-0")
    built_and_published(demo_site, catalogue)
    context = multiprocessing.get_context("spawn")
    done, results = context.Event(), context.Queue()
    readers = [
        context.Process(
            target=read_in_a_loop, args=(str(demo_site.published), opens // READERS, done, results), daemon=True
        )
        for _ in range(READERS)
    ]
    for reader in readers:
        reader.start()
    try:
        for number in range(1, publishes):
            rename_team(demo_site, f"team-{number}")
            assert built_and_published(demo_site, catalogue, "raw.org_mapping").is_new
    finally:
        done.set()
    told = [results.get(timeout=120) for _ in readers]
    for reader in readers:
        reader.join(timeout=30)
    assert [error for _, _, error in told] == [None] * READERS
    assert sum(count for count, _, _ in told) >= opens
    published = current(demo_site.published)
    assert published is not None
    assert published.manifest["version"] == publishes
    kept = sorted(folder.name for folder in (demo_site.published / "versions").iterdir())
    assert kept == [f"{number:06d}" for number in range(max(1, publishes - 13), publishes + 1)]


def test_what_did_not_pass_is_never_published(demo_site: Site, catalogue: Catalogue) -> None:
    before = built_and_published(demo_site, catalogue)
    inventory = demo_site.landing / "inventory.csv"
    good = inventory.read_text()
    inventory.write_text(good + "alpha,h1,serving,h100,8,2026-11-21T22:30:00Z,\n")
    for _ in range(2):  # the second time nothing is new, and it is refused again
        with pytest.raises(PublishRefused, match="one_pool_at_a_time"):
            built_and_published(demo_site, catalogue)
        assert current(demo_site.published) == Publication(before.folder, before.manifest, is_new=False)
    inventory.write_text(good)
    assert built_and_published(demo_site, catalogue).manifest["tables"] == before.manifest["tables"]


def test_stale_tables_are_not_published(demo_site: Site, catalogue: Catalogue) -> None:
    built_and_published(demo_site, catalogue)
    rename_team(demo_site, "team-later")
    warehouse = Warehouse(demo_site)
    with warehouse.write("a test"):
        materialiser = Materialiser(warehouse, catalogue)
        materialiser.bring_up_to_date(catalogue["raw.org_mapping"])
        materialiser.bring_up_to_date(catalogue["core.teams"])
        with pytest.raises(PublishRefused, match=r"mart.attempts: is stale"):
            publish(materialiser, "a run")


def test_a_version_is_immutable_and_shares_what_did_not_change(demo_site: Site, catalogue: Catalogue) -> None:
    first = built_and_published(demo_site, catalogue)
    assert not built_and_published(demo_site, catalogue).is_new
    rename_team(demo_site, "team-other")
    second = built_and_published(demo_site, catalogue)
    kept, rewritten = "parquet/mart/cost_daily/2026-11.parquet", "parquet/mart/attempts/2026-11.parquet"
    assert (first.folder / kept).stat().st_ino == (second.folder / kept).stat().st_ino
    assert (first.folder / rewritten).stat().st_ino != (second.folder / rewritten).stat().st_ino
    for file in (second.folder / "capacity.duckdb", second.folder / kept):
        assert stat.S_IMODE(file.stat().st_mode) == 0o444
    assert (demo_site.published / "current").readlink() == Path("versions/000002")


@pytest.mark.parametrize("length", [0, 1, 4096, COPIED_AT_ONCE + 8192, COPIED_AT_ONCE + 4097])
def test_a_file_of_any_length_is_copied(tmp_path: Path, length: int) -> None:
    content = random.Random(length).randbytes(length)
    (tmp_path / "source").write_bytes(content)
    copy_file(tmp_path / "source", tmp_path / "target")
    assert (tmp_path / "target").read_bytes() == content


def test_only_files_whose_rows_changed_are_written(
    demo_site: Site, catalogue: Catalogue, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(parquet_files, "MONTH_VALUES", 0)
    first = built_and_published(demo_site, catalogue)
    hours = sorted(path for path in files_of(first) if path.startswith("parquet/mart/attempt_hours/"))
    assert hours == ["parquet/mart/attempt_hours/2026-11-21.parquet"]

    # A day that is rebuilt, and comes out as it was, is not written again.
    warehouse = Warehouse(demo_site)
    with warehouse.write("a test"):
        materialiser = Materialiser(warehouse, catalogue)
        for table in catalogue:
            materialiser.bring_up_to_date(table, [date(2026, 11, 21)] if table.contract.partition else ())
        second = publish(materialiser, "a run")
    assert second.is_new
    assert not rewritten(first, second)

    # Neither is anything after the working files were lost.
    shutil.rmtree(demo_site.work)
    third = built_and_published(demo_site, catalogue)
    assert third.is_new
    assert not rewritten(second, third)

    rename_team(demo_site, "team-other")
    fourth = built_and_published(demo_site, catalogue)
    changed = rewritten(third, fourth)
    assert changed == {path for path, sha256 in files_of(fourth).items() if sha256 != files_of(third).get(path)}
    assert {path.split("/")[2] for path in changed} >= {"attempts", "attempt_hours", "team_efficiency_daily"}
    assert not {path.split("/")[2] for path in changed} & {"attempt_nodes", "node_timeline", "cost_daily"}
    for path, sha256 in files_of(fourth).items():
        assert hashlib.sha256((fourth.folder / path).read_bytes()).hexdigest() == sha256


def test_files_of_another_writer_are_written_again(
    demo_site: Site, catalogue: Catalogue, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = built_and_published(demo_site, catalogue)
    rename_team(demo_site, "team-other")
    monkeypatch.setattr("capacity_dagster.publish.writer_version", lambda: "another")
    monkeypatch.setattr(parquet_files, "ROW_GROUP", 1)
    second = built_and_published(demo_site, catalogue)
    files = [file for table in second.manifest["tables"].values() for file in table["files"].items()]
    assert rewritten(first, second) >= {path for path, file in files if file["rows"] > 1}


def files_of(publication: Publication) -> dict[str, str]:
    """The sha256 of each Parquet file of a version."""
    tables = publication.manifest["tables"].values()
    return {path: file["sha256"] for table in tables for path, file in table["files"].items()}


def rewritten(before: Publication, after: Publication) -> set[str]:
    """The files of a version that are not those of the version before."""
    return {
        path
        for path in files_of(after)
        if not (before.folder / path).exists() or not (before.folder / path).samefile(after.folder / path)
    }


def test_a_killed_publisher_leaves_nothing_behind(demo_site: Site, catalogue: Catalogue) -> None:
    unfinished = demo_site.published / "versions" / "000001.unfinished"
    (unfinished / "parquet").mkdir(parents=True)
    (unfinished / "capacity.duckdb").write_bytes(b"cut off")
    published = built_and_published(demo_site, catalogue)
    assert [folder.name for folder in (demo_site.published / "versions").iterdir()] == ["000001"]
    assert published.manifest["version"] == 1


def hourly_versions(folder: Path, hours: int) -> list[Path]:
    """As many versions as an hourly build publishes from midnight on."""
    folders = []
    for number in range(hours):
        version = folder / f"{number + 1:06d}"
        version.mkdir(parents=True)
        published_at = datetime(2026, 11, 1, tzinfo=UTC) + timedelta(hours=number)
        manifest = {"version": number + 1, "published_at": published_at.isoformat()}
        (version / "manifest.json").write_text(json.dumps(manifest | {"code_version": "", "state": {}, "tables": {}}))
        folders.append(version)
    return folders


@pytest.mark.parametrize(
    ("keep_days", "kept"),
    [
        (0, [59, 60]),
        (1, [48, 59, 60]),  # yesterday's last one
        (2, [24, 48, 59, 60]),
        (99, [24, 48, 59, 60]),
    ],
)
def test_the_last_version_of_each_day_is_kept_besides_the_newest(
    tmp_path: Path, keep_days: int, kept: list[int]
) -> None:
    hourly_versions(tmp_path, 60)
    prune_versions(tmp_path, 2, keep_days)
    assert [int(folder.name) for folder in sorted(tmp_path.iterdir())] == kept


@pytest.mark.parametrize("manifest", ["", "{}", '{"version": 1, "code_version": "", "state": {}, "tables": {}}'])
def test_a_version_that_does_not_say_its_day_is_kept_by_number_alone(tmp_path: Path, manifest: str) -> None:
    for folder in hourly_versions(tmp_path, 4):
        (folder / "manifest.json").write_text(manifest)
    prune_versions(tmp_path, 2, 14)
    assert [int(folder.name) for folder in sorted(tmp_path.iterdir())] == [3, 4]


def test_published_file_is_for_readers(demo_site: Site, catalogue: Catalogue) -> None:
    published = built_and_published(demo_site, catalogue)
    with duckdb.connect(str(published.folder / "capacity.duckdb"), read_only=True) as connection:
        schemas = connection.execute(
            "select distinct schema_name from duckdb_tables() where not internal order by 1"
        ).fetchall()
        assert schemas == [("mart",), ("report",)]
        (tags,) = connection.execute("select tags from duckdb_databases() where database_name = 'capacity'").fetchall()[
            0
        ]
        assert tags["storage_version"].startswith("v1.4")
        uncommented = connection.execute(
            "select table_name, column_name from duckdb_columns() where not internal and comment is null "
            "union all select table_name, null from duckdb_tables() where comment is null"
        ).fetchall()
        assert uncommented == []


def test_parquet_and_database_hold_the_same(demo_site: Site, catalogue: Catalogue) -> None:
    published = built_and_published(demo_site, catalogue)
    with duckdb.connect(str(published.folder / "capacity.duckdb"), read_only=True) as connection:
        for table in catalogue:
            if table.is_published:
                files = str(published.folder / "parquet" / table.layer / table.name / "*.parquet")
                for one, other in ((table.full_name, "read_parquet(?)"), ("read_parquet(?)", table.full_name)):
                    rows = connection.execute(
                        f"select count(*) from (select * from {one} except all select * from {other})", [files]
                    ).fetchall()
                    assert rows == [(0,)], table.full_name


def test_what_was_built_and_never_published_is_published_by_the_next_build(
    demo_site: Site, catalogue: Catalogue, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("capacity_dagster.building.stale_suites", lambda *_: [])
    built_and_published(demo_site, catalogue)
    rename_team(demo_site, "team-late")
    warehouse = Warehouse(demo_site)
    with warehouse.write("a test"):
        materialiser = Materialiser(warehouse, catalogue)
        for table in catalogue:
            materialiser.bring_up_to_date(table)
    with warehouse.write("a test"):
        selected = selection(Materialiser(warehouse, catalogue), scan(demo_site), is_forced=False)
        assert selected == ["published.data_docs", "published.current"]
    built_and_published(demo_site, catalogue)
    with warehouse.write("a test"):
        assert selection(Materialiser(warehouse, catalogue), scan(demo_site), is_forced=False) == []


def test_days_before_a_later_first_day_are_gone(demo_site: Site, catalogue: Catalogue) -> None:
    built_and_published(demo_site, catalogue)
    demo_site.path.write_text(demo_site.path.read_text().replace("2026-11-21", "2026-11-22"))
    published = built_and_published(load_site(demo_site.path), catalogue)
    for name in ("mart.capacity_ledger_hourly", "mart.cost_daily", "report.fleet_efficiency_daily"):
        assert published.manifest["tables"][name]["rows"] == 0, name
