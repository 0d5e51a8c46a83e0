"""The sensor over the landing, evaluated as the daemon does, on an instance of its own."""

import fcntl
import os
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import dagster as dg
import pytest

from capacity_dagster.defs.arrival import arrivals, is_building
from capacity_dagster.site_file import SITE_VARIABLE, Site

TOML = """
[site]
name = "test"
first_day = 2026-01-01

[clusters.alpha]

[[sources]]
kind = "slurm_jobs"
files = "jobs-*"

[[sources]]
kind = "org_mapping"
files = "teams.csv"
"""

Tick = Callable[[str | None], dg.SensorResult | dg.SkipReason]


def put(site: Site, path: str, content: str) -> None:
    """Writes a file that was last modified an hour ago."""
    file = site.landing / path
    file.write_text(content, encoding="utf-8")
    then = (datetime.now(UTC) - timedelta(hours=1)).timestamp()
    os.utime(file, (then, then))


@pytest.fixture
def instance() -> Iterator[dg.DagsterInstance]:
    with dg.DagsterInstance.ephemeral() as ephemeral:
        yield ephemeral


@pytest.fixture
def site(make_site, monkeypatch: pytest.MonkeyPatch) -> Site:
    made = make_site(TOML)
    put(made, "jobs-2026-11-26", "one")
    put(made, "teams.csv", "teams")
    monkeypatch.setenv(SITE_VARIABLE, str(made.path))
    return made


@pytest.fixture
def tick(site: Site, instance: dg.DagsterInstance) -> Tick:
    """tick(cursor): evaluates the sensor with a cursor."""

    def evaluate(cursor: str | None) -> dg.SensorResult | dg.SkipReason:
        return arrivals(dg.build_sensor_context(instance=instance, cursor=cursor))

    return evaluate


def told(result: dg.SensorResult) -> dict[str, dict[str, str]]:
    """What each asset's event says of its files."""
    return {
        "/".join(event.asset_key.path): {
            str(record.data["file"]): str(record.data["what"]) for record in event.metadata["arrived"].records
        }
        for event in result.asset_events
    }


def run(instance: dg.DagsterInstance, status: dg.DagsterRunStatus, job: str = "build") -> None:
    @dg.job(name=job)
    def nothing() -> None:
        pass

    instance.create_run_for_job(nothing, status=status)


def test_is_off_until_somebody_turns_it_on() -> None:
    assert arrivals.default_status == dg.DefaultSensorStatus.STOPPED
    assert arrivals.job_name == "build"


def test_one_build_is_requested_however_many_files_came_and_one_event_for_each_asset(site: Site, tick: Tick) -> None:
    put(site, "jobs-2026-11-27", "two")
    first = tick(None)
    assert told(first) == {
        "landing/slurm_jobs": {"jobs-2026-11-26": "new", "jobs-2026-11-27": "new"},
        "landing/org_mapping": {"teams.csv": "new"},
    }
    (request,) = first.run_requests
    assert request.run_key is None
    assert request.tags == {"capacity/arrived": "3 new"}
    second = tick(first.cursor)
    assert (second.run_requests, second.asset_events, second.cursor) == ([], [], first.cursor)
    assert second.skip_reason.skip_message == "nothing new: 3 files as before"


def test_what_happened_is_counted_beside_the_table(site: Site, tick: Tick) -> None:
    cursor = tick(None).cursor
    put(site, "jobs-2026-11-26", "ONE")
    put(site, "jobs-2026-01-01", "<b>late</b>")
    (event,) = tick(cursor).asset_events
    assert {name: event.metadata[name].value for name in ("files", "bytes", "changed", "late")} == {
        "files": 2,
        "bytes": 14,
        "changed": 1,
        "late": 1,
    }
    assert [record.data for record in event.metadata["arrived"].records] == [
        {"file": "jobs-2026-01-01", "what": "late", "day": "2026-01-01", "bytes": 11, "note": ""},
        {"file": "jobs-2026-11-26", "what": "changed", "day": "2026-11-26", "bytes": 3, "note": "3 bytes before"},
    ]


def test_a_file_that_comes_back_is_built_again_and_again(site: Site, tick: Tick) -> None:
    cursor = tick(None).cursor
    for content in ("two", "one", "two", "one"):
        put(site, "jobs-2026-11-26", content)
        result = tick(cursor)
        assert len(result.run_requests) == 1
        cursor = result.cursor


@pytest.mark.parametrize("status", [dg.DagsterRunStatus.NOT_STARTED, dg.DagsterRunStatus.STARTED])
def test_a_build_that_is_queued_or_runs_gets_one_after_it(
    site: Site, tick: Tick, instance: dg.DagsterInstance, status: dg.DagsterRunStatus
) -> None:
    cursor = tick(None).cursor
    run(instance, status)
    put(site, "jobs-2026-11-27", "two")
    during = tick(cursor)
    assert told(during) == {"landing/slurm_jobs": {"jobs-2026-11-27": "new"}}
    assert during.run_requests == []
    assert tick(during.cursor).run_requests == []
    (record,) = instance.get_run_records()
    instance.delete_run(record.dagster_run.run_id)
    (request,) = tick(during.cursor).run_requests
    assert request.tags == {"capacity/arrived": "1 new"}


def test_a_finished_build_or_another_job_holds_nothing_back(
    site: Site, tick: Tick, instance: dg.DagsterInstance
) -> None:
    run(instance, dg.DagsterRunStatus.SUCCESS)
    run(instance, dg.DagsterRunStatus.FAILURE)
    run(instance, dg.DagsterRunStatus.STARTED, job="collect_slurm")
    assert len(tick(None).run_requests) == 1


def test_a_build_from_the_command_line_is_seen_by_its_lock(site: Site, tick: Tick) -> None:
    site.work.mkdir()
    with site.write_lock.open("a+", encoding="utf-8") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        during = tick(None)
        assert during.run_requests == []
    assert len(tick(during.cursor).run_requests) == 1


def test_a_run_whose_process_was_killed_holds_builds_back_for_minutes_only(
    site: Site, instance: dg.DagsterInstance
) -> None:
    run(instance, dg.DagsterRunStatus.STARTED)
    now = datetime.now(UTC)
    assert is_building(instance, site, now)
    assert not is_building(instance, site, now + timedelta(minutes=11))


def test_a_cursor_that_was_reset_finds_everything_again(site: Site, tick: Tick) -> None:
    tick(None)
    again = tick(None)
    assert len(again.run_requests) == 1
    assert set(told(again)) == {"landing/slurm_jobs", "landing/org_mapping"}


@pytest.mark.parametrize(
    ("break_it", "message"),
    [
        (lambda site: site.path.write_text("[sight]"), "unknown key 'sight'"),
        (lambda site: site.path.unlink(), "cannot be read"),
        (lambda site: site.landing.rename(site.folder / "elsewhere"), "is not a folder"),
    ],
)
def test_what_cannot_be_looked_at_is_a_reason_to_skip_and_forgets_nothing(
    site: Site, tick: Tick, break_it: Callable[[Site], Path], message: str
) -> None:
    cursor = tick(None).cursor
    break_it(site)
    result = tick(cursor)
    assert isinstance(result, dg.SkipReason)
    assert message in result.skip_message
    assert str(site.folder) in result.skip_message
