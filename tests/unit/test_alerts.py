"""Alerts: what is one, what a message says, and that it is told once, daily while it lasts, and when it is over."""

import json
from collections.abc import Callable
from dataclasses import asdict
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from capacity_dagster.alerts import (
    Alert,
    failed_run,
    failing_checks,
    limit_hours,
    message,
    reports_after,
    stale_sources,
    watch,
)
from capacity_dagster.health import Arrival, FailedCheck, Health
from capacity_dagster.receivers import Message, Sent
from capacity_dagster.site_file import Site

TOML = """
[site]
name = "small"
first_day = 2026-01-01
[clusters.alpha]
[clusters.beta]
[[sources]]
kind = "slurm_jobs"
files = "jobs/*"
[[sources]]
kind = "inventory"
files = "inventory.csv"
[alerts]
recipients = ["ann@example.org"]
"""
NOW = datetime(2026, 11, 28, 12, tzinfo=UTC)
MINUTE, HOUR, DAY = timedelta(minutes=1), timedelta(hours=1), timedelta(days=1)
POOLS = FailedCheck("core.inventory", "one_pool_at_a_time", 3, "A node is in one pool.", {"node": "h1"})
TEAMS = FailedCheck("core.teams", "one_team_at_a_time", 1, "An account is one team's.")
UNREADABLE = FailedCheck("raw.slurm_jobs", "deliveries_are_readable", 1, "…", {"problem": "a.psv: is empty"})


class Receiver:
    """Takes messages, or does not."""

    def __init__(self) -> None:
        self.messages: list[Message] = []
        self.problem: str | None = None

    def __call__(self, _: Any, told: Message, now: datetime) -> list[Sent]:
        self.messages.append(told)
        return [Sent("a receiver", self.problem)]

    def taken(self) -> list[str]:
        """The subjects since it was asked last, without what is the same in all."""
        subjects = [told.subject.removeprefix("[capacity small] ") for told in self.messages]
        self.messages.clear()
        return subjects


@pytest.fixture
def receiver() -> Receiver:
    return Receiver()


@pytest.fixture
def site(make_site: Callable[..., Site]) -> Site:
    return make_site(TOML)


def left(site: Site, *failed: FailedCheck, arrivals: list[Arrival] | None = None, at: datetime = NOW) -> None:
    """What a build left."""
    site.work.mkdir(exist_ok=True)
    health = Health(at, list(failed), arrivals or [])
    (site.work / "health.json").write_text(json.dumps(asdict(health), default=datetime.isoformat))


def arrival(hours_ago: float, deliveries: int = 9, gap: float | None = 24, source: str = "slurm_jobs") -> Arrival:
    return Arrival(source, "alpha", NOW - timedelta(hours=hours_ago), deliveries, gap)


def test_once_daily_and_when_it_is_over(site: Site, receiver: Receiver) -> None:
    blocked = "ublishing is blocked: core.inventory one_pool_at_a_time"
    left(site, POOLS)
    told: dict[int, list[str]] = {}
    for minutes in range(0, 49 * 60, 7):
        watch(site, NOW + minutes * MINUTE, sender=receiver)
        told[minutes] = receiver.taken()
    assert {minutes: subjects for minutes, subjects in told.items() if subjects} == {
        0: [f"P{blocked}"],
        1442: [f"Still: p{blocked}"],
        2884: [f"Still: p{blocked}"],
    }
    left(site, at=NOW + 3 * DAY)
    watch(site, NOW + 3 * DAY, sender=receiver)
    assert f"Since: 2026-11-28T12:00:00Z (3 days), over at {(NOW + 3 * DAY):%Y-%m-%d}" in receiver.messages[0].text
    assert receiver.taken() == [f"Over: p{blocked}"]
    watch(site, NOW + 3 * DAY + MINUTE, sender=receiver)
    watch(site, NOW + 5 * DAY, sender=receiver)
    assert receiver.taken() == []


def test_one_message_for_what_is_of_one_kind_and_what_is_left_of_it(site: Site, receiver: Receiver) -> None:
    left(site, POOLS, TEAMS)
    watch(site, NOW, sender=receiver)
    assert receiver.taken() == ["Publishing is blocked: core.inventory one_pool_at_a_time and 1 more"]
    left(site, TEAMS)
    watch(site, NOW + HOUR, sender=receiver)
    assert receiver.messages[0].text.startswith("What:  core.inventory: blocking check")
    assert "\n\nNot over: core.teams one_team_at_a_time\n\n" in receiver.messages[0].text
    assert receiver.taken() == ["Over: publishing is blocked: core.inventory one_pool_at_a_time"]


