"""A file that comes late leads through the sensor to a build that rebuilds only its days."""

import os
from datetime import UTC, date, datetime, timedelta

import dagster as dg
import pytest

from capacity_dagster.defs.arrival import arrivals
from capacity_dagster.site_file import SITE_VARIABLE, Site

TOML = """
[site]
name = "late"
first_day = 2026-11-01

[clusters.c]

[[sources]]
kind = "slurm_jobs"
files = "jobs-*"
"""
HEADER = "Cluster|JobIDRaw|Submit|Start|End|State|AllocTRES|NodeList\n"


def deliver(site: Site, day: date, is_late: bool = False) -> None:
    """Lands a file with an attempt of a day, last modified an hour ago."""
    starts = int(datetime(day.year, day.month, day.day, 9, tzinfo=UTC).timestamp())
    number = day.day + (100 if is_late else 0)
    file = site.landing / f"jobs-{day}{'-more' if is_late else ''}.psv"
    file.write_text(f"{HEADER}c|{number}|{starts}|{starts}|{starts + 3600}|COMPLETED|gres/gpu=1|n1\n", encoding="utf-8")
    then = (datetime.now(UTC) - timedelta(hours=1)).timestamp()
    os.utime(file, (then, then))


def test_a_late_file_rebuilds_the_day_it_is_about(make_site, build, monkeypatch: pytest.MonkeyPatch) -> None:
    site = make_site(TOML)
    monkeypatch.setenv(SITE_VARIABLE, str(site.path))
    for day in range(1, 22):
        deliver(site, date(2026, 11, day))
    with dg.DagsterInstance.ephemeral() as instance:
        first = arrivals(dg.build_sensor_context(instance=instance))
        assert len(first.run_requests) == 1
        build(site, "mart.attempt_hours")

        deliver(site, date(2026, 11, 7), is_late=True)
        late = arrivals(dg.build_sensor_context(instance=instance, cursor=first.cursor))
        (request,) = late.run_requests
        assert request.tags == {"capacity/arrived": "1 late"}
        outcomes = build(site, "mart.attempt_hours")
        assert outcomes["mart.attempt_hours"].days == [date(2026, 11, 7)]
        assert outcomes["raw.slurm_jobs"].reasons == ["jobs-2026-11-07-more.psv is new"]

        idle = arrivals(dg.build_sensor_context(instance=instance, cursor=late.cursor))
        assert idle.run_requests == []
