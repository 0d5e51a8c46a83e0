"""The casebook's cases about waiting and demand, from sacct and squeue text to the published tables."""

import shutil
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any

import duckdb
import pytest

from capacity_dagster.site_file import Site
from capacity_dagster.tables.catalogue import assets_folder

HOUR = 3_600
DAY = 24 * HOUR
T0 = 1_767_225_600  # 2026-01-01T00:00:00Z
DAY_0 = datetime(2026, 1, 1, tzinfo=UTC).date()
UNITS = 84_000

TOML = """
[site]
name = "waiting"
first_day = 2026-01-01

[clusters.alpha]

[accelerators.h100]

[pools.train]

[[sources]]
kind = "slurm_jobs"
files = "jobs.psv"
time_zone = "UTC"
"""
INVENTORY = """
[[sources]]
kind = "inventory"
files = "inventory.csv"
time_zone = "UTC"
"""
QUEUE = """
[[sources]]
kind = "slurm_queue"
cluster = "alpha"
files = "queue/*"
time_zone = "UTC"
collected_at = "queue-(?P<at>[0-9]+)"
"""

JOBS_HEADER = (
    "Cluster|JobIDRaw|JobID|Submit|Eligible|Start|End|State|Partition|NNodes|AllocCPUS|ReqTRES|AllocTRES|TimelimitRaw"
    "|NodeList"
)
QUEUE_HEADER = "JOBID|STATE|SUBMIT_TIME|START_TIME|PARTITION|ACCOUNT|USER|QOS|REASON"


def job(
    shown: str,
    submit: int,
    eligible: int | None = None,
    start: int | None = None,
    end: int | None = None,
    state: str = "COMPLETED",
    gpus: int = 1,
    raw: str | None = None,
    nodes: str = "h1",
    limit: str = "60",
) -> str:
    """A line of `sacct -P`; as there, a pending job's node list is `None assigned`, and its start unknown."""
    tres = f"billing=1,cpu=1,gres/gpu={gpus},node=1" if gpus else "billing=1,cpu=1,node=1"
    values = {
        "Cluster": "alpha",
        "JobIDRaw": raw or shown.split("_")[0],
        "JobID": shown,
        "Submit": submit,
        "Eligible": "Unknown" if eligible is None else eligible,
        "Start": "Unknown" if start is None else start,
        "End": "Unknown" if end is None else end,
        "State": state,
        "Partition": "train",
        "NNodes": 1,
        "AllocCPUS": 1,
        "ReqTRES": tres,
        "AllocTRES": tres if start is not None else "",
        "TimelimitRaw": limit,
        "NodeList": nodes if start is not None else "None assigned",
    }
    return "|".join(map(str, values.values()))


def waiting(shown: str, submit: int, reason: str, state: str = "PENDING") -> str:
    """A line of `squeue -o '%i|%T|%V|%S|%P|%a|%u|%q|%r'`."""
    return f"{shown}|{state}|{submit}|N/A|train|vision|ada|normal|{reason}"


@pytest.fixture
def built(make_site: Callable[..., Site], build: Callable[..., object]) -> Callable[..., Site]:
    """built(jobs, as_of, queue={time: lines}, inventory={node: accelerators}): a small site, built."""

    def make(
        jobs: list[str],
        as_of: int,
        queue: Mapping[int, list[str]] = {},
        inventory: Mapping[str, int] = {},
    ) -> Site:
        files = {"jobs.psv": "\n".join([JOBS_HEADER, *jobs, ""])}
        toml = TOML
        if inventory:
            toml += INVENTORY
            files["inventory.csv"] = "cluster,node,pool,accelerator_model,accelerators,in_service_at,retired_at\n"
            files["inventory.csv"] += "".join(
                f"alpha,{node},train,h100,{n},2026-01-01,\n" for node, n in inventory.items()
            )
        if queue:
            toml += QUEUE
            files |= {f"queue/queue-{at}": "\n".join([QUEUE_HEADER, *lines, ""]) for at, lines in queue.items()}
        site = make_site(toml, files)
        build(site, as_of=datetime.fromtimestamp(as_of, UTC))
        return site

    return make


