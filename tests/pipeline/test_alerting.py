"""Alerts of a real site: what builds, sensors and commands tell receivers on this machine."""

import json
import re
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from typing import Any

import dagster as dg
import pytest
from click.testing import CliRunner, Result
from message_servers import Webhook, webhook
from test_rebuilds import FILES, JOBS, TOML, jobs_file, with_jobs

from capacity_dagster.alerts import Alert, Told
from capacity_dagster.cli import main
from capacity_dagster.defs.alerts import alerts, failed_runs, tables_of_step
from capacity_dagster.errors import SourceError
from capacity_dagster.health import Arrival, judged_health, read_health
from capacity_dagster.publish import PublishRefused
from capacity_dagster.site_file import SITE_VARIABLE, Site
from capacity_dagster.tables import expectations
from capacity_dagster.tables.catalogue import Table, load_catalogue
from capacity_dagster.tables.checks import CheckOutcome, planned_checks
from capacity_dagster.warehouse import Warehouse

HOOK = "CAPACITY_TEST_WEBHOOK"
SMALL = TOML.replace('"jobs/*"', '"jobs/*.psv"')
ALERTING = f'{SMALL}\n[alerts]\nwebhook_variable = "{HOOK}"\n'
OVERLAP = FILES["inventory.csv"] + "alpha,h1,other,h100,8,2026-01-02,\n"


@pytest.fixture
def hook(monkeypatch: pytest.MonkeyPatch) -> Iterator[Webhook]:
    with webhook() as server:
        monkeypatch.setenv(HOOK, server.url)
        yield server


@pytest.fixture
def site(make_site: Callable[..., Site], monkeypatch: pytest.MonkeyPatch) -> Site:
    monkeypatch.setattr(expectations, "check_expectations", all_met)
    monkeypatch.delenv("DAGSTER_HOME", raising=False)
    made = make_site(ALERTING, with_jobs(all_psv=jobs_file(JOBS)))
    monkeypatch.setenv(SITE_VARIABLE, str(made.path))
    return made


def all_met(_: Any, table: Table, __: Any) -> list[CheckOutcome]:
    """What Great Expectations finds of what is as expected, without its import."""
    planned = [check for check in planned_checks(table) if check.name.startswith("expectations_")]
    return [CheckOutcome(check.name, check.is_blocking, True, 0, check.description) for check in planned]


def capacity(*arguments: str) -> Result:
    return CliRunner().invoke(main, arguments)


def taken(hook: Webhook) -> list[dict[str, Any]]:
    """What was posted since it was asked last."""
    told = [json.loads(body) for _, _, body in hook.posts]
    hook.posts.clear()
    return told


def failure_of(job: Any, instance: dg.DagsterInstance) -> dg.RunFailureSensorContext:
    """Runs a job that fails, and what its sensor is then given."""
    result = job.execute_in_process(instance=instance, raise_on_error=False)
    assert not result.success
    return dg.build_run_status_sensor_context(
        "failed_runs", result.get_run_failure_event(), instance, result.dagster_run
    ).for_run_failure()


def test_a_build_from_cron_tells_what_blocks_and_when_it_is_over(site: Site, hook: Webhook) -> None:
    (site.landing / "inventory.csv").write_text(OVERLAP)
    told = capacity("build", "--alert")
    assert told.exit_code == 1, told.output
    (post,) = taken(hook)
    assert post["subject"] == "[capacity small] Publishing is blocked: core.inventory one_pool_at_a_time"
    assert (post["kind"], post["phase"], post["published_version"]) == ("publishing_blocked", "begun", None)
    (alert,) = post["alerts"]
    assert (alert["table"], alert["check"], alert["failed_rows"]) == ("core.inventory", "one_pool_at_a_time", 1)
    assert alert["sample"]["node"] == "h1"
    assert "report.fleet_efficiency_daily" in post["affected"]
    assert f"First row: {json.dumps(alert['sample'])}".replace("@", "@\u2060") in post["text"]

    built = read_health(site)
    told = capacity("build", "--alert")  # nothing new, and told already
    looked = read_health(site)
    assert built is not None
    assert looked is not None
    assert looked.at > built.at
    assert (told.exit_code, taken(hook)) == (1, [])
    told = capacity("alert")
    assert (told.exit_code, told.output, taken(hook)) == (0, "nothing is due\n", [])

    (site.landing / "inventory.csv").write_text(FILES["inventory.csv"])
    told = capacity("build", "--alert")
    assert told.exit_code == 0, told.output
    (post,) = taken(hook)
    assert (post["subject"], post["phase"], post["published_version"]) == (
        "[capacity small] Over: publishing is blocked: core.inventory one_pool_at_a_time",
        "over",
        1,
    )

    # A build that cannot even begin.
    (site.landing / "inventory.csv").unlink()
    for _ in range(2):
        told = capacity("build", "--alert")
        assert told.exit_code == 2
    (post,) = taken(hook)
    assert post["subject"] == "[capacity small] A run failed: build"
    assert "source 'inventory': no file in" in post["alerts"][0]["what"]
    assert post["published_version"] == 1

    # What ails alerts ails no build.
    (site.landing / "inventory.csv").write_text(FILES["inventory.csv"])
    hook.answers = [404]
    told = capacity("build", "--alert")
    assert told.exit_code == 0, told.output
    assert "nothing new; version 1 is current" in told.output
    assert "not sent: it answers 404" in told.output


