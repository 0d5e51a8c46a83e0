"""What cannot be read is kept, counted and valued once, released when it can be; too much of it blocks publishing."""

from pathlib import Path

import pytest

from capacity_dagster.site_file import Site
from capacity_dagster.sources.landing import AS_OF_FILE

TOML = """
[site]
name = "kept"
first_day = 2026-01-01

[clusters.c]

[accelerators.h100]

[pools.train]

[trust]
reject_rows_tolerated = 2

[[sources]]
kind = "slurm_jobs"
files = "*/jobs.psv"

[[sources]]
kind = "inventory"
files = "inventory.csv"
time_zone = "UTC"

[[sources]]
kind = "purchase_lots"
files = "lots.csv"
time_zone = "UTC"
"""
HEADER = "Cluster|JobIDRaw|Submit|Start|End|State|AllocTRES|NodeList\n"
DAY_1, DAY_2, DAY_3 = 1767225600, 1767312000, 1767398400


def job(number: int, begins: int, state: str = "COMPLETED", hours: int = 1) -> str:
    ends = begins + hours * 3600
    return f"c|{number}|{begins}|{begins}|{ends}|{state}|gres/gpu=4|n1\n"


GOOD = "".join(job(number, day) for number, day in enumerate((DAY_1, DAY_2, DAY_3), start=10))
TWO_HOURS = job(1, DAY_1 + 3600, "EXPLODED", hours=2)
CUT = f"c|2|{DAY_2}|{DAY_2}|\n"
FILES = {
    "inventory.csv": "cluster,node,pool,accelerator_model,accelerators,in_service_at,retired_at\n"
    "c,n1,train,h100,8,2026-01-01,\n",
    # A year has 8,760 hours: 0.25 for each of eight devices. The second lot says its currency in small letters.
    "lots.csv": "lot_id,cluster,pool,accelerator_model,accelerators,price,residual,currency,in_service,life_months\n"
    "l1,c,train,h100,8,17520,0,USD,2026-01-01,12\n"
    "l2,c,train,h100,8,99.5,0,usd,2026-01-02,12\n",
    # Two pulls overlap: both have the record of two hours, which nobody can read, and the second has another.
    "first/jobs.psv": HEADER + job(10, DAY_1) + TWO_HOURS,
    f"first/{AS_OF_FILE}": "2026-01-02T00:00:00Z",
    "second/jobs.psv": HEADER + GOOD + TWO_HOURS + CUT,
    f"second/{AS_OF_FILE}": "2026-01-04T00:00:00Z",
}


@pytest.fixture
def site(make_site, build) -> Site:
    made: Site = make_site(TOML, FILES)
    build(made)
    return made


def land(site: Site, path: str, content: str) -> None:
    file: Path = site.landing / path
    file.parent.mkdir(exist_ok=True)
    file.write_text(content, encoding="utf-8")


def test_a_record_that_comes_twice_is_rejected_once(site: Site, query) -> None:
    trust = (
        "select usage_date::varchar, rows_received, rows_accepted, rows_rejected, rows_superseded, rows_unvaluable, "
        "rejected_hours::double, round(rejected_cost, 9)::double, rejected_currency "
        "from report.data_trust_daily where source = 'slurm_jobs' order by 1"
    )
    # Four devices for two hours, at 0.25 an hour.
    assert query(site, trust) == [
        ("2026-01-01", 4, 1, 1, 2, 0, 8.0, 2.0, "USD"),
        ("2026-01-02", 2, 1, 1, 0, 1, 0.0, 0.0, None),
        ("2026-01-03", 1, 1, 0, 0, 0, 0.0, 0.0, None),
    ]
    seen = "select first_seen_at::varchar, last_seen_at::varchar, rows_delivered, source_file, source_line "
    assert query(site, f"{seen} from core.rejected_records where record_text like 'c|1|%'") == [
        ("2026-01-02 00:00:00", "2026-01-04 00:00:00", 2, "second/jobs.psv", 5)
    ]


def test_a_rejected_purchase_is_worth_what_it_says_where_its_currency_can_be_read(site: Site, query, build) -> None:
    lots = (
        "select rows_rejected, rows_unvaluable, rejected_cost::double, rejected_currency "
        "from report.data_trust_daily where source = 'purchase_lots' and rows_rejected > 0"
    )
    assert query(site, lots) == [(1, 1, 0.0, None)]
    land(site, "lots.csv", FILES["lots.csv"].replace("usd,2026-01-02", "USD,2nd of January"))
    build(site)
    assert query(site, lots) == [(1, 0, 99.5, "USD")]


def test_reports_say_how_far_a_day_is_to_be_believed(site: Site, query) -> None:
    told = "select usage_date::varchar, trust from {} where cluster = 'c' group by all order by 1"
    expected = [("2026-01-01", "rejected"), ("2026-01-02", "rejected"), ("2026-01-03", "complete")]
    for table in (
        *("trust_daily", "fleet_efficiency_daily", "team_efficiency_daily", "queue_daily", "demand_daily"),
        *("cost_per_accelerator_hour_daily", "showback_daily"),
    ):
        assert query(site, told.format(f"report.{table}")) == expected, table
    for table in ("cost_per_accelerator_hour_monthly", "showback_monthly"):
        assert query(site, f"select distinct trust from report.{table}") == [("rejected",)]