@pytest.mark.case("P15")
def test_a_pending_array_is_a_demand_of_all_its_tasks_and_competes_with_ten(built, query) -> None:
    shown = "123_[0-999%10]"
    site = built(
        [job(shown, T0, T0, state="PENDING")],
        T0 + 2 * HOUR,
        {T0: [waiting(shown, T0, "Resources")], T0 + HOUR: [waiting(shown, T0, "Priority")]},
    )
    assert query(site, "select array_tasks, array_task_limit, accelerators_requested from mart.attempts") == [
        (1000, 10, 1)
    ]
    assert query(
        site,
        "select jobs_submitted, jobs_waiting, submitted_accelerator_hours, pending_accelerator_hours, "
        "pending_capacity_hours, pending_user_hours, pending_unknown_hours from report.queue_daily",
    ) == [(1000, 1000, 1000, 2000, 20, 1980, 0)]
    assert query(
        site,
        "select distinct reason_class, pending_accelerator_seconds / 3600, pending_job_seconds / 3600 "
        "from mart.queue_hourly order by reason_class",
    ) == [("capacity", 10, 10), ("user", 990, 990)]


@pytest.mark.case("P15")
def test_an_arrays_demand_does_not_change_when_its_tasks_have_started(built, query) -> None:
    """In the next hour ten tasks start, and have records of their own; what waited before is still what it was."""
    before, after = "123_[0-999%10]", "123_[10-999%10]"
    started = [
        job(f"123_{task}", T0, T0, T0 + HOUR, state="RUNNING", raw=str(124 + task), nodes=f"h{task}")
        for task in range(10)
    ]
    site = built(
        [*started, job(after, T0, T0, state="PENDING")],
        T0 + 2 * HOUR,
        {T0: [waiting(before, T0, "Resources")], T0 + HOUR: [waiting(after, T0, "JobArrayTaskLimit")]},
    )
    assert query(
        site,
        "select hour(hour_at), reason_class, pending_job_seconds / 3600 from mart.queue_hourly order by all",
    ) == [(0, "capacity", 10), (0, "user", 990), (1, "user", 990)]


@pytest.mark.case("P16")
def test_a_het_jobs_components_add_and_it_counts_once(built, query) -> None:
    site = built(
        [
            job("500+0", T0, T0, T0 + HOUR, T0 + 6 * HOUR, gpus=0, raw="500"),
            job("500+1", T0, T0, T0 + HOUR, T0 + 6 * HOUR, gpus=16, raw="501"),
        ],
        T0 + DAY,
        inventory={"h1": 16},
    )
    assert query(site, "select sum(allocated_hours) from report.team_efficiency_daily") == [(80,)]
    assert query(site, "select sum(job_count), count(*) from mart.attempts") == [(1, 2)]
    assert query(site, "select jobs_submitted, jobs_started, pending_accelerator_hours from report.queue_daily") == [
        (1, 1, 16)
    ]


@pytest.mark.case("P17")
def test_cancelled_before_start_held_nothing_and_waited_four_hours_at_least(built, query) -> None:
    eight = T0 + 8 * HOUR
    site = built([job("7", eight, eight, end=eight + 4 * HOUR, state="CANCELLED by 1234")], T0 + DAY)
    assert query(site, "select held_seconds, accelerators from mart.attempts") == [(0, 0)]
    assert query(
        site,
        "select jobs_submitted, jobs_started, jobs_cancelled_before_start, jobs_waiting, wait_eligible_p50_seconds, "
        "wait_eligible_longest_seconds, wait_submit_p50_seconds, wait_submit_longest_seconds, "
        "pending_accelerator_hours from report.queue_daily",
    ) == [(1, 0, 1, 0, None, 4 * HOUR, None, 4 * HOUR, 4)]


@pytest.mark.case("P50")
def test_the_pooled_percentile_is_not_the_mean_of_the_days(built, query) -> None:
    def waited(number: int, submit: int, hours: int) -> str:
        start = submit + hours * HOUR
        return job(str(number), submit, submit, start, start + 60, gpus=0)

    site = built(
        [*(waited(number, T0, 1) for number in range(1, 101)), waited(101, T0 + DAY, 10)],
        T0 + 2 * DAY,
    )
    assert query(
        site, "select jobs_submitted, wait_eligible_p90_seconds from report.queue_daily order by usage_date"
    ) == [(100, HOUR), (1, 10 * HOUR)]
    assert published(site, "queue", "all", "jobs_submitted, wait_eligible_p90_seconds") == [(101, HOUR)]


