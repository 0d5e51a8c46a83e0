"""What is rebuilt, and what makes no difference: the files' names, order, grouping and compression, a crash."""

import gzip
import shutil
import subprocess
import sys
from collections.abc import Callable, Mapping
from datetime import UTC, date, datetime
from pathlib import Path

import pytest

from capacity_dagster.site_file import Site, load_site

DAY = 86_400
T0 = 1_767_225_600  # 2026-01-01T00:00:00Z
AS_OF = datetime(2026, 1, 4, tzinfo=UTC)
DAYS = [date(2026, 1, 1), date(2026, 1, 2), date(2026, 1, 3)]

TOML = """
[site]
name = "small"
first_day = 2026-01-01

[clusters.alpha]

[clusters.beta]

[accelerators.h100]

[pools.training]
""" + "".join(
    f'\n[[sources]]\nkind = "{kind}"\nfiles = "{files}"\ntime_zone = "UTC"\n'
    for kind, files in (
        ("slurm_jobs", "jobs/*"),
        ("slurm_node_events", "events/*"),
        ("inventory", "inventory*.csv"),
        ("org_mapping", "teams.csv"),
        ("purchase_lots", "lots.csv"),
        ("flat_costs", "flat*.csv"),
    )
)

JOBS_HEADER = (
    "Cluster|JobIDRaw|Submit|Eligible|Start|End|ElapsedRaw|State|Account|User|NNodes|AllocCPUS|AllocTRES|NodeList"
    "|JobName"
)


def job(cluster: str, job_id: int, start: int, end: int | None, gpus: int, nodes: str, **changed: str) -> str:
    values = {
        "Cluster": cluster,
        "JobIDRaw": job_id,
        "Submit": start - 100,
        "Eligible": start - 90,
        "Start": start,
        "End": "Unknown" if end is None else end,
        "ElapsedRaw": (end or start) - start,
        "State": "RUNNING" if end is None else "COMPLETED",
        "Account": ("vision", "speech", "")[job_id % 3],
        "User": f"user{job_id % 4}",
        "NNodes": "2" if "-" in nodes else "1",
        "AllocCPUS": "8",
        "AllocTRES": f"cpu=8,gres/gpu:h100={gpus},gres/gpu={gpus}",
        "NodeList": nodes,
        "JobName": f"name|of {job_id}",
    } | changed
    return "|".join(map(str, values.values()))


JOBS = [
    *(
        job(cluster, number, T0 + number * 7_001, T0 + number * 7_001 + 9_000 + number * 331, 1 + number % 8, nodes)
        for cluster, nodes in (("alpha", "h1"), ("alpha", "h2"), ("beta", "h1"))
        for number in range(2 if nodes == "h2" else 1, 30, 2)
    ),
    job("alpha", 101, T0 + DAY - 600, T0 + DAY + 600, 8, "h[1-2]"),
    job("alpha", 102, T0 + 2 * DAY, None, 2, "h2"),
    job("alpha", 103, T0 + 2 * DAY + 5, T0 + 2 * DAY + 65, 4, "h9"),
    job("alpha", 104, T0 + 70, T0 + 80, 4, "h1", State="MELTED"),
]
FILES: dict[str, str] = {
    "as_of.txt": "2026-01-04",
    "jobs/as_of.txt": "2026-01-04",
    "events/alpha.psv": "Cluster|NodeName|Reason|TimeStart|State|TimeEnd\n"
    f"alpha|h1|broken|{T0 + 30_000}|DOWN|{T0 + 50_000}\nalpha|h2|tired|{T0 + DAY + 30_000}|DRAIN|Unknown\n",
    "inventory.csv": "cluster,node,pool,accelerator_model,accelerators,in_service_at,retired_at\n"
    "alpha,h1,training,H100,8,2026-01-01,\nalpha,h2,training,h100,8,2026-01-01,2026-01-03\n"
    "alpha,h2,training,h100,4,2026-01-03,\nbeta,h1,training,h100,8,2026-01-02,\n",
    "teams.csv": "account,team,valid_from,valid_to\nvision,seeing,2025-01-01,2026-01-02\nvision,looking,2026-01-02,\n",
    "lots.csv": "lot_id,cluster,pool,model,count,price,residual,currency,in_service,life_months\n"
    "a,alpha,training,h100,16,480000.00,0,USD,2026-01-01,48\n",
    "flat.csv": "cost_component,cluster,pool,amount,currency,period_start,period_end\n"
    "power,alpha,training,100.01,USD,2026-01-01,2026-01-04\n",
}


