"""A record that is accepted and reaches no attempt stops publishing, whether everything is built or what changed."""

from dataclasses import replace

import pytest

from capacity_dagster.tables.catalogue import Catalogue

TOML = """
[site]
name = "lossless"
first_day = 2026-01-01

[clusters.c]

[accelerators.h100]

[[sources]]
kind = "slurm_jobs"
files = "*.psv"
"""
HEADER = "Cluster|JobIDRaw|Submit|Start|End|State|AllocTRES|NodeList\n"
DAY_1 = 1767225600


def job(number: int | str) -> str:
    return f"c|{number}|{DAY_1}|{DAY_1}|{DAY_1 + 3600}|COMPLETED|gres/gpu=4|n1\n"


def test_a_lost_record_blocks(make_site, build, query, catalogue: Catalogue, monkeypatch: pytest.MonkeyPatch) -> None:
    def lost() -> list[str]:
        checks = {check.name: check for check in build(site, "core.attempts")["core.attempts"].checks}
        check = checks["no_attempt_is_lost"]
        assert check.is_blocking
        assert check.has_passed == (not check.sample)
        return [row["job_id"] for row in check.sample]

    def land(path: str, *records: str) -> None:
        (site.landing / path).write_text(HEADER + "".join(records), encoding="utf-8")

    attempts = catalogue["core.attempts"]
    losing = replace(attempts, sql=attempts.sql + " and winners.job_id <> '7'")
    monkeypatch.setitem(catalogue.tables, "core.attempts", losing)
    # Job 1 comes twice and has a step: one attempt, of which nothing is lost.
    site = make_site(TOML, {"a.psv": HEADER + job(1) + job("1.batch") + job(2), "b.psv": HEADER + job(1)})
    assert lost() == []
    land("c.psv", job(3), job(7))
    assert lost() == ["7"]
    assert query(site, "select job_id from core.attempts order by 1") == [("1",), ("2",), ("3",)]
    land("d.psv", job(4))  # of job 7 nothing changes, and it is lost still
    assert lost() == ["7"]
    monkeypatch.setitem(catalogue.tables, "core.attempts", attempts)
    assert lost() == []