def test_a_run_that_failed_lasts_until_one_of_its_job_ends_well(site: Site, receiver: Receiver) -> None:
    def fails(job: str, at: datetime) -> None:
        watch(site, at, [failed_run(site, job, ["disk full"], at, "4f1c")], sender=receiver)

    fails("build", NOW)
    fails("build", NOW + HOUR)
    assert receiver.taken() == ["A run failed: build"]
    watch(site, NOW + 2 * HOUR, ended_well={"collect_slurm": NOW + 2 * HOUR}, sender=receiver)
    assert receiver.taken() == []
    watch(site, NOW + 25 * HOUR, sender=receiver)
    assert "\nSince: 2026-11-28T12:00:00Z (25 hours)\n" in receiver.messages[0].text
    assert receiver.taken() == ["Still: a run failed: build"]
    watch(site, NOW + 26 * HOUR, ended_well={"build": NOW + 26 * HOUR}, sender=receiver)
    watch(site, NOW + 27 * HOUR, ended_well={"build": NOW + 26 * HOUR}, sender=receiver)
    assert receiver.taken() == ["Over: a run failed: build"]


def test_a_run_that_ended_well_before_one_failed_ends_no_alert(site: Site, receiver: Receiver) -> None:
    """Cron's build, of which Dagster has no run, fails each hour; the sensor finds Dagster's last one each minute."""
    before = {"build": NOW - HOUR}
    told: dict[int, list[str]] = {}
    for minutes in range(3 * 60):
        now = NOW + minutes * MINUTE
        if minutes % 60 == 7:
            watch(site, now, [failed_run(site, "build", ["not mounted"], now)], sender=receiver)
        else:
            watch(site, now, ended_well=before, sender=receiver)
        told[minutes] = receiver.taken()
    assert {minutes: subjects for minutes, subjects in told.items() if subjects} == {7: ["A run failed: build"]}
    between_failures = {"build": NOW + 2 * HOUR}
    watch(site, NOW + 3 * HOUR, ended_well=between_failures, sender=receiver)
    assert receiver.taken() == []
    watch(site, NOW + 4 * HOUR, ended_well={"build": NOW + 2 * HOUR + 8 * MINUTE}, sender=receiver)
    assert "Since: 2026-11-28T12:07:00Z (3 hours), over at" in receiver.messages[0].text
    assert receiver.taken() == ["Over: a run failed: build"]


def test_what_nobody_took_is_sent_again_and_not_in_a_hurry(site: Site, receiver: Receiver) -> None:
    left(site, POOLS)
    receiver.problem = "down"
    for minutes in range(0, 31):
        watch(site, NOW + minutes * MINUTE, sender=receiver)
    assert len(receiver.taken()) == 4
    receiver.problem = None
    watch(site, NOW + HOUR, sender=receiver)
    assert receiver.taken() == ["Publishing is blocked: core.inventory one_pool_at_a_time"]
    left(site)
    receiver.problem = "down"
    for minutes in range(0, 31):
        watch(site, NOW + 2 * HOUR + minutes * MINUTE, sender=receiver)
    assert len(receiver.taken()) == 4
    receiver.problem = None
    watch(site, NOW + 3 * HOUR, sender=receiver)
    assert receiver.taken() == ["Over: publishing is blocked: core.inventory one_pool_at_a_time"]


def test_what_was_over_before_anybody_heard_of_it_is_not_told(site: Site, receiver: Receiver) -> None:
    left(site, POOLS)
    receiver.problem = "down"
    watch(site, NOW, sender=receiver)
    receiver.taken()
    left(site)
    receiver.problem = None
    watch(site, NOW + HOUR, sender=receiver)
    assert receiver.taken() == []


@pytest.mark.parametrize("memory", ["", "{", "[]", '{"a": 1}', '{"a": {"alert": {"since": 3}}}'])
def test_a_broken_memory_tells_once_more(site: Site, receiver: Receiver, memory: str) -> None:
    left(site, POOLS)
    (site.work / "alerts.json").write_text(memory)
    for minutes in range(3):
        watch(site, NOW + minutes * MINUTE, sender=receiver)
    assert receiver.taken() == ["Publishing is blocked: core.inventory one_pool_at_a_time"]


