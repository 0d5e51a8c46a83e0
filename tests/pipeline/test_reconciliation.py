"""What the scheduler says of its own hours changes after the fact; each version says what was then known."""

from datetime import UTC, datetime
from pathlib import Path

import duckdb
import pytest

from capacity_dagster.materialise import Materialiser
from capacity_dagster.publish import PublishRefused, publish
from capacity_dagster.site_file import Site
from capacity_dagster.tables.catalogue import Catalogue
from capacity_dagster.warehouse import Warehouse

SITE = """
[site]
name = "rerolled"
first_day = 2026-02-01

[clusters.alpha]
time_zone = "UTC"

[[sources]]
kind = "slurm_jobs"
files = "jobs-*.psv"
collected_at = 'jobs-(?P<at>[0-9]{8})\\.psv'

[[sources]]
kind = "slurm_account_usage"
files = "accounts-*.psv"
time_zone = "UTC"
collected_at = 'accounts-(?P<at>[0-9]{8})\\.psv'

[[sources]]
kind = "slurm_cluster_usage"
files = "cluster-*.psv"
time_zone = "UTC"
collected_at = 'cluster-(?P<at>[0-9]{8})\\.psv'

[[sources]]
kind = "inventory"
files = "inventory.csv"
"""
INVENTORY = """cluster,node,pool,accelerator_model,accelerators,in_service_at,retired_at
alpha,h1,training,h100,2,2026-01-01T00:00:00Z,
"""
JOBS = "Cluster|JobIDRaw|Submit|Eligible|Start|End|State|Account|User|AllocTRES|NodeList\n"
T0 = 1_769_940_000  # 2026-02-01T10:00:00Z
EARLY = f"alpha|1|{T0}|{T0}|{T0 + 60}|{T0 + 1060}|COMPLETED|lab|ann|gres/gpu=1|h1\n"
LATE = f"alpha|2|{T0}|{T0}|{T0 + 100}|{T0 + 140}|COMPLETED|lab|ann|gres/gpu=1|h1\n"
RULE = "-" * 80


def accounts(used: int) -> str:
    title = "Cluster/Account/User Utilization 2026-02-01T10:00:00 - 2026-02-01T10:59:59 (3600 secs)"
    header = "Cluster|Account|Login|Proper Name|TRES Name|Used"
    rows = f"alpha|lab|||gres/gpu|{used}\nalpha|lab|ann|Ann|gres/gpu|{used}"
    return f"{RULE}\n{title}\nUsage reported in TRES Seconds\n{RULE}\n{header}\n{rows}\n"


def cluster(used: int) -> str:
    title = "Cluster Utilization 2026-02-01T10:00:00 - 2026-02-01T10:59:59"
    header = "Cluster|TRES Name|Allocated|Down|PLND Down|Idle|Planned|Reported"
    row = f"alpha|gres/gpu|{used}|0|0|{7200 - used}|0|7200"
    return f"{RULE}\n{title}\nUsage reported in TRES Seconds\n{RULE}\n{header}\n{row}\n"


def published(site: Site, catalogue: Catalogue, build) -> Path:
    """The version that a build of the whole site publishes."""
    build(site)
    warehouse = Warehouse(site)
    with warehouse.write("a test"):
        return publish(Materialiser(warehouse, catalogue), "a run").folder


def compared(version: Path) -> list[tuple[object, ...]]:
    with duckdb.connect(str(version / "capacity.duckdb"), read_only=True) as connection:
        return connection.execute(
            "select measure, subject_kind, ours, theirs, theirs_before, unexplained from report.reconciliation_daily "
            "where measure in ('gres/gpu', 'gres/gpu/allocated', 'gres/gpu/idle') order by all"
        ).fetchall()


