"""The main job as a newcomer runs it, through the command line and Dagster."""

import json
import os
import re
import shutil
import subprocess
import sys
from datetime import date
from pathlib import Path

import dagster as dg
import duckdb
import pytest

from capacity_dagster.site_file import SITE_VARIABLE
from capacity_dagster.tables.catalogue import assets_folder

DAY = "2026-11-21"


def capacity(*arguments: str, folder: Path) -> subprocess.CompletedProcess[str]:
    environment = {name: value for name, value in os.environ.items() if name not in (SITE_VARIABLE, "DAGSTER_HOME")}
    return subprocess.run(
        [sys.executable, "-m", "capacity_dagster", *arguments],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, subprocess.CompletedProcess[str]]:
    """A built demo site, and what the command printed."""
    folder = tmp_path_factory.mktemp("newcomer")
    return folder / "build" / "demo", capacity("demo", folder=folder)


def test_demo_prints_the_waterfall_and_the_cost(demo: tuple[Path, subprocess.CompletedProcess[str]]) -> None:
    site, told = demo
    assert told.returncode == 0, told.stderr
    assert told.stderr == ""
    assert "1 day rebuilt (2026-11-21)" in told.stdout
    assert re.search(
        r"alpha +training +h100 +47\.96 +6\.13 +0\.74 +0\.96 +40\.13 +0\.95 +0\.00 +14\.59 +24\.5[89]", told.stdout
    )
    assert re.search(r"beta +batch +l40s +USD", told.stdout)
    assert str(site / "published" / "versions" / "000001") in told.stdout
    assert "make ui" in told.stdout


def test_the_readme_shows_what_the_demo_prints(demo: tuple[Path, subprocess.CompletedProcess[str]]) -> None:
    site, told = demo
    readme = (Path(__file__).parents[2] / "README.md").read_text(encoding="utf-8")
    shown = next(block for block in re.findall(r"```text\n(.*?)```", readme, re.DOTALL) if "day rebuilt" in block)
    assert " ".join(told.stdout.split()).startswith(" ".join(shown.split()).replace("…/build/demo", str(site)))


def test_demo_again_does_no_work(demo: tuple[Path, subprocess.CompletedProcess[str]]) -> None:
    site, _ = demo
    told = capacity("demo", folder=site.parents[1])
    assert told.returncode == 0
    assert told.stdout.startswith("nothing new; version 1 is current")
    assert sorted(path.name for path in (site / "published" / "versions").iterdir()) == ["000001"]


def test_published_folder_answers_its_questions(demo: tuple[Path, subprocess.CompletedProcess[str]]) -> None:
    folder = (demo[0] / "published" / "current").resolve()
    readme = (folder / "README.md").read_text()
    queries = re.findall(r"```sql\n(.*?)```", readme, re.DOTALL)
    assert len(queries) == 14 == len(list((assets_folder() / "published" / "queries").glob("*.sql")))
    with duckdb.connect(str(folder / "capacity.duckdb"), read_only=True) as connection:
        for query in queries:
            nothing_is_closed = "report.closed_months" in query
            assert bool(connection.execute(query).fetchall()) is not nothing_is_closed, query
        rate, allocated, available = connection.execute(
            "select allocation_rate_available, allocated_hours, available_hours from report.efficiency('all') "
            "where pool = 'training'"
        ).fetchall()[0]
        assert rate == pytest.approx(float(allocated) / float(available), rel=1e-6)


def test_manifest_tells_what_it_was_made_from(demo: tuple[Path, subprocess.CompletedProcess[str]]) -> None:
    manifest = json.loads((demo[0] / "published" / "current" / "manifest.json").read_text())
    assert manifest["as_of"] == {"alpha": "2026-11-21T23:12:56Z", "beta": "2026-11-21T23:12:57Z"}
    assert len(manifest["inputs"]) == 22
    assert all(re.fullmatch("[0-9a-f]{64}", each["sha256"]) for each in manifest["inputs"])
    assert all(check["passed"] for check in manifest["checks"])
    assert manifest["tables"]["mart.attempts"]["rows"] == 947


def test_events_mark_exactly_the_days_that_were_rebuilt(demo: tuple[Path, subprocess.CompletedProcess[str]]) -> None:
    with dg.DagsterInstance.from_config(str(demo[0] / "work" / "dagster_home")) as instance:
        for name in ("mart/capacity_ledger_hourly", "report/fleet_efficiency_daily"):
            assert set(instance.get_materialized_partitions(dg.AssetKey(name.split("/")))) == {DAY}
        latest = instance.get_latest_materialization_event(dg.AssetKey(["core", "attempts"]))
        assert latest is not None
        materialization = latest.asset_materialization
        assert materialization is not None
        assert materialization.metadata["dagster/row_count"].value == 947
        assert "select * from core.attempts" in str(materialization.metadata["query"].value)
        assert materialization.metadata["why"].value


