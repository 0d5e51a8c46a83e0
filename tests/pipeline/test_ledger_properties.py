"""The ledger of random sites is what the accounting rules say, second by second."""

import tempfile
from collections import Counter, defaultdict
from collections.abc import Callable, Hashable, Mapping
from fractions import Fraction
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

from hypothesis import HealthCheck, given, note, settings
from ledger_oracle import Ledger, attempt_id, held_seconds, ledger, team
from random_sites import RandomSite, random_sites, told

from capacity_dagster.site_file import Site, load_site

settings.register_profile(
    "sites", deadline=None, derandomize=True, suppress_health_check=list(HealthCheck), database=None
)
SITES = settings.get_profile("sites")


def written(folder: Path, toml: str, files: Mapping[str, str | bytes]) -> Site:
    (folder / "landing").mkdir(parents=True)
    for path, content in files.items():
        file = folder / "landing" / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(content.encode() if isinstance(content, str) else content)
    (folder / "site.toml").write_text(toml, encoding="utf-8")
    return load_site(folder)


def assert_same(what: str, ours: Mapping[Any, Any], expected: Mapping[Any, Any]) -> None:
    ours = {key: value for key, value in ours.items() if value}
    expected = {key: value for key, value in expected.items() if value}
    different = [
        f"{key}: {ours.get(key)} and not {expected.get(key)}"
        for key in sorted(ours.keys() | expected.keys(), key=str)
        if ours.get(key) != expected.get(key)
    ]
    assert not different, f"{what}:\n" + "\n".join(different[:20])


def test_every_second_of_a_random_site_is_where_the_rules_put_it(build, query) -> None:
    seen: Counter[str] = Counter()

    @settings(SITES, max_examples=6)
    @given(random_sites(most_clusters=8))
    def one_site(random: RandomSite) -> None:
        files = random.files()
        note(random.toml())
        note(told(files))
        with tempfile.TemporaryDirectory() as folder:
            site = written(Path(folder), random.toml(), files)
            outcomes = build(site)
            failed = [
                f"{name}: {check.name}"
                for name, outcome in outcomes.items()
                for check in outcome.checks
                if check.is_blocking and not check.has_passed
            ]
            assert not failed

            def rows(sql: str) -> list[tuple[Any, ...]]:
                return query(site, sql)

            zone = ZoneInfo(random.zone)
            expected = {cluster.name: ledger(cluster, zone, random.first_at) for cluster in random.clusters}
            assert rows("select * from landing.rejected") == []
            the_ledger_is_right(rows, expected)
            what_attempts_held_is_right(rows, expected)
            the_attempts_are_right(rows, random)
            the_reports_are_the_mart(rows, expected)
        for each in expected.values():
            seen.update(state for (*_, state), units in (*each.states.items(), *each.excess.items()) if units)
            seen.update("shared" for stretches in each.stretches.values() if stretches)

    one_site()
    usual = ("allocated", "reserved_idle", "down_planned", "down_unplanned", "draining_unusable", "idle_schedulable")
    assert min(seen[each] for each in (*usual, "overcommit", "unplaced", "shared")) > 10, seen


Rows = Callable[[str], list[tuple[Any, ...]]]


def of_all(
    expected: dict[str, Ledger], amounts: Callable[[Ledger], Mapping[tuple[Any, ...], int]]
) -> dict[tuple[Any, ...], int]:
    """One kind of amount of every cluster, by the cluster's name and its own key."""
    return {(name, *key): units for name, each in expected.items() for key, units in amounts(each).items()}


def the_ledger_is_right(rows: Rows, expected: dict[str, Ledger]) -> None:
    """Each state of each hour, node and model; unserved shapes are free, whatever the ledger calls what they leave."""
    ours = {
        (cluster, (day, hour), pool, node, model, state): units
        for cluster, day, hour, pool, node, model, state, units in rows(
            """
            select cluster, usage_date, hour_at, pool, node, accelerator_model,
                case when state = 'stranded' then 'idle_schedulable' else state end,
                sum(unit_seconds)::bigint
            from mart.capacity_ledger_hourly
            group by all
            """
        )
    }
    assert_same("the ledger", ours, of_all(expected, lambda each: each.states))
    assert rows("select * from mart.capacity_ledger_hourly where unit_seconds < 0") == []