@pytest.mark.parametrize("health", ["", "{", '{"at": "2026-01-01", "failed": [{}], "arrivals": []}'])
def test_without_what_a_build_left_nothing_is_judged(site: Site, receiver: Receiver, health: str) -> None:
    left(site, POOLS)
    watch(site, NOW, sender=receiver)
    receiver.taken()
    (site.work / "health.json").write_text(health)
    watch(site, NOW + HOUR, sender=receiver)
    assert receiver.taken() == []


def test_nobody_to_tell(make_site: Callable[..., Site], receiver: Receiver) -> None:
    site = make_site(TOML.partition("[alerts]")[0])
    left(site, POOLS)
    assert watch(site, NOW, sender=receiver) == []
    assert not receiver.messages


@pytest.mark.parametrize(
    ("hours_ago", "deliveries", "gap", "is_stale"),
    [
        (35, 9, 1, False),
        (37, 9, 1, True),
        (37, 2, 1, False),  # no rhythm yet
        (37, 9, 24, False),  # daily: two may be missed
        (49, 9, 24, True),
        (61 * 24, 9, 31 * 24, False),  # monthly
        (63 * 24, 9, 31 * 24, True),
    ],
)
def test_a_source_is_stale_when_it_misses_its_rhythm(
    site: Site, hours_ago: float, deliveries: int, gap: float, is_stale: bool
) -> None:
    found = stale_sources(site, Health(NOW, [], [arrival(hours_ago, deliveries, gap)]), NOW)
    assert [alert.key for alert in found] == (["source_stale slurm_jobs alpha"] if is_stale else [])


def test_the_site_file_has_limits_of_its_own(make_site: Callable[..., Site]) -> None:
    site = make_site(
        f"{TOML}stale_after_hours = 3\n"
        '[[alerts.sources]]\nkind = "slurm_jobs"\ncluster = "beta"\nstale_after_hours = 1\n'
        '[[alerts.sources]]\nkind = "slurm_jobs"\nstale_after_hours = 2\n'
        '[[alerts.sources]]\nkind = "slurm_qos"\nstale_after_hours = inf\n'
    )
    assert limit_hours(site, Arrival("slurm_jobs", "beta", NOW, 1, None)) == 1
    assert limit_hours(site, arrival(0)) == 2
    assert limit_hours(site, arrival(0, gap=1, source="slurm_nodes")) == 3
    never = stale_sources(site, Health(NOW, [], [arrival(24 * 365 * 50, source="slurm_qos")]), NOW)
    assert never == []


def test_a_source_that_ended_is_never_stale(make_site: Callable[..., Site]) -> None:
    site = make_site(f'{TOML}[[ended_sources]]\nkind = "slurm_jobs"\ncluster = "alpha"\nlast_day = 2026-01-01\n')
    silent = [Arrival("slurm_jobs", cluster, NOW - timedelta(days=99), 9, 24.0) for cluster in ("alpha", "beta")]
    assert [alert.key for alert in stale_sources(site, Health(NOW, [], silent), NOW)] == [
        "source_stale slurm_jobs beta"
    ]


def test_what_a_stale_source_says(site: Site) -> None:
    left(site)
    (alert,) = stale_sources(site, Health(NOW - HOUR, [], [arrival(72)]), NOW)
    told = message(site, "source_stale", "begun", [alert], [], NOW)
    reports = ", ".join(sorted(reports_after({"raw.slurm_jobs"})))
    assert "report.fleet_efficiency_daily" in reports
    assert told.subject == "[capacity small] A source is stale: slurm_jobs alpha"
    assert told.text == (
        "What:  slurm_jobs of alpha: nothing was delivered for 3 days; usually it comes every 24 hours, and it is "
        "stale after 2 days. The last build looked at 2026-11-28T11:00:00Z.\n"
        "Since: 2026-11-25T12:00:00Z (3 days)\n"
        f"Next:  look whether files that match 'jobs/*' still land in {site.landing}, and whether `capacity collect "
        "slurm` or what else exports them still runs; if they land, look whether builds still run\n"
        "\n"
        f"Numbers: {reports}\n"
        "Nothing is published yet.\n"
        "\n"
        "Runbook: docs/runbook.md#alert-source-stale\n"
    )
    assert told.fields["alerts"][0]["newest_at"] == "2026-11-25T12:00:00Z"


