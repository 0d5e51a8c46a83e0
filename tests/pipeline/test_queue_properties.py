"""The arithmetic of the queue, held against other ways to compute it: exact fractions, and counting by the minute."""

from collections import defaultdict
from collections.abc import Callable
from datetime import datetime, timedelta
from fractions import Fraction
from typing import Any

import duckdb
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from capacity_dagster.tables.catalogue import SITE_TABLES, assets_folder, load_catalogue, shared_sql


def empty_tables() -> duckdb.DuckDBPyConnection:
    """All tables of core, mart and report, without rows, in one database."""
    connection = duckdb.connect()
    connection.execute("create schema site; create schema core; create schema mart; create schema report")
    for name, columns in SITE_TABLES.items():
        connection.execute(f"create table {name} ({columns})")
    for table in load_catalogue().of_layer("core", "mart", "report"):
        connection.execute(table.ddl(table.full_name))
    connection.execute(shared_sql())
    return connection


# Percentiles.

CLASSES = ["capacity", "policy", "user", "admin", "other", "unknown"]
WAITS = st.lists(
    st.tuples(
        st.integers(1, 2),  # the day
        st.integers(0, 6),  # the wait
        st.booleans(),  # it ended with a start
        st.integers(0, 4),  # jobs
        st.integers(0, 9) | st.none(),  # unit-seconds asked for
    ),
    min_size=1,
    max_size=14,
)


def kaplan_meier(waits: list[tuple[int, bool, int]], share: Fraction) -> int | None:
    """The first wait at which no more than the share goes on waiting; of (wait, whether it started, weight)."""
    survival = Fraction(1)
    for time in sorted({wait for wait, _, _ in waits}):
        at_risk = sum(weight for wait, _, weight in waits if wait >= time)
        started = sum(weight for wait, has_started, weight in waits if wait == time and has_started)
        if at_risk:
            survival *= 1 - Fraction(started, at_risk)
        if survival <= share and at_risk:
            return time
    return None


@pytest.fixture(scope="module")
def curves() -> Callable[..., tuple[list[tuple[Any, ...]], list[tuple[Any, ...]]]]:
    """curves(rows): the percentiles of given rows of mart.queue_waits, by day, and by the macro over all days."""
    connection = empty_tables()
    connection.execute((assets_folder() / "published" / "macros.sql").read_text(encoding="utf-8"))
    table = load_catalogue()["mart.queue_percentiles_daily"]
    connection.execute("create temp table days as select unnest([date '2026-01-01', date '2026-01-02']) as usage_date")

    def run(rows: list[tuple[Any, ...]]) -> tuple[list[tuple[Any, ...]], list[tuple[Any, ...]]]:
        connection.execute("delete from mart.queue_waits")
        connection.executemany(
            "insert into mart.queue_waits values "
            "(make_date(2026, 1, ?), 'alpha', 'train', 'ads', 'serving', ?, ?, ?, ?, ?, 0)",
            [(day, kind, *rest) for day, *rest in rows for kind in ("eligible", "submit")],
        )
        daily = connection.execute(
            "select day(usage_date), grouped_by, weighting, queue_p50_seconds, queue_p90_seconds, queue_p95_seconds "
            f"from ({table.sql}) where wait_kind = 'eligible'"
        ).fetchall()
        pooled = connection.execute(
            "select wait_eligible_p50_seconds, wait_eligible_p90_seconds, wait_eligible_p95_seconds, "
            "weighted_wait_submit_p50_seconds, weighted_wait_submit_p90_seconds, weighted_wait_submit_p95_seconds "
            "from report.cluster_queue('all')"
        ).fetchall()
        return daily, pooled

    return run


SHARES = [Fraction(1, 2), Fraction(1, 10), Fraction(1, 20)]


@settings(max_examples=150, deadline=None)
@given(WAITS)
def test_percentiles_are_those_of_an_independent_kaplan_meier(curves, rows: list[tuple[Any, ...]]) -> None:
    daily, pooled = curves(rows)
    samples: dict[tuple[Any, str], list[tuple[int, bool, int]]] = defaultdict(list)
    unlimited = set()
    for day, wait, has_started, jobs, units in rows:
        for group in (day, "all"):
            if jobs:
                samples[group, "jobs"].append((wait, has_started, jobs))
            if units is None:
                unlimited.add(group)
            if units is None or units:
                samples[group, "accelerator_hours"].append((wait, has_started, units or 0))

    def expected(group: Any, weighting: str) -> tuple[int | None, ...]:
        if weighting == "accelerator_hours" and group in unlimited:
            return (None, None, None)
        return tuple(kaplan_meier(samples.get((group, weighting), []), share) for share in SHARES)

    assert sorted(daily, key=str) == sorted(
        (
            (day, grouped_by, weighting, *expected(day, weighting))
            for day, weighting in samples
            if day != "all"
            for grouped_by in ("partition", "team")
        ),
        key=str,
    )
    assert pooled == [(*expected("all", "jobs"), *expected("all", "accelerator_hours"))]


# What waited, and why: counted minute by minute.

