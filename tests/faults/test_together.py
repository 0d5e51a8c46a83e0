"""All bad files in one landing beside good ones: one build tells or counts each, and the good numbers do not move."""

import json
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from fault_files import INVENTORY, JOBS, T0, job
from file_faults import CONTENTS

from capacity_dagster.site_file import Site, load_site

pytestmark = pytest.mark.faults

GOOD = {
    "good/jobs.psv": f"{JOBS}\n{job(1, Cluster='good', NodeList='g1')}\n{job(2, Cluster='good', NodeList='g[1-2]')}\n",
    "good/inventory.csv": f"{INVENTORY}\ngood,g1,train,h100,8,{T0},\ngood,g2,train,h100,8,{T0},\n",
}
HEAD = """
[site]
name = "faults"
first_day = 2026-01-01
[clusters.good]
[clusters.alpha]
[clusters.beta]
[[sources]]
kind = "slurm_jobs"
files = "good/jobs.psv"
[[sources]]
kind = "inventory"
files = "good/inventory.csv"
"""
NUMBERS = """
select usage_date, pool, accelerator_model, installed_unit_seconds, allocated_unit_seconds
from report.fleet_efficiency_daily where cluster = 'good' order by all
"""
FAULTS = [each for each in CONTENTS if not each.is_large]


def made(root: Path, with_faults: bool) -> Site:
    """The good site, with or without all that is bad."""
    toml = HEAD
    for name, content in GOOD.items():
        (root / "landing" / name).parent.mkdir(parents=True, exist_ok=True)
        (root / "landing" / name).write_text(content, encoding="utf-8")
    for fault in FAULTS if with_faults else ():
        (root / "landing" / fault.id).mkdir()
        (root / "landing" / fault.id / "bad").write_bytes(fault.make())
        keys = "".join(f"{key} = {json.dumps(value)}\n" for key, value in fault.source.items())
        toml += f"[[sources]]\nkind = '{fault.kind}'\nfiles = '{fault.id}/bad'\n{keys}"
    (root / "site.toml").write_text(toml, encoding="utf-8")
    return load_site(root)


def test_all_faults_together(tmp_path: Path, build: Callable[..., Any], query: Callable[..., Any]) -> None:
    alone = made(tmp_path / "alone", with_faults=False)
    build(alone, "report.fleet_efficiency_daily")
    site = made(tmp_path / "together", with_faults=True)
    outcomes = build(site)

    told = [problem for outcome in outcomes.values() for problem in outcome.problems]
    refused = {f"{each.id}/bad": each.refused for each in FAULTS if each.refused is not None}
    assert {problem.split(":")[0] for problem in told} == refused.keys()
    assert all(refused[problem.split(":")[0]] in problem for problem in told)

    counted = {
        file: (accepted, rejected)
        for file, accepted, rejected in query(
            site,
            "select source_file, accepted_rows, rejected_rows from landing.deliveries "
            "where source_file not like 'good/%'",
        )
    }
    read = [each for each in FAULTS if each.refused is None]
    assert counted == {f"{each.id}/bad": (each.accepted, sum(each.rejected.values())) for each in read}
    kept = Counter(
        {
            (file, reason): count
            for file, reason, count in query(
                site, "select source_file, reject_reason, count(*) from landing.rejected group by all"
            )
        }
    )
    assert kept == Counter(
        {(f"{each.id}/bad", reason): count for each in read for reason, count in each.rejected.items()}
    )

    received = Counter({"slurm_jobs": 2, "inventory": 2})
    for each in read:
        received[each.kind] += each.accepted + sum(each.rejected.values())
    trust = query(
        site,
        "select source, sum(rows_received)::bigint, sum(rows_accepted + rows_rejected + rows_superseded)::bigint "
        "from report.data_trust_daily group by source",
    )
    assert {source: count for source, count, _ in trust} == {kind: count for kind, count in received.items() if count}
    assert all(count == accounted for _, count, accounted in trust)
    assert query(site, NUMBERS) == query(alone, NUMBERS)
    assert query(site, NUMBERS)