@pytest.mark.case("P51")
def test_who_still_waits_is_part_of_the_percentiles(built, query) -> None:
    now = T0 + 100 * HOUR
    site = built(
        [
            *(job(str(number), T0, T0, T0 + HOUR, T0 + 2 * HOUR, gpus=0) for number in range(1, 10)),
            job("10", T0, T0, state="PENDING", gpus=0),
        ],
        now,
    )
    percentiles = (
        "wait_eligible_p50_seconds, wait_eligible_p90_seconds, wait_eligible_p95_seconds, wait_eligible_longest_seconds"
    )
    expected = [(HOUR, HOUR, None, 100 * HOUR)]
    assert query(site, f"select {percentiles} from report.queue_daily where usage_date = ?", [DAY_0]) == expected
    assert published(site, "queue", "all", percentiles) == expected
    assert query(site, "select distinct queue_p50_seconds, queue_p90_seconds from report.team_efficiency_daily") == [
        (HOUR, HOUR)
    ]
    assert query(site, "select jobs_waiting from report.queue_daily order by usage_date") == [(1,)] * 5


@pytest.mark.case("P51")
def test_a_later_as_of_makes_the_censored_wait_longer(built, build, query) -> None:
    site = built([job("10", T0, T0, state="PENDING", gpus=0)], T0 + 2 * HOUR)
    longest = "select wait_eligible_longest_seconds from report.queue_daily where usage_date = ?"
    assert query(site, longest, [DAY_0]) == [(2 * HOUR,)]
    outcomes = build(site, as_of=datetime.fromtimestamp(T0 + 5 * DAY, UTC))
    assert query(site, longest, [DAY_0]) == [(5 * DAY,)]
    # The day of the submission, and the days that are new; what was pending on the days between is as it was.
    assert len(outcomes["mart.queue_waits"].days) == 5
    outcomes = build(site, as_of=datetime.fromtimestamp(T0 + 6 * DAY, UTC))
    assert [str(day) for day in outcomes["mart.queue_waits"].days] == ["2026-01-01", "2026-01-06"]
    assert [str(day) for day in outcomes["mart.queue_hourly"].days] == ["2026-01-06"]
    assert query(site, longest, [DAY_0]) == [(6 * DAY,)]


@pytest.mark.case("P52")
def test_a_dependency_is_not_the_schedulers_wait(built, query) -> None:
    site = built(
        [job("7", T0 + 8 * HOUR, T0 + 18 * HOUR, T0 + 19 * HOUR, T0 + 20 * HOUR)],
        T0 + DAY,
    )
    assert query(site, "select queue_seconds from mart.attempts") == [(HOUR,)]
    assert query(
        site,
        "select wait_eligible_p50_seconds, wait_submit_p50_seconds, pending_accelerator_hours from report.queue_daily",
    ) == [(HOUR, 11 * HOUR, 1)]