def test_what_can_be_read_later_is_released(site: Site, query, build) -> None:
    land(site, "third/jobs.psv", HEADER + TWO_HOURS.replace("EXPLODED", "FAILED"))
    outcomes = build(site)
    assert query(
        site, "select reject_reason, is_released, released_by from core.rejected_records where is_released"
    ) == [("unknown_state", True, "third/jobs.psv")]
    day = "from report.data_trust_daily where source = 'slurm_jobs' and usage_date = '2026-01-01'"
    assert query(
        site, f"select rows_received, rows_accepted, rows_rejected, rows_superseded, rejected_hours {day}"
    ) == [(5, 2, 0, 3, 0)]
    assert query(site, "select trust from report.fleet_efficiency_daily where usage_date = '2026-01-01'") == [
        ("complete",)
    ]
    assert str(outcomes["report.fleet_efficiency_daily"].days[0]) == "2026-01-01"


def test_an_older_record_that_runs_on_releases_nothing(site: Site, query, build) -> None:
    """Job 7 ran when the first pull was made; its end, in the next one, has a state that nobody knows."""
    land(site, "lots.csv", FILES["lots.csv"].replace("usd", "USD"))
    running = f"c|7|{DAY_1}|{DAY_1}|Unknown|RUNNING|gres/gpu=4|n1\n"
    land(site, "first/jobs.psv", HEADER + job(10, DAY_1) + running)
    land(site, "second/jobs.psv", HEADER + GOOD + job(7, DAY_1, "NEWSTATE", hours=25))
    build(site)
    of_jobs = "from core.rejected_records where source = 'slurm_jobs'"
    released = f"select is_released, released_by, rejected_seconds / 3600 {of_jobs}"
    assert query(site, released) == [(False, None, 100)]  # four devices for 25 hours
    counts = (
        "select usage_date::varchar, rows_received, rows_accepted, rows_rejected, rows_superseded, "
        "rejected_hours::double from report.data_trust_daily where source = 'slurm_jobs' order by 1"
    )
    # Both pulls have job 10, of which one is superseded; job 7 is accepted as it began, and rejected as it ended.
    assert query(site, counts) == [
        ("2026-01-01", 3, 2, 0, 1, 0),
        ("2026-01-02", 2, 1, 1, 0, 100),
        ("2026-01-03", 1, 1, 0, 0, 0),
    ]
    assert query(site, "select trust from report.trust_daily where usage_date = '2026-01-02'") == [("rejected",)]
    land(site, "second/jobs.psv", HEADER + GOOD + job(7, DAY_1, "COMPLETED", hours=25))
    build(site)
    assert query(site, released) == []
    assert query(site, "select trust from report.trust_daily where usage_date = '2026-01-02'") == [("complete",)]


def test_too_much_that_is_rejected_blocks(site: Site, build) -> None:
    def has_passed() -> bool:
        checks = build(site)["report.data_trust_daily"].checks
        (check,) = [each for each in checks if each.name == "rejects_are_within_the_limit"]
        assert check.is_blocking
        return check.has_passed

    assert has_passed()  # one of two of the second day, but no more than are tolerated
    broken = "".join(job(number, DAY_2, "EXPLODED") for number in (20, 21))
    land(site, "third/jobs.psv", HEADER + broken)
    assert not has_passed()
    land(site, "fourth/jobs.psv", HEADER + "".join(job(number, DAY_2 + 7200) for number in range(30, 60)))
    assert has_passed()  # three of 34


def test_records_of_no_time_are_held_against_all_of_their_source(site: Site, query, build) -> None:
    """An archive has some lines that were cut off: they are of no day, though told of on the last one."""

    def failed(cut: int) -> list[dict[str, object]]:
        cut_lines = "".join(f"c|{number}|\n" for number in range(80, 80 + cut))
        land(site, "third/jobs.psv", HEADER + archive + cut_lines)
        checks = build(site)["report.data_trust_daily"].checks
        return next(each.sample for each in checks if each.name == "rejects_are_within_the_limit")

    archive = "".join(job(number, DAY_1 + 60 * number) for number in range(30, 60))
    # With jobs 10 to 12 the archive makes 33 that are accepted. Collected at the midnight after Jan 4, it tells of that
    # day last, on which none of them is.
    land(site, "third/" + AS_OF_FILE, "2026-01-05T00:00:00Z")
    land(site, "second/jobs.psv", HEADER + GOOD + TWO_HOURS)
    assert failed(3) == []  # of 36
    undated = "select usage_date::varchar, count(*) from core.rejected_records where record_at is null group by all"
    assert query(site, undated) == [("2026-01-04", 3)]
    (row,) = failed(4)  # of 37
    assert (row["usage_date"], row["cluster"], row["rows_rejected"], row["rows_accepted"]) == (None, "c", 4, 33)


def test_records_of_no_known_cluster_are_held_against_those_of_all(site: Site, build) -> None:
    def has_passed(unknown: int) -> bool:
        records = [job(number, DAY_2 + 7200) for number in range(30, 60)]
        records += [job(number, DAY_2 + 7200).replace("c|", "elsewhere|") for number in range(60, 60 + unknown)]
        land(site, "third/jobs.psv", HEADER + "".join(records))
        checks = build(site)["report.data_trust_daily"].checks
        return next(each.has_passed for each in checks if each.name == "rejects_are_within_the_limit")

    assert has_passed(3)  # of 34, although none of those without a cluster is accepted
    assert not has_passed(4)  # of 35