def jobs_file(records: list[str]) -> str:
    return "\n".join([JOBS_HEADER, *records]) + "\n"


def with_jobs(**files: str | bytes) -> Mapping[str, str | bytes]:
    return {**FILES, **{f"jobs/{name.replace('_', '.')}": content for name, content in files.items()}}


@pytest.fixture(scope="module")
def first_built(tmp_path_factory: pytest.TempPathFactory, build) -> Site:
    """The small site, built once; copies of it are changed."""
    folder = tmp_path_factory.mktemp("small")
    for path, content in with_jobs(all_psv=jobs_file(JOBS)).items():
        file = folder / "landing" / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(content if isinstance(content, bytes) else content.encode())
    (folder / "site.toml").write_text(TOML, encoding="utf-8")
    site = load_site(folder)
    build(site, as_of=AS_OF)
    return site


@pytest.fixture
def small(first_built: Site, tmp_path: Path) -> Site:
    """A copy of the small site with all its tables built."""
    shutil.copytree(first_built.folder, tmp_path / "small")
    return load_site(tmp_path / "small")


def rebuilt(outcomes: dict) -> set[str]:
    return {name for name, outcome in outcomes.items() if not outcome.was_up_to_date}


def days_of(outcomes: dict) -> set[date]:
    return {day for outcome in outcomes.values() for day in outcome.days}


def test_the_small_site_has_something_of_everything(first_built: Site, query) -> None:
    """So that the other tests compare more than nothing."""
    states = query(first_built, "select distinct state from mart.capacity_ledger_hourly order by 1")
    assert [row[0] for row in states] == ["allocated", "down_unplanned", "draining_unusable", "idle_schedulable"]
    assert query(first_built, "select sum(overcommit_unit_seconds) > 0, sum(unplaced_unit_seconds) > 0 "
                 "from mart.attempt_hours") == [(True, True)]  # fmt: skip
    assert query(first_built, "select distinct usage_date from mart.capacity_ledger_hourly order by 1") == [
        (day,) for day in DAYS
    ]
    assert query(first_built, "select count(*) from raw.slurm_jobs__rejected") == [(1,)]


def test_a_second_build_does_nothing(small: Site, build) -> None:
    outcomes = build(small, as_of=AS_OF)
    assert rebuilt(outcomes) == set()
    assert all(outcome.changes == [] and outcome.days == [] for outcome in outcomes.values())


def test_touched_files_with_the_same_content_do_nothing(small: Site, build) -> None:
    for file in small.landing.rglob("*.*"):
        file.touch()
    assert rebuilt(build(small, as_of=AS_OF)) == set()


def test_a_late_job_rebuilds_its_day_and_what_depends_on_jobs(
    small: Site, make_site, build, content_of: Callable[[Site], dict[str, str]], query
) -> None:
    start = T0 + DAY + 40_000
    late = jobs_file([*JOBS, job("alpha", 200, start, start + 3_600, 3, "h1")])
    (small.landing / "jobs" / "all.psv").write_text(late, encoding="utf-8")
    outcomes = build(small, as_of=AS_OF)
    untouched = {
        "raw.flat_costs",
        "raw.inventory",
        "raw.org_mapping",
        "raw.purchase_lots",
        "raw.slurm_node_events",
        "core.charges",
        "core.cluster_days",
        "core.node_events",
        "core.teams",
    }
    assert rebuilt(outcomes).isdisjoint(untouched)
    assert rebuilt(outcomes) >= {
        "raw.slurm_jobs",
        "core.attempts",
        "mart.attempts",
        "mart.capacity_ledger_hourly",
        "report.fleet_efficiency_daily",
        "report.team_efficiency_daily",
    }
    assert days_of(outcomes) == {date(2026, 1, 2)}
    assert query(small, "select held_seconds from mart.attempts where job_id = '200'") == [(3_600,)]
    fresh = make_site(TOML, with_jobs(all_psv=late), folder="fresh")
    build(fresh, as_of=AS_OF)
    assert content_of(small) == content_of(fresh)