def test_health_is_what_was_delivered(site: Site, build: Any) -> None:
    for day in ("2026-01-01", "2026-01-02", "2026-01-03"):
        (site.landing / f"jobs-{day}.psv").write_text(jobs_file(JOBS[:3]))  # alpha alone
    (site.landing / "jobs-2026-01-05.psv").write_text(jobs_file([]))  # of no cluster
    toml = site.path.read_text().replace(
        'files = "jobs/*.psv"', "files = 'jobs-*'\ncollected_at = '-(?P<at>[0-9]{4}-[0-9]{2}-[0-9]{2})'"
    )
    site.path.write_text(toml)
    build(Site(site.path, type(site.content).model_validate(_toml(toml))), "raw.slurm_jobs", "raw.slurm_node_events")
    warehouse = Warehouse(site)
    with warehouse.write("a test"):
        found = judged_health(warehouse, datetime(2026, 1, 6, tzinfo=UTC))
        again = judged_health(warehouse, datetime(2026, 1, 6, tzinfo=UTC))
    jobs = [each for each in found.arrivals if each.source == "slurm_jobs"]
    assert jobs == [Arrival("slurm_jobs", "alpha", datetime(2026, 1, 5, tzinfo=UTC), 4, 24.0)]
    assert again == found
    assert found.failed == []


def _toml(text: str) -> Any:
    import tomllib

    return tomllib.loads(text)


def test_records_tell_of_deliveries_that_do_not_say_when_they_are_from(site: Site, build: Any) -> None:
    (site.landing / "jobs" / "as_of.txt").unlink()
    (site.landing / "as_of.txt").unlink()
    build(site, "raw.slurm_jobs", "raw.inventory")
    warehouse = Warehouse(site)
    with warehouse.write("a test"):
        # Two days of records are of the future then, which are no sign of life.
        found = judged_health(warehouse, datetime(2026, 1, 2, 12, tzinfo=UTC)).arrivals
    assert [(each.source, each.cluster) for each in found] == [("slurm_jobs", "alpha"), ("slurm_jobs", "beta")]
    newest = max(at for at in ends() if at <= datetime(2026, 1, 2, 12, tzinfo=UTC))
    assert found[0].newest_at == newest


def ends() -> list[datetime]:
    records = [record.split("|") for record in JOBS if record.startswith("alpha|")]
    return [datetime.fromtimestamp(int(each[5]), UTC) for each in records if each[5].isdigit() and "MELTED" not in each]


@dg.op
def core__teams() -> None:
    raise dg.Failure("teams.csv: disk\nfull")


@dg.job(name="build")
def failing_build() -> None:
    core__teams()


def test_a_failed_run_is_told_once_until_one_ends_well(site: Site, hook: Webhook) -> None:
    with dg.DagsterInstance.ephemeral() as instance:
        reason = failed_runs(failure_of(failing_build, instance))
        assert isinstance(reason, dg.SkipReason)
        assert reason.skip_message == f"webhook of {HOOK}: sent"
        (post,) = taken(hook)
        assert post["alerts"][0]["what"] == "build: core__teams: teams.csv: disk full"
        assert post["alerts"][0]["tables"] == ["core.teams"]
        assert re.search(r"run [0-9a-f-]{36} in the Dagster UI", post["alerts"][0]["next_step"])
        failed_runs(failure_of(failing_build, instance))
        alerts(dg.build_sensor_context(instance=instance))
        assert taken(hook) == []
        noop.execute_in_process(instance=instance)
        alerts(dg.build_sensor_context(instance=instance))
        (post,) = taken(hook)
        assert post["subject"] == "[capacity small] Over: a run failed: build"


@dg.job(name="build")
def noop() -> None:
    pass