@pytest.mark.case("P79")
def test_a_report_that_changes_after_the_fact_is_a_new_version_and_its_change_is_seen(
    make_site, catalogue: Catalogue, build, query
) -> None:
    files = {
        "inventory.csv": INVENTORY,
        "jobs-20260203.psv": JOBS + EARLY,
        "accounts-20260203.psv": accounts(1_000),
        "cluster-20260203.psv": cluster(1_000),
    }
    first = published(make_site(SITE, files), catalogue, build)
    before = [
        ("gres/gpu", "account", 1_000, 1_000, None, 0),
        ("gres/gpu", "user", 1_000, 1_000, None, 0),
        ("gres/gpu/allocated", "cluster", 1_000, 1_000, None, 0),
        ("gres/gpu/idle", "cluster", 6_200, 6_200, None, 0),
    ]
    assert compared(first) == before

    # A record arrives late: our total is no longer what Slurm said a week ago, and nothing is published on that.
    files["jobs-20260210.psv"] = JOBS + EARLY + LATE
    with pytest.raises(PublishRefused, match="nothing_is_unexplained"):
        published(make_site(SITE, files), catalogue, build)

    # Slurm rolled the hour up again: the later report counts, the older is superseded, and what it said is beside it.
    files["accounts-20260210.psv"] = accounts(1_040)
    files["cluster-20260210.psv"] = cluster(1_040)
    site = make_site(SITE, files)
    second = published(site, catalogue, build)
    assert (first.name, second.name) == ("000001", "000002")
    assert compared(second) == [
        ("gres/gpu", "account", 1_040, 1_040, 1_000, 0),
        ("gres/gpu", "user", 1_040, 1_040, 1_000, 0),
        ("gres/gpu/allocated", "cluster", 1_040, 1_040, 1_000, 0),
        ("gres/gpu/idle", "cluster", 6_160, 6_160, 6_200, 0),
    ]
    assert query(
        site,
        "select source, sum(rows_accepted), sum(rows_superseded) from report.data_trust_daily "
        "where source like '%usage' group by source order by source",
    ) == [("slurm_account_usage", 2, 2), ("slurm_cluster_usage", 1, 1)]
    assert compared(first) == before


@pytest.mark.parametrize(
    ("tolerance", "is_refused"),
    [
        ("tolerance_seconds = 39", True),
        ("tolerance_seconds = 40", False),
        ("tolerance_share = 0.041", False),
    ],
)
def test_what_the_site_tolerates_is_published(
    make_site, catalogue: Catalogue, build, tolerance: str, is_refused: bool
) -> None:
    files = {
        "inventory.csv": INVENTORY,
        "jobs-20260203.psv": JOBS + EARLY + LATE,
        "accounts-20260203.psv": accounts(1_000),
        "cluster-20260203.psv": cluster(1_040),
    }
    site = make_site(f"{SITE}\n[reconciliation]\n{tolerance}\n", files)
    if is_refused:
        with pytest.raises(PublishRefused, match="nothing_is_unexplained"):
            published(site, catalogue, build)
    else:
        assert published(site, catalogue, build).is_dir()


def test_a_window_that_as_of_cuts_is_not_judged(make_site, build, query) -> None:
    files = {
        "inventory.csv": INVENTORY,
        "jobs-20260203.psv": JOBS + EARLY,
        "accounts-20260203.psv": accounts(1_000),
        "cluster-20260203.psv": cluster(1_000),
    }
    site = make_site(SITE, files)
    build(site, as_of=datetime(2026, 2, 1, 10, 10, tzinfo=UTC))
    assert query(site, "select sum(ours), sum(theirs) from report.reconciliation_daily where user_name = 'ann'") == [
        (540, 1_000)
    ]
    assert query(site, "select check_name from capacity.state.checks where not has_passed") == []


def test_a_late_end_explains_what_slurm_counted_before_it_knew(make_site, build, query) -> None:
    """Found open at 12:00 and collected with the report; that it had ended at 10:17:40 was known a day later."""
    running = EARLY.replace(f"|{T0 + 1060}|COMPLETED|", "|Unknown|RUNNING|")
    held = 3600 - 60
    files = {
        "inventory.csv": INVENTORY,
        "jobs-20260203.psv": JOBS + running,
        "jobs-20260204.psv": JOBS + EARLY,
        "accounts-20260203.psv": accounts(held),
        "cluster-20260203.psv": cluster(held),
    }
    site = make_site(SITE, files)
    build(site)
    assert query(
        site,
        "select measure, subject_kind, ours, theirs, late_ends, unexplained from report.reconciliation_daily "
        "where late_ends <> 0 order by all",
    ) == [
        ("gres/gpu", "account", 1_000, held, 1_000 - held, 0),
        ("gres/gpu", "user", 1_000, held, 1_000 - held, 0),
        ("gres/gpu/allocated", "cluster", 1_000, held, 1_000 - held, 0),
        ("gres/gpu/idle", "cluster", 6_200, 7_200 - held, held - 1_000, 0),
    ]
    assert query(site, "select sum(abs(unexplained)) from report.reconciliation_daily") == [(0,)]