@pytest.mark.case("P53")
def test_demand_is_what_was_held_and_what_waited_for_capacity(built, query) -> None:
    nodes = [f"h{number}" for number in range(1, 11)]
    running = [job(str(n), T0, T0, T0, state="RUNNING", gpus=10, nodes=node) for n, node in enumerate(nodes, start=1)]
    pending = [job(str(number), T0, T0, state="PENDING", gpus=10) for number in range(101, 107)]
    held = [job(str(number), T0, T0, state="PENDING", gpus=10) for number in range(201, 203)]
    lines = [
        *(waiting(str(number), T0, "Priority") for number in range(101, 106)),
        waiting("106", T0, "ReqNodeNotAvail, UnavailableNodes:h[1-3]"),
        waiting("201", T0, "QOSMaxGRESPerUser"),
        waiting("202", T0, "JobHeldAdmin"),
        waiting("1", T0, "None", state="RUNNING"),
    ]
    site = built([*running, *pending, *held], T0 + 2 * HOUR, {T0: lines, T0 + HOUR: lines}, dict.fromkeys(nodes, 10))
    assert (
        query(
            site,
            "select allocated_unit_seconds, free_unit_seconds, capacity_demand_unit_seconds, unmet_unit_seconds, "
            "is_fragmented from mart.demand_hourly",
        )
        == [(100 * UNITS * HOUR, 0, 160 * UNITS * HOUR, 60 * UNITS * HOUR, False)] * 2
    )
    assert query(
        site,
        "select allocated_hours, pending_accelerator_hours, pending_capacity_hours, capacity_demand_hours, "
        "unmet_hours, queue_coverage from report.demand_daily",
    ) == [(200, 160, 120, 320, 120, 1)]
    assert query(
        site,
        "select pending_capacity_hours, pending_policy_hours, pending_admin_hours, pending_user_hours, "
        "pending_unknown_hours from report.queue_daily",
    ) == [(120, 20, 20, 0, 0)]


@pytest.mark.case("P54")
def test_idle_beside_pending_is_fragmentation(built, query) -> None:
    # What runs was submitted long ago: all that is asked for today needs a whole node.
    long_ago = T0 - 40 * 24 * HOUR
    running = [job(str(n), long_ago, long_ago, T0, state="RUNNING", gpus=4, nodes=f"h{n}") for n in (1, 2)]
    site = built(
        [*running, job("3", T0, T0, state="PENDING", gpus=8)],
        T0 + HOUR,
        {T0: [waiting("3", T0, "Resources")]},
        {"h1": 8, "h2": 8},
    )
    assert query(
        site,
        "select free_unit_seconds, pending_capacity_unit_seconds, unmet_unit_seconds, is_fragmented "
        "from mart.demand_hourly",
    ) == [(8 * UNITS * HOUR, 8 * UNITS * HOUR, 0, True)]
    assert query(site, "select unmet_hours, fragmented_hours, fragmentation_rate from report.demand_daily") == [
        (0, 1, 1)
    ]
    assert query(site, "select stranded_hours, idle_hours from report.fleet_efficiency_daily") == [(8, 0)]


def test_without_snapshots_reasons_are_not_known(built, query) -> None:
    site = built([job("3", T0, T0, state="PENDING", gpus=8)], T0 + HOUR)
    assert query(
        site,
        "select pending_accelerator_hours, pending_capacity_hours, pending_unknown_hours, queue_coverage "
        "from report.queue_daily",
    ) == [(8, None, None, 0)]
    assert query(site, "select capacity_demand_hours, unmet_hours, fragmented_hours from report.demand_daily") == [
        (None, None, None)
    ]