def test_dagsters_old_success_ends_no_alert_of_a_build_from_cron(site: Site, hook: Webhook) -> None:
    with dg.DagsterInstance.ephemeral() as instance:
        noop.execute_in_process(instance=instance)
        (site.landing / "inventory.csv").unlink()
        for _ in range(2):
            assert capacity("build", "--alert").exit_code == 2  # before there is a run of Dagster
            alerts(dg.build_sensor_context(instance=instance))
        assert [post["subject"] for post in taken(hook)] == ["[capacity small] A run failed: build"]
        noop.execute_in_process(instance=instance)
        alerts(dg.build_sensor_context(instance=instance))
        assert [post["subject"] for post in taken(hook)] == ["[capacity small] Over: a run failed: build"]


@dg.resource
def unreachable_store() -> None:
    raise SourceError("s3://bucket: cannot be reached") from OSError("connection refused")


@dg.op(required_resource_keys={"warehouse"})
def needs_the_warehouse() -> None:
    pass


@dg.job(name="build", resource_defs={"warehouse": unreachable_store})
def unopened_build() -> None:
    needs_the_warehouse()


def test_a_run_whose_warehouse_does_not_open_says_why(site: Site, hook: Webhook) -> None:
    with dg.DagsterInstance.ephemeral() as instance:
        failed_runs(failure_of(unopened_build, instance))
    (post,) = taken(hook)
    told = post["alerts"][0]["what"]
    assert told.endswith(": capacity_dagster.errors.SourceError: s3://bucket: cannot be reached")
    assert "killed" not in told


def test_a_build_whose_warehouse_does_not_open_says_why(
    site: Site, hook: Webhook, monkeypatch: pytest.MonkeyPatch
) -> None:
    def unreachable(_: Site) -> None:
        raise SourceError("s3://bucket: cannot be reached")

    monkeypatch.setattr("capacity_dagster.defs.resources.mirror", unreachable)
    told = capacity("build", "--alert")
    assert told.exit_code == 1
    (post,) = taken(hook)
    assert post["alerts"][0]["what"] == (
        "build: the run failed before its first step: capacity_dagster.errors.SourceError: "
        "s3://bucket: cannot be reached"
    )


@dg.op
def published__current() -> None:
    raise PublishRefused("nothing is published")


@dg.job(name="build")
def refused_build() -> None:
    published__current()


def test_a_run_that_failed_for_a_check_is_told_as_blocked_publishing(site: Site, hook: Webhook) -> None:
    check = CheckOutcome("one_pool_at_a_time", True, False, 2, "One pool.", sample=[{"node": "h1"}])
    warehouse = Warehouse(site)
    with warehouse.write("a test"), dg.DagsterInstance.ephemeral() as instance:
        from capacity_dagster.health import record_health
        from capacity_dagster.materialise import Materialiser

        Materialiser(warehouse, load_catalogue())
        warehouse.store_checks("core.inventory", [check])
        record_health(warehouse, datetime.now(UTC))
        failed_runs(failure_of(refused_build, instance))
    assert [post["subject"] for post in taken(hook)] == [
        "[capacity small] Publishing is blocked: core.inventory one_pool_at_a_time"
    ]


def test_a_site_that_names_nobody_has_nothing_to_tell(make_site: Callable[..., Site], monkeypatch: Any) -> None:
    monkeypatch.setenv(SITE_VARIABLE, str(make_site(SMALL).path))
    reason = alerts(dg.build_sensor_context())
    assert "names nobody" in str(reason.skip_message)
    told = capacity("alert")
    assert told.exit_code == 2
    assert "expected 'recipients' or 'webhook_variable' in the section [alerts]" in told.output.replace("\n", "")


def test_a_test_message_says_what_became_of_it(site: Site, hook: Webhook) -> None:
    told = capacity("alert", "--test")
    assert (told.exit_code, told.output) == (0, f"webhook of {HOOK}: sent\n")
    (post,) = taken(hook)
    assert (post["kind"], post["subject"]) == ("test", "[capacity small] Test: alerts of this site arrive")
    hook.answers = [404]
    told = capacity("alert", "--test")
    assert told.exit_code == 1
    assert f"webhook of {HOOK}: not sent: it answers 404 Not Found: its body" in told.output


def test_every_step_is_known_by_its_tables() -> None:
    catalogue = load_catalogue()
    steps = ["days", *(f"{table.layer}__{table.name}" for table in catalogue if not table.contract.partition)]
    assert sorted(table for step in steps for table in tables_of_step(step)) == sorted(catalogue.tables)
    assert tables_of_step("published__current") == []


def test_alerts_change_no_number(make_site: Callable[..., Site]) -> None:
    assert make_site(SMALL).sha256 == make_site(ALERTING, folder="other").sha256


def test_nothing_is_left_of_health_that_is_no_health(site: Site) -> None:
    assert read_health(site) is None
    assert Told(Alert("k", "run_failed", "", datetime.now(UTC), [], "")).is_due(datetime.now(UTC))