def test_a_job_over_midnight_that_disappears_rebuilds_both_days(small: Site, build, query) -> None:
    (small.landing / "jobs" / "all.psv").write_text(jobs_file(JOBS[:-4] + JOBS[-3:]), encoding="utf-8")
    outcomes = build(small, as_of=AS_OF)
    assert days_of(outcomes) == {date(2026, 1, 1), date(2026, 1, 2)}
    assert query(small, "select count(*) from mart.attempt_hours where attempt_id like 'alpha/101/%'") == [(0,)]


CHANGES: list[dict[str, str]] = [
    {
        "teams.csv": FILES["teams.csv"].replace("2026-01-02", "2026-01-03").replace("looking", "gazing"),
        "flat.csv": FILES["flat.csv"].replace("2026-01-04", "2026-01-03"),
    },
    {
        "inventory.csv": FILES["inventory.csv"].replace(
            "training,h100,8,2026-01-01,2026-01-03", "other,h100,2,2026-01-01,"
        )
    },
    {
        "inventory.csv": FILES["inventory.csv"].replace("beta,h1,training,h100,8,2026-01-02,\n", ""),
        "events/alpha.psv": FILES["events/alpha.psv"].replace("|Unknown", f"|{T0 + DAY + 31_000}"),
    },
    {
        "events/alpha.psv": FILES["events/alpha.psv"].replace("DOWN", "DRAIN"),
        "lots.csv": FILES["lots.csv"].replace("16,480000.00", "20,512000.00"),
    },
    {
        "jobs/more.psv": jobs_file([job("beta", 300, T0 - 5_000, T0 + 2 * DAY + 77, 5, "h[1-2]")]),
        "jobs/x.psv": jobs_file([job("alpha", 301, T0 + DAY - 9_000, T0 + DAY, 3, "h2", AllocTRES="gres/gpu:l4=3")]),
    },
]


def test_changes_one_after_another_give_what_a_fresh_build_gives(
    small: Site, make_site, build, content_of: Callable[[Site], dict[str, str]]
) -> None:
    before = content_of(small)
    files = dict(with_jobs(all_psv=jobs_file(JOBS)))
    for change in CHANGES:
        for path, text in change.items():
            (small.landing / path).write_text(text, encoding="utf-8")
        files |= change
        build(small, as_of=AS_OF)
        after = content_of(small)
        assert after != before, f"{change.keys()} changed nothing"
        before = after
    fresh = make_site(TOML, files, folder="fresh")
    build(fresh, as_of=AS_OF)
    assert before == content_of(fresh)


def test_another_pool_that_comes_with_a_new_shape_of_an_allocation_moves_older_attempts(
    small: Site, make_site, build, content_of: Callable[[Site], dict[str, str]], query
) -> None:
    change = {
        "inventory.csv": FILES["inventory.csv"].replace("h1,training,H100", "h1,other,H100"),
        "jobs/new.psv": jobs_file([job("alpha", 302, T0 + DAY + 90_000, T0 + DAY + 90_060, 7, "h[1-2]")]),
    }
    for path, text in change.items():
        (small.landing / path).write_text(text, encoding="utf-8")
    build(small, as_of=AS_OF)
    assert query(small, "select home_pool from mart.attempts where cluster = 'alpha' and job_id = '1'") == [("other",)]
    fresh = make_site(TOML, {**with_jobs(all_psv=jobs_file(JOBS)), **change}, folder="fresh")
    build(fresh, as_of=AS_OF)
    assert content_of(small) == content_of(fresh)


def test_a_later_as_of_gives_what_a_fresh_build_gives(
    first_built: Site, make_site, build, content_of: Callable[[Site], dict[str, str]]
) -> None:
    site = make_site(TOML, with_jobs(all_psv=jobs_file(JOBS)))
    build(site, as_of=datetime(2026, 1, 2, 11, 30, tzinfo=UTC))
    assert content_of(site) != content_of(first_built)
    outcomes = build(site, as_of=AS_OF)
    assert content_of(site) == content_of(first_built)
    assert date(2026, 1, 1) not in outcomes["mart.capacity_ledger_hourly"].days