def test_a_snapshot_speaks_for_an_hour_at_most(built, query) -> None:
    line = [waiting("3", T0, "Resources")]
    site = built([job("3", T0, T0, state="PENDING")], T0 + 4 * HOUR, {T0: line, T0 + HOUR // 2: line})
    assert query(
        site, "select hour(hour_at), reason_class, pending_accelerator_seconds from mart.queue_hourly order by all"
    ) == [
        (0, "capacity", 3600),
        (1, "capacity", 1800),
        (1, "unknown", 1800),
        (2, "unknown", 3600),
        (3, "unknown", 3600),
    ]
    assert query(
        site,
        "select snapshot_seconds, pending_capacity_unit_seconds, unmet_unit_seconds from mart.demand_hourly "
        "order by hour_at",
    ) == [
        (3600, UNITS * HOUR, None),  # nobody says what is installed
        (1800, None, None),
        (0, None, None),
        (0, None, None),
    ]


def test_the_same_queue_at_two_times_is_two_snapshots(built, query) -> None:
    """Nothing waits in either: the files are equal to the byte."""
    site = built([job("3", T0, T0, T0, T0 + 60)], T0 + HOUR, {T0: [], T0 + 600: []})
    assert query(site, "select count(*) from core.queue_snapshots") == [(2,)]


def test_a_snapshot_that_does_not_say_when_is_refused(make_site, build) -> None:
    toml = TOML + QUEUE.replace('collected_at = "queue-(?P<at>[0-9]+)"', "")
    site = make_site(toml, {"jobs.psv": f"{JOBS_HEADER}\n", "queue/now": f"{QUEUE_HEADER}\n"})
    problems = build(site)["raw.slurm_queue"].problems
    assert len(problems) == 1
    assert "queue/now: does not say when it was collected; expected its time in its name" in problems[0]


def test_what_comes_day_by_day_is_what_comes_at_once(make_site, build, content_of) -> None:
    """Jobs that wait over midnights, start, are given up; an array that starts bit by bit; snapshots with gaps."""
    toml = TOML.replace("jobs.psv", "jobs-*") + QUEUE + INVENTORY

    def wait(number: int, hours: int) -> tuple[int, int]:
        return T0 + number * 5 * HOUR, T0 + (number * 5 + hours) * HOUR

    def jobs_at(now: int) -> str:
        lines = []
        for number in range(1, 14):
            submit, start = wait(number, number * 7 % 40)
            if now >= start + HOUR and number % 5 == 0:
                lines.append(job(str(number), submit, submit, end=start, state="CANCELLED"))
            elif now >= start and number % 5:
                ended = now >= start + 3 * HOUR
                lines.append(
                    job(
                        str(number),
                        submit,
                        submit + 600,
                        start,
                        start + 3 * HOUR if ended else None,
                        state="COMPLETED" if ended else "RUNNING",
                    )
                )
            elif now >= submit:
                lines.append(job(str(number), submit, submit + 600, state="PENDING"))
        started = [task for task in range(6) if now >= T0 + (10 + 9 * task) * HOUR]
        lines += [
            job(f"90_{task}", T0, T0, T0 + (10 + 9 * task) * HOUR, state="RUNNING", raw=str(91 + task), nodes="h2")
            for task in started
        ]
        if len(started) < 6:
            lines.append(job(f"90_[{len(started)}-5%2]", T0, T0, state="PENDING", raw="90"))
        return "\n".join([JOBS_HEADER, *lines, ""])

    def snapshot_at(now: int) -> str:
        lines = [
            waiting(
                str(number), wait(number, 0)[0], ("Priority", "QOSMaxJobsPerUserLimit", "BeginTime")[now // HOUR % 3]
            )
            for number in range(1, 14)
            if wait(number, 0)[0] <= now < wait(number, number * 7 % 40)[1]
        ]
        started = sum(now >= T0 + (10 + 9 * task) * HOUR for task in range(6))
        if started < 6:
            lines.append(waiting(f"90_[{started}-5%2]", T0, "Resources"))
        return "\n".join([QUEUE_HEADER, *lines, ""])

    inventory = (
        "cluster,node,pool,accelerator_model,accelerators,in_service_at,retired_at\nalpha,h1,train,h100,4,2026-01-01,\n"
    )
    times = [T0 + 14 * HOUR, T0 + 30 * HOUR, T0 + 55 * HOUR]
    snapshots = {at: snapshot_at(at) for at in range(T0, times[-1], 3 * HOUR // 2)}
    for now in times:
        files = {f"queue/queue-{at}": text for at, text in snapshots.items() if at < now}
        site = make_site(toml, {"inventory.csv": inventory, "jobs-all": jobs_at(now), **files}, folder="daily")
        build(site, as_of=datetime.fromtimestamp(now, UTC))
    at_once = make_site(
        toml,
        {
            "inventory.csv": inventory,
            "jobs-all": jobs_at(times[-1]),
            **{f"queue/queue-{at}": text for at, text in snapshots.items()},
        },
        folder="once",
    )
    build(at_once, as_of=datetime.fromtimestamp(times[-1], UTC))
    assert content_of(site) == content_of(at_once)


def published(site: Site, macro: str, grain: str, columns: str) -> list[tuple[Any, ...]]:
    """What a published macro returns for a built site."""
    file = site.folder / "macros.duckdb"
    shutil.copyfile(site.work / "capacity.duckdb", file)
    with duckdb.connect(str(file)) as connection:
        connection.execute((assets_folder() / "published" / "macros.sql").read_text(encoding="utf-8"))
        return connection.execute(f"select {columns} from report.{macro}(?)", [grain]).fetchall()