def test_a_changed_file_rebuilds_what_depends_on_it(
    demo: tuple[Path, subprocess.CompletedProcess[str]], tmp_path: Path
) -> None:
    site = tmp_path / "site"
    shutil.copytree(demo[0], site, symlinks=True)
    costs = site / "landing" / "flat_costs.csv"
    costs.write_text(costs.read_text().replace("1310.00", "1311.00"))
    told = capacity("build", "--site", str(site), folder=tmp_path)
    assert told.returncode == 0, told.stderr
    assert told.stdout.startswith("1 day rebuilt (2026-11-21): flat_costs.csv changed 1 row")
    first, second = (json.loads((site / f"published/versions/00000{n}/manifest.json").read_text()) for n in (1, 2))
    changed = {name for name, kept in first["tables"].items() if second["tables"][name]["sha256"] != kept["sha256"]}
    assert changed == {
        "mart.cost_daily",
        "report.cost_per_accelerator_hour_daily",
        "report.cost_per_accelerator_hour_monthly",
        "report.showback_daily",
        "report.showback_monthly",
        "report.restatement_journal",
        "report.focus_charges",
    }


def test_a_failed_check_keeps_what_was_published(
    demo: tuple[Path, subprocess.CompletedProcess[str]], tmp_path: Path
) -> None:
    site = tmp_path / "site"
    shutil.copytree(demo[0], site, symlinks=True)
    inventory = site / "landing" / "inventory.csv"
    inventory.write_text(inventory.read_text() + "alpha,h1,serving,h100,8,2026-11-21T22:30:00Z,\n")
    told = capacity("build", "--site", str(site), folder=tmp_path)
    assert told.returncode == 1
    assert "one_pool_at_a_time" in told.stderr
    assert (site / "published" / "current").resolve().name == "000001"


def test_an_unusable_file_is_one_clear_message(
    demo: tuple[Path, subprocess.CompletedProcess[str]], tmp_path: Path
) -> None:
    site = tmp_path / "site"
    shutil.copytree(demo[0], site, symlinks=True)
    contents = {
        "alpha/jobs.psv": b"Cluster|JobIDRaw|Start\nalpha|1|2\n",
        "alpha/node_events.psv": bytes(range(32)) * 100,
        "beta/jobs.psv": b"",
    }
    for path, content in contents.items():
        (site / "landing" / path).write_bytes(content)
    told = capacity("build", "--site", str(site), folder=tmp_path)
    assert told.returncode == 2
    for message in (
        r"alpha/jobs\.psv: line 1 has no column 'Submit'",
        r"alpha/node_events\.psv: is not text",
        r"beta/jobs\.psv: is empty; expected",
    ):
        assert len(re.findall(message, told.stderr)) == 1, told.stderr
    assert "Traceback" not in told.stderr
    assert (site / "published" / "current").resolve().name == "000001"


def test_site_file_errors_end_with_2(tmp_path: Path) -> None:
    told = capacity("init", str(tmp_path / "mine"), folder=tmp_path)
    assert told.returncode == 0
    site = tmp_path / "mine" / "site.toml"
    told = capacity("check", "--site", str(site), folder=tmp_path)
    assert told.returncode == 2
    assert "no file in" in told.stderr
    assert "slurm/*/jobs-*" in told.stderr
    site.write_text(site.read_text().replace("name =", "nmae =", 1))
    told = capacity("build", "--site", str(site), folder=tmp_path)
    assert told.returncode == 2
    assert "unknown key 'site.nmae'" in told.stderr


def test_a_range_is_rebuilt_in_one_run_as_from_the_ui(
    demo: tuple[Path, subprocess.CompletedProcess[str]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    site = tmp_path / "site"
    shutil.copytree(demo[0], site, symlinks=True)
    monkeypatch.setenv(SITE_VARIABLE, str(site / "site.toml"))
    from capacity_dagster.definitions import defs

    definitions = defs() if callable(defs) else defs
    by_day = [spec.key for spec in definitions.resolve_all_asset_specs() if spec.partitions_def is not None]
    with dg.DagsterInstance.from_config(str(site / "work" / "dagster_home")) as instance:
        result = definitions.resolve_job_def("build").execute_in_process(
            instance=instance,
            asset_selection=by_day,
            tags={"dagster/asset_partition_range_start": DAY, "dagster/asset_partition_range_end": DAY},
            run_config={
                "resources": {"warehouse": {"config": {"database": str(site / "site.toml")}}},
                "loggers": {"console": {"config": {"log_level": "CRITICAL"}}},
            },
        )
    assert result.success
    marked = {(event.asset_key, event.partition) for event in result.get_asset_materialization_events()}
    assert marked == {(key, DAY) for key in by_day}
    whys = {event.materialization.metadata["why"].value for event in result.get_asset_materialization_events()}
    assert all(why.endswith("asked for") for why in whys)


def test_days_can_be_forced_from_the_command_line(
    demo: tuple[Path, subprocess.CompletedProcess[str]], tmp_path: Path
) -> None:
    site = tmp_path / "site"
    shutil.copytree(demo[0], site, symlinks=True)
    told = capacity("build", "--site", str(site), "--from", DAY, "--to", DAY, folder=tmp_path)
    assert told.returncode == 0, told.stderr
    assert told.stdout.startswith(f"1 day rebuilt ({date.fromisoformat(DAY)}): asked for")