def test_a_bill_for_one_day_rebuilds_the_costs_of_that_day(small: Site, build, query) -> None:
    before = query(small, "select * from mart.cost_daily where usage_date <> date '2026-01-03' order by all")
    header = FILES["flat.csv"].split("\n", 1)[0]
    (small.landing / "flat-2.csv").write_text(
        f"{header}\ncolo,alpha,training,33.30,USD,2026-01-03,2026-01-04\n", encoding="utf-8"
    )
    outcomes = build(small, as_of=AS_OF)
    assert days_of({name: outcomes[name] for name in outcomes if name.startswith("mart.")}) == {date(2026, 1, 3)}
    assert rebuilt(outcomes).isdisjoint({"raw.slurm_jobs", "core.attempts", "mart.attempts", "mart.node_timeline"})
    assert outcomes["mart.cost_daily"].days == [date(2026, 1, 3)]
    assert query(small, "select * from mart.cost_daily where usage_date <> date '2026-01-03' order by all") == before
    assert [str(row[0]) for row in query(
        small, "select sum(cost) from mart.cost_daily where cost_component = 'colo'"
    )] == ["33.300000000000"]  # fmt: skip


REVERSED = jobs_file(JOBS[::-1])
OVERLAPPING = (jobs_file(JOBS[: len(JOBS) * 2 // 3]), jobs_file(JOBS[len(JOBS) // 3 :]))


@pytest.mark.parametrize(
    "files",
    [
        pytest.param(with_jobs(zz_txt=REVERSED), id="another name and order"),
        pytest.param(
            with_jobs(one_psv=OVERLAPPING[0], two_psv=gzip.compress(OVERLAPPING[1].encode()), copy_psv=OVERLAPPING[0]),
            id="split, overlapping, twice, gz",
        ),
    ],
)
def test_the_same_records_delivered_otherwise_change_nothing(
    first_built: Site, make_site, build, content_of: Callable[[Site], dict[str, str]], files: Mapping[str, str | bytes]
) -> None:
    other = make_site(TOML, files, folder="other")
    build(other, as_of=AS_OF)
    assert content_of(other) == content_of(first_built)


def test_what_is_delivered_anew_under_another_name_rebuilds_no_day(small: Site, build) -> None:
    (small.landing / "jobs" / "all.psv").rename(small.landing / "jobs" / "renamed.psv")
    outcomes = build(small, as_of=AS_OF)
    assert days_of(outcomes) == set()


def test_a_deleted_work_folder_is_rebuilt(small: Site, build, content_of: Callable[[Site], dict[str, str]]) -> None:
    before = content_of(small)
    shutil.rmtree(small.work)
    build(small, as_of=AS_OF)
    assert content_of(small) == before


@pytest.mark.parametrize("file", ["pipeline.duckdb", "capacity.duckdb"])
def test_one_deleted_database_is_rebuilt(
    small: Site, build, content_of: Callable[[Site], dict[str, str]], file: str
) -> None:
    before = content_of(small)
    (small.work / file).unlink()
    build(small, as_of=AS_OF)
    assert content_of(small) == before


KILLED_BUILD = """
import os, signal, sys
from datetime import UTC, datetime
from capacity_dagster import materialise, warehouse
from capacity_dagster.site_file import load_site
from capacity_dagster.tables import expectations
from capacity_dagster.tables.catalogue import load_catalogue

expectations.check_expectations = lambda *_: []
record = warehouse.Warehouse.record

def record_or_die(self, table_name, *rest):
    record(self, table_name, *rest)
    if table_name == sys.argv[2]:
        os.kill(os.getpid(), signal.SIGKILL)

warehouse.Warehouse.record = record_or_die
opened = warehouse.Warehouse(load_site(sys.argv[1]), datetime(2026, 1, 4, tzinfo=UTC))
with opened.write("a test"):
    materialiser = materialise.Materialiser(opened, load_catalogue())
    for table in load_catalogue():
        materialiser.bring_up_to_date(table)
"""


@pytest.mark.parametrize("table", ["core.attempts", "mart.capacity_ledger_hourly"])
def test_a_build_that_was_killed_inside_a_table_goes_on_where_it_was(
    first_built: Site, make_site, build, content_of: Callable[[Site], dict[str, str]], table: str
) -> None:
    site = make_site(TOML, with_jobs(all_psv=jobs_file(JOBS)))
    killed = subprocess.run(
        [sys.executable, "-c", KILLED_BUILD, str(site.folder), table], capture_output=True, text=True, check=False
    )
    assert killed.returncode == -9, killed.stderr
    outcomes = build(site, as_of=AS_OF)
    assert table in rebuilt(outcomes)
    assert "raw.inventory" not in rebuilt(outcomes)
    assert content_of(site) == content_of(first_built)
    assert rebuilt(build(site, as_of=AS_OF)) == set()