def test_what_blocked_publishing_says(make_site: Callable[..., Site]) -> None:
    site = make_site(f'{TOML}runbook_url = "https://wiki.example.org/runbook"\n')
    version = site.published / "versions" / "000007"
    version.mkdir(parents=True)
    manifest = {"version": 7, "published_at": "2026-11-26T12:00:00+00:00", "as_of": {"alpha": "2026-11-26T11:00:00Z"}}
    manifest |= {"code_version": "", "state": {}, "tables": {}}  # what a version must tell to be one
    (version / "manifest.json").write_text(json.dumps(manifest))
    (site.published / "current").symlink_to("versions/000007")
    alerts = failing_checks(site, Health(NOW, [POOLS, UNREADABLE], []))
    told = message(site, "publishing_blocked", "begun", alerts, [], NOW + HOUR)
    first, second, numbers, runbook = told.text.split("\n\n")
    assert first == (
        "What:  core.inventory: blocking check 'one_pool_at_a_time' fails on 3 rows. A node is in one pool. "
        'First row: {"node": "h1"}\n'
        "Since: 2026-11-28T12:00:00Z (60 minutes)\n"
        "Next:  read the check and mend the delivered file that breaks it, then build; do not weaken the check"
    )
    assert second.startswith("What:  raw.slurm_jobs: a.psv: is empty\n")
    assert f"Next:  run `capacity check --site {site.path}`" in second
    assert numbers.endswith(
        "\nReaders have version 7, published 2026-11-26T12:00:00Z (2 days ago), as of alpha 2026-11-26T11:00:00Z."
    )
    assert runbook == "Runbook: https://wiki.example.org/runbook#alert-publishing-blocked\n"
    assert told.fields["published_version"] == 7
    assert told.fields["alerts"][0] | {"affected": [], "next_step": ""} == {
        "what": first.partition("\n")[0].removeprefix("What:  "),
        "since": "2026-11-28T12:00:00Z",
        "affected": [],
        "next_step": "",
        "table": "core.inventory",
        "check": "one_pool_at_a_time",
        "failed_rows": 3,
        "sample": {"node": "h1"},
    }


def test_rows_are_not_quoted_where_the_site_file_forbids_it(make_site: Callable[..., Site]) -> None:
    site = make_site(f"{TOML}sample_rows = false\n")
    (alert,) = failing_checks(site, Health(NOW, [POOLS], []))
    assert "h1" not in json.dumps(asdict(alert), default=str)


def test_what_is_delivered_is_one_line_of_plain_text(site: Site) -> None:
    row = {"node": "h1\r\nBcc: eve@example.org\x1b[2J\u202e", "reason": "x" * 5000}
    health = Health(NOW, [FailedCheck("core.inventory", "one_pool_at_a_time", 1, "…", row)], [])
    alerts = [*failing_checks(site, health), Alert("k a\nb", "publishing_blocked", "a\nb", NOW, [], "c\rd")]
    told = message(site, "publishing_blocked", "begun", alerts[::-1], [], NOW)
    assert told.subject == "[capacity small] Publishing is blocked: a b and 1 more"
    everything = told.text + json.dumps(told.fields, ensure_ascii=False)
    assert not [character for character in everything if not character.isprintable() and character != "\n"]
    assert len(told.text) < 3000
    assert "\nBcc" not in everything
    assert "What:  a b\n" in told.text


def test_a_failed_run_names_the_numbers_that_its_tables_lead_to(site: Site) -> None:
    alert = failed_run(site, "build", ["core__teams: boom"], NOW, "4f1c", ["core.teams"])
    assert alert.what == "build: core__teams: boom"
    assert "report.team_efficiency_daily" in alert.affected
    assert "report.closed_months" not in alert.affected
    assert "run 4f1c in the Dagster UI" in alert.next_step
    everything = failed_run(site, "build", [], NOW)
    assert set(alert.affected) < set(everything.affected)
    assert "report.bill_bridge_monthly" not in failed_run(site, "collect_slurm", [], NOW).affected