FIRST = datetime(2026, 1, 1)
MINUTES = 300
JOBS = st.lists(
    st.tuples(
        st.integers(-30, MINUTES),  # submitted and eligible
        st.integers(0, 200) | st.none(),  # how long it waits; none: it still does
        st.integers(0, 3),  # accelerators
        st.sampled_from(["gpu", "cpu"]),
    ),
    max_size=8,
)
ARRAY = st.tuples(
    st.integers(0, 60),
    st.lists(st.integers(0, 200) | st.none(), max_size=6),  # how long each task waits that has a record of its own
    st.integers(0, 5),  # tasks that share the array's record
    st.integers(1, 3),  # the limit
)
SNAPSHOTS = st.lists(
    st.tuples(st.integers(-90, MINUTES), st.lists(st.sampled_from(CLASSES), min_size=9, max_size=9)),
    max_size=6,
    unique_by=lambda snapshot: snapshot[0],
)


def at(minute: int) -> datetime:
    return FIRST + timedelta(minutes=minute)


@pytest.fixture(scope="module")
def sweep() -> duckdb.DuckDBPyConnection:
    connection = empty_tables()
    connection.execute(
        "insert into core.cluster_days by name select date '2026-01-01' as usage_date, 'alpha' as cluster, "
        "timestamp '2026-01-01' as starts_at, timestamp '2026-01-01 05:00:00' as ends_at"
    )
    connection.execute(f"insert into core.cluster_hours {load_catalogue()['core.cluster_hours'].sql}")
    connection.execute("create temp table days as select date '2026-01-01' as usage_date")
    return connection


@settings(max_examples=150, deadline=None)
@given(JOBS, ARRAY, SNAPSHOTS)
def test_what_waits_is_what_counting_by_the_minute_gives(
    sweep: duckdb.DuckDBPyConnection,
    jobs: list[tuple[Any, ...]],
    array: tuple[Any, ...],
    snapshots: list[tuple[int, list[str]]],
) -> None:
    submitted, task_waits, shared_tasks, limit = array
    # (entry, job id shown, submitted, until, accelerators, partition, tasks)
    records = [
        (str(number), str(number), begin, None if wait is None else begin + wait, accelerators, partition, 1)
        for number, (begin, wait, accelerators, partition) in enumerate(jobs)
    ]
    records += [
        ("99_[]", f"99_{task}", submitted, None if wait is None else submitted + wait, 1, "gpu", 1)
        for task, wait in enumerate(task_waits)
    ]
    if shared_tasks:
        records.append(("99_[]", f"99_[50-{49 + shared_tasks}%{limit}]", submitted, None, 1, "gpu", shared_tasks))
    entries = sorted({record[0] for record in records})

    # Each snapshot speaks until the next, for an hour at most.
    spoken: dict[tuple[str, int], str] = {}
    stretches = []
    ordered = sorted(snapshots)
    for position, (taken, classes) in enumerate(ordered):
        until = min([taken + 60, *(later for later, _ in ordered[position + 1 : position + 2])])
        for entry, reason_class in zip(entries, classes, strict=False):
            begin = next(record[2] for record in records if record[0] == entry)
            stretches.append((entry, at(begin), reason_class, limit if "[" in entry else None, at(taken), at(until)))
            spoken |= {(entry, minute): reason_class for minute in range(taken, until)}

    expected: dict[tuple[int, str, str], list[int]] = defaultdict(lambda: [0, 0])
    for minute in range(MINUTES):
        competing = defaultdict(int)
        for entry, _, begin, until, accelerators, partition, tasks in records:
            if not begin <= minute < (MINUTES if until is None else until):
                continue
            reason_class = spoken.get((entry, minute), "unknown")
            for _ in range(tasks):
                task_class = reason_class
                if entry == "99_[]" and reason_class == "capacity":
                    competing[entry] += 1
                    if competing[entry] > limit:
                        task_class = "user"
                waited = expected[minute // 60, partition, task_class]
                waited[0] += 60
                waited[1] += 60 * accelerators * 84_000

    sweep.execute("delete from mart.attempts; delete from core.queue_reasons")
    for _, shown, begin, until, accelerators, partition, tasks in records:
        started = None if until is None else at(until)
        sweep.execute(
            "insert into mart.attempts by name select ? as attempt_id, 'alpha' as cluster, ? as job_id_shown, "
            "? as submitted_at, ? as eligible_at, ? as started_at, ? as accelerators_requested, ? as partition_name, "
            "? as array_tasks, ? as job_count, 'red' as team, false as is_resize_follower, 'completed' as end_class",
            [shown, shown, at(begin), at(begin), started, accelerators, partition, tasks, tasks],
        )
    for stretch in stretches:
        sweep.execute("insert into core.queue_reasons values ('alpha', ?, ?, ?, ?, ?, ?)", list(stretch))
    rows = sweep.execute(
        "select hour(hour_at), partition_name, reason_class, pending_job_seconds, pending_unit_seconds "
        f"from ({load_catalogue()['mart.queue_hourly'].sql})"
    ).fetchall()
    assert {tuple(row[:3]): [*row[3:]] for row in rows} == dict(expected)
