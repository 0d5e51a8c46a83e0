"""Old runs leave Dagster's history; those stay without which the UI would not show what is."""

from datetime import UTC, datetime, timedelta

import dagster as dg
import pytest
from click.testing import CliRunner

from capacity_dagster.building import prepare_dagster_home
from capacity_dagster.cli import main
from capacity_dagster.pruning import prune_runs
from capacity_dagster.site_file import HOME_VARIABLE, Site

LATER = datetime.now(UTC) + timedelta(days=1)


def run_of(instance: dg.DagsterInstance, job: str, **days: str) -> str:
    """Runs a job that materialises days of tables, and `-` for a table that has none; its id."""

    @dg.op
    def step(context: dg.OpExecutionContext) -> None:
        for name, listed in days.items():
            for day in listed.split():
                partition = None if day == "-" else day
                context.log_event(dg.AssetMaterialization(name.split("__"), partition=partition))

    @dg.job(name=job, logger_defs={})
    def runs() -> None:
        step()

    return runs.execute_in_process(instance=instance).run_id


@pytest.fixture
def instance(demo_site: Site, monkeypatch: pytest.MonkeyPatch) -> dg.DagsterInstance:
    monkeypatch.setenv("DAGSTER_HOME", "")  # put back afterwards
    prepare_dagster_home(demo_site)
    return dg.DagsterInstance.get()


def test_what_the_ui_needs_stays(demo_site: Site, instance: dg.DagsterInstance) -> None:
    fleet = "report__fleet_efficiency_daily"
    kept = {
        run_of(instance, "build", **{fleet: "2026-01-01 2026-01-02"}),
        run_of(instance, "collect_slurm"),
    }
    gone = [
        run_of(instance, "build", **{fleet: "2026-01-03"}, raw__inventory="-"),
        run_of(instance, "build"),
    ]
    kept |= {
        run_of(instance, "build", **{fleet: "2026-01-02 2026-01-03"}),
        run_of(instance, "build", raw__inventory="-"),
        run_of(instance, "build"),
    }
    assert prune_runs(demo_site, LATER - timedelta(days=2)) == 0
    assert prune_runs(demo_site, LATER) == len(gone)
    assert {run.run_id for run in instance.get_runs()} == kept
    days = instance.get_status_by_partition(
        dg.AssetKey(fleet.split("__")),
        ["2026-01-01", "2026-01-02", "2026-01-03"],
        dg.StaticPartitionsDefinition(["2026-01-01", "2026-01-02", "2026-01-03"]),
    )
    assert days is not None
    assert {str(status) for status in days.values()} == {"AssetPartitionStatus.MATERIALIZED"}
    assert instance.get_latest_materialization_event(dg.AssetKey(["raw", "inventory"])) is not None
    assert prune_runs(demo_site, LATER) == 0


def test_the_command_works_on_the_services_history(
    demo_site: Site, instance: dg.DagsterInstance, monkeypatch: pytest.MonkeyPatch
) -> None:
    for _ in range(2):
        run_of(instance, "build")
    monkeypatch.setenv(HOME_VARIABLE, str(instance.root_directory))
    told = CliRunner().invoke(main, ["prune-runs", "--site", str(demo_site.path), "--keep-days", "1"])
    assert (told.exit_code, told.output) == (0, "0 runs removed that ended more than 1 day ago\n")
    assert len(instance.get_runs()) == 2