@pytest.mark.case("P06")
def test_runaways_and_rejected_attempts_are_lines_of_the_bridge(make_site, catalogue: Catalogue, build, query) -> None:
    """Slurm counts job 1 on after job 2 took its accelerators, and job 3, whose slices nobody declares."""
    hours = 3_600
    day = datetime(2026, 2, 1, tzinfo=UTC)
    midnight = int(day.timestamp())
    inventory = INVENTORY.replace("h100,2,", "h100,8,") + "alpha,h2,training,h100,8,2026-01-01T00:00:00Z,\n"

    def job(number: int, start: int, end: int | None, tres: str, node: str) -> str:
        begun = midnight + start * hours
        ended, state = ("Unknown", "RUNNING") if end is None else (str(midnight + end * hours), "COMPLETED")
        return f"alpha|{number}|{begun}|{begun}|{begun}|{ended}|{state}|lab|ann|{tres}|{node}\n"

    def report(title: str, header: str, rows: list[str], day_of_month: int) -> str:
        window = f"2026-02-{day_of_month:02}T00:00:00 - 2026-02-{day_of_month:02}T23:59:59 (86400 secs)"
        lines = [RULE, f"{title} {window}", "Usage reported in TRES Seconds", RULE, header, *rows]
        return "\n".join(lines) + "\n"

    def reports(used: int, day_of_month: int) -> dict[str, str]:
        """What Slurm has of a day in which attempts hold `used` of 16 accelerators' seconds."""
        reported = 16 * 24 * hours
        cluster_header = "Cluster|TRES Name|Allocated|Down|PLND Down|Idle|Planned|Reported"
        cluster_row = f"alpha|gres/gpu|{used}|0|0|{reported - used}|0|{reported}"
        account_header = "Cluster|Account|Login|Proper Name|TRES Name|Used"
        account_rows = [f"alpha|lab|||gres/gpu|{used}", f"alpha|lab|ann|Ann|gres/gpu|{used}"]
        return {
            f"cluster-202602{day_of_month + 2:02}.psv": report(
                "Cluster Utilization", cluster_header, [cluster_row], day_of_month
            ),
            f"accounts-202602{day_of_month + 2:02}.psv": report(
                "Cluster/Account/User Utilization", account_header, account_rows, day_of_month
            ),
        }

    runaway = job(1, 0, None, "gres/gpu=4", "h1")
    rejected = job(3, 1, 2, "gres/gpu=2,gres/gpu:nvidia_h100_1g.99gb=2", "h2")
    files = {
        "inventory.csv": inventory,
        "jobs-20260205.psv": JOBS + runaway + rejected,
        **reports(4 * 24 * hours + 2 * hours, 1),
        **reports(4 * 24 * hours, 2),
    }
    build(make_site(SITE, files))
    assert query(site := make_site(SITE, files), "select count(*) from core.runaway_attempts") == [(0,)]

    # What took its accelerators is known later: the days after it are restated too, though no record of theirs changed.
    files["jobs-20260206.psv"] = JOBS + job(2, 2, 5, "gres/gpu=8", "h1")
    for name in ("cluster-20260203.psv", "accounts-20260203.psv"):
        del files[name]
    files |= {
        name.replace("20260203", "20260206"): text
        for name, text in reports(4 * 24 * hours + 2 * hours + 8 * 3 * hours, 1).items()
    }
    site = make_site(SITE, files)
    assert published(site, catalogue, build).is_dir()
    lost = [4 * 22 * hours, 4 * 24 * hours]
    expected = []
    for date, runaway_seconds, rejected_seconds, held in (
        (day.date(), lost[0], 2 * hours, (4 * 2 + 8 * 3) * hours),
        (day.replace(day=2).date(), lost[1], 0, 0),
    ):
        tail = (-runaway_seconds, -rejected_seconds, 0, 0)
        idle = (runaway_seconds, rejected_seconds, 0, 0)
        expected += [
            (date, "account", "gres/gpu", held, *tail),
            (date, "cluster", "gres/gpu/allocated", held, *tail),
            (date, "cluster", "gres/gpu/idle", 16 * 24 * hours - held, *idle),
            (date, "user", "gres/gpu", held, *tail),
        ]
    assert (
        query(
            site,
            "select usage_date, subject_kind, measure, ours, runaway, rejected, typed_otherwise, unexplained "
            "from report.reconciliation_daily where measure not like '%/reported' and runaway <> 0 order by all",
        )
        == expected
    )
    assert query(site, "select sum(abs(unexplained)) from report.reconciliation_daily") == [(0,)]