def what_attempts_held_is_right(rows: Rows, expected: dict[str, Ledger]) -> None:
    held: Counter[Hashable] = Counter()
    excess: Counter[Hashable] = Counter()
    shares: dict[Any, int] = {}
    for cluster, day, hour, attempt, pool, node, model, of_it, allocated, overcommit, unplaced in rows(
        """
        select cluster, usage_date, hour_at, attempt_id, pool, node, accelerator_model,
            held_unit_seconds, allocated_unit_seconds, overcommit_unit_seconds, unplaced_unit_seconds
        from mart.attempt_hours
        """
    ):
        assert of_it == allocated + overcommit + unplaced
        assert min(of_it, allocated, overcommit, unplaced) >= 0
        held[cluster, (day, hour), attempt, pool, node, model] += of_it
        shares[cluster, (day, hour), attempt, pool, node, model] = allocated
        excess[cluster, (day, hour), pool, node, model, "overcommit"] += overcommit
        excess[cluster, (day, hour), pool, node, model, "unplaced"] += unplaced
    assert_same("held", held, of_all(expected, lambda each: each.held))
    assert_same("beside the ledger", excess, of_all(expected, lambda each: each.excess))
    for name, each in expected.items():
        for key, exact in each.shares.items():
            # Largest remainder moves a holder by less than a unit-second in each stretch that is shared.
            assert abs(Fraction(shares[name, *key]) - exact) <= each.stretches[key], (name, key, exact)


def the_attempts_are_right(rows: Rows, random: RandomSite) -> None:
    ours = dict(rows("select attempt_id, held_seconds from mart.attempts"))
    teams = dict(rows("select attempt_id, team from mart.attempts"))
    known = {(cluster, record) for cluster in random.clusters for record in cluster.records}
    assert ours.keys() == {attempt_id(cluster, record) for cluster, record in known}
    expected = {attempt_id(cluster, record): (cluster, record) for cluster, record in known}
    assert_same("held seconds", ours, {name: held_seconds(*each) for name, each in expected.items()})
    for name, (cluster, record) in expected.items():
        # What begins after as_of has not begun.
        if record.start is None or record.start < cluster.as_of:
            assert teams[name] == team(cluster, record), name
    placed = rows("""
        select attempts.attempt_id from mart.attempts as attempts
        left join (select attempt_id, sum(accelerator_units) as units from mart.attempt_nodes group by 1) as nodes
            using (attempt_id)
        where attempts.held_seconds > 0 and attempts.accelerator_units <> coalesce(nodes.units, 0)
    """)
    assert placed == []


def the_reports_are_the_mart(rows: Rows, expected: dict[str, Ledger]) -> None:
    """The day's columns of the fleet's report are the sums of the hours, and the teams' are the fleet's."""
    columns = {
        "allocated": "allocated_unit_seconds",
        "reserved_idle": "reserved_idle_unit_seconds",
        "down_planned": "down_planned_unit_seconds",
        "down_unplanned": "down_unplanned_unit_seconds",
        "draining_unusable": "draining_unit_seconds",
        "overcommit": "overcommit_unit_seconds",
        "unplaced": "unplaced_unit_seconds",
    }
    days: dict[Any, Counter[str]] = defaultdict(Counter)
    for name, each in expected.items():
        for (hour, pool, _, model, state), units in each.states.items():
            days[name, hour[0], pool, model][state] += units
            days[name, hour[0], pool, model]["installed"] += units
        for (hour, pool, _, model, kind), units in each.excess.items():
            days[name, hour[0], pool, model][kind] += units
    fleet = {}
    for cluster, day, pool, model, installed, available, *parts in rows(
        "select cluster, usage_date, pool, accelerator_model, installed_unit_seconds, available_unit_seconds, "
        f"{', '.join(columns.values())} from report.fleet_efficiency_daily"
    ):
        of_day = fleet[cluster, day, pool, model] = dict(zip(columns, parts, strict=True)) | {"installed": installed}
        assert available == installed - sum(
            of_day[each] for each in ("down_planned", "down_unplanned", "draining_unusable")
        )
    for key in fleet.keys() | days.keys():
        wanted = {name: units for name, units in days[key].items() if name != "idle_schedulable" and units}
        assert {name: units for name, units in fleet.get(key, {}).items() if units} == wanted, key
    teams = rows(
        "select cluster, usage_date, pool, accelerator_model, sum(allocated_unit_seconds)::bigint, "
        "sum(held_unit_seconds)::bigint from report.team_efficiency_daily group by 1, 2, 3, 4"
    )
    assert_same(
        "the teams", {key: (allocated, held) for *key_, allocated, held in teams if held for key in [tuple(key_)]},
        {
            key: (each["allocated"], each["allocated"] + each["overcommit"] + each["unplaced"])
            for key, each in fleet.items()
            if each["allocated"] + each["overcommit"] + each["unplaced"]
        },
    )  # fmt: skip
