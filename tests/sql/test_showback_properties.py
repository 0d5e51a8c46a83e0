"""Showback of random days: nothing is lost under any policy, and every share is what exact fractions give."""

import random
from datetime import date, timedelta
from decimal import Decimal
from fractions import Fraction
from math import floor
from typing import Any

import duckdb
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from capacity_dagster.tables.catalogue import SITE_TABLES, load_catalogue
from capacity_dagster.warehouse import database_of

DAY = 86_400
TEAMS = ("a", "b", "c", "central", "unattributed")
POLICIES = ("central", "proportional", "entitlement", "hybrid")
CURRENCIES = {"USD": 2, "JPY": 0, "KWD": 3}
DAYS = (date(2026, 1, 30), date(2026, 1, 31), date(2026, 2, 1))
PICOS = 10**12

Row = dict[str, Any]

amounts = st.one_of(
    st.integers(-(10**18), 10**18),
    st.integers(-100, 100),
    st.integers(-(10**4), 10**4).map(lambda cents: cents * PICOS // 100),
)
shares = st.lists(st.integers(0, 10**13), min_size=3, max_size=3)


@st.composite
def random_days(draw: st.DrawFn) -> tuple[list[Row], list[Row], list[Row], list[Row]]:
    """(costs, fleet, allocated, entitlements) of some days of two models in one pool."""
    costs, fleet, allocated = [], [], []
    for day in DAYS:
        for model in ("h100", "a100", "unassigned"):
            where = {"usage_date": day, "cluster": "alpha", "pool": "train", "accelerator_model": model}
            for currency in CURRENCIES:
                if draw(st.booleans()):
                    cost = Decimal(draw(amounts)) / PICOS
                    costs.append(where | {"cost_component": "power", "currency": currency, "cost": cost})
            if model == "unassigned" or draw(st.integers(0, 9)) == 0:
                continue
            held = {team: draw(st.integers(0, 10**12)) for team in draw(st.sets(st.sampled_from(TEAMS)))}
            idle, reserved, down = draw(shares)
            seconds = {"allocated_unit_seconds": sum(held.values()), "idle_unit_seconds": idle}
            seconds |= {"reserved_idle_unit_seconds": reserved, "down_planned_unit_seconds": down}
            if installed := sum(seconds.values()):
                fleet.append(where | seconds | {"installed_unit_seconds": installed})
                for team, unit_seconds in held.items():
                    allocated.append(where | {"team": team, "allocated_unit_seconds": unit_seconds})
    entitlements = [
        {
            "cluster": "alpha",
            "pool": "train",
            "accelerator_model": model,
            "team": team,
            "entitled_units": draw(st.integers(0, 10**8)),
            "valid_from_at": DAYS[draw(st.integers(0, 2))],
            "valid_to_at": date(9999, 1, 1),
        }
        for team in draw(st.sets(st.sampled_from(TEAMS)))
        for model in draw(st.sets(st.sampled_from(("", "h100"))))
    ]
    return costs, fleet, allocated, entitlements


def exact_shares(cost: int, seconds: Row, held: dict[str, int], entitled: dict[str, int]) -> dict[Any, Fraction]:
    """By (team, policy), a day's exact charge for what nobody used; by (team, None) the direct one."""
    installed = seconds.get("installed_unit_seconds", 0)
    found = {(team, policy): Fraction(0) for team in TEAMS for policy in (*POLICIES, None)}
    if not installed:
        return found | {("central", policy): Fraction(cost) for policy in POLICIES}
    rate = Fraction(cost, installed)
    for team, unit_seconds in held.items():
        found[team, None] = rate * unit_seconds
    idle = cost - sum(found[team, None] for team in TEAMS)
    free = seconds["idle_unit_seconds"] + seconds["reserved_idle_unit_seconds"]
    unused = {team: max(0, entitled.get(team, 0) - held.get(team, 0)) for team in TEAMS}
    all_unused, all_held = sum(unused.values()), sum(held.values())
    kept = {
        team: rate * unused[team] * min(Fraction(1), Fraction(free, all_unused)) if all_unused else Fraction(0)
        for team in TEAMS
    }
    found["central", "central"] = Fraction(idle)
    rest = rate * free - sum(kept.values())
    for team in TEAMS:
        part = Fraction(held.get(team, 0), all_held) if all_held else Fraction(team == "central")
        found[team, "proportional"] = idle * part
        found[team, "entitlement"] = kept[team]
        found[team, "hybrid"] = kept[team] + rest * part
    found["central", "entitlement"] += idle - sum(kept.values())
    found["central", "hybrid"] += rate * seconds["down_planned_unit_seconds"]
    return found


def largest_remainder(parts: dict[str, Fraction], units: int) -> dict[str, int]:
    """Whole units for the parts, which sum to `units`; ties go by name."""
    found = {name: floor(part) for name, part in parts.items()}
    by_remainder = sorted(parts, key=lambda name: (found[name] - parts[name], name))
    for name in by_remainder[: units - sum(found.values())]:
        found[name] += 1
    return found


def insert(connection: duckdb.DuckDBPyConnection, name: str, rows: list[Row]) -> None:
    """Creates a table and inserts rows; what they do not say is zero, or what a text may be."""
    table = load_catalogue()[name]
    relation = f"{database_of(name)}.{name}"
    connection.execute(f"drop table if exists {relation}")
    connection.execute(table.ddl(relation))
    zeros = {"VARCHAR": "", "BOOLEAN": False, "DATE": DAYS[0], "TIMESTAMP": DAYS[0]}
    for row in rows:
        values = [row.get(column, zeros.get(meaning.type, 0)) for column, meaning in table.columns.items()]
        connection.execute(f"insert into {relation} values ({', '.join('?' * len(values))})", values)


def nothing_closed_or_known(connection: duckdb.DuckDBPyConnection) -> None:
    insert(connection, "core.day_trust", [])
    connection.execute(f"create table pipeline.site.closed_months ({SITE_TABLES['site.closed_months']})")
    connection.execute(load_catalogue()["report.showback_monthly"].ddl("history.closed.showback_monthly"))


def build(connection: duckdb.DuckDBPyConnection, name: str) -> list[Row]:
    """Builds a table and runs its blocking checks; its rows."""
    table = load_catalogue()[name]
    relation = f"{database_of(name)}.{name}"
    connection.execute(f"create or replace table {relation} as {table.sql}")
    for check in table.checks:
        if check.blocking:
            assert connection.execute(check.sql).fetchall() == []
    rows = connection.execute(f"from {relation}")
    names = [column[0] for column in rows.description]
    return [dict(zip(names, row, strict=True)) for row in rows.fetchall()]


def picos(amount: Decimal) -> int:
    return int(amount * PICOS)


@pytest.fixture(scope="module")
def kept_connection(module_connection: duckdb.DuckDBPyConnection) -> duckdb.DuckDBPyConnection:
    """One database for all examples, which begin with empty tables."""
    connection = module_connection
    connection.execute("create temp table days (usage_date date)")
    connection.executemany("insert into days values (?)", [[day] for day in DAYS])
    everywhere = {"cluster": "alpha", "pool": "train", "node": "n1", "installed_units": 84_000}
    in_service = [
        {"usage_date": day, "starts_at": day, "ends_at": day + timedelta(days=1), "accelerator_model": model}
        for day in DAYS
        for model in ("h100", "a100")
    ]
    insert(connection, "mart.node_timeline", [row | everywhere for row in in_service])
    insert(connection, "report.cost_per_accelerator_hour_monthly", [])
    nothing_closed_or_known(connection)
    return connection


@given(random_days(), st.randoms(use_true_random=False))
@settings(max_examples=25, deadline=None)
def test_charges_are_exact_under_every_policy(
    kept_connection: duckdb.DuckDBPyConnection,
    drawn: tuple[list[Row], list[Row], list[Row], list[Row]],
    order: random.Random,
) -> None:
    connection = kept_connection
    names = ("mart.cost_daily", "report.fleet_efficiency_daily", "report.team_efficiency_daily", "core.entitlements")
    for name, rows in zip(names, drawn, strict=True):
        order.shuffle(rows)
        insert(connection, name, rows)
    costs, fleet, allocated, entitlements = drawn
    daily = build(connection, "report.showback_daily")
    charged = {
        tuple(row[name] for name in ("usage_date", "accelerator_model", "currency", "team", "idle_policy")): row
        for row in daily
    }
    for bill in costs:
        day, model, currency = bill["usage_date"], bill["accelerator_model"], bill["currency"]
        here = [row for row in fleet if row["usage_date"] == day]
        seconds = next((row for row in here if row["accelerator_model"] == model), {})
        installed = seconds.get("installed_unit_seconds", 0)
        pool = sum(row["installed_unit_seconds"] for row in here)
        held = {
            row["team"]: row["allocated_unit_seconds"]
            for row in allocated
            if (row["usage_date"], row["accelerator_model"]) == (day, model)
        }
        entitled: dict[str, int] = {}
        for row in entitlements:
            if row["valid_from_at"] <= day and row["accelerator_model"] in ("", model) and installed:
                whole = row["entitled_units"] * DAY
                part = whole if row["accelerator_model"] else whole * installed // pool
                entitled[row["team"]] = entitled.get(row["team"], 0) + part
        exact = exact_shares(picos(bill["cost"]), seconds, held, entitled)
        for (team, policy), share in exact.items():
            row = charged.get((day, model, currency, team, policy or "central"), {})
            found = picos(row.get("idle_cost" if policy else "direct_cost", Decimal(0)))
            assert abs(found - share) < 4, (team, policy)

    monthly = build(connection, "report.showback_monthly")
    for month in {row["usage_month"] for row in monthly}:
        for currency, digits in CURRENCIES.items():
            of_month = [
                row for row in daily if row["usage_date"].replace(day=1) == month and row["currency"] == currency
            ]
            told = {
                (row["team"], row["idle_policy"]): row
                for row in monthly
                if row["usage_month"] == month and row["currency"] == currency
            }
            minor = PICOS // 10**digits
            direct: dict[str, Fraction] = {}
            idle: dict[str, dict[str, Fraction]] = {policy: {} for policy in POLICIES}
            for row in of_month:
                team, policy = row["team"], row["idle_policy"]
                idle[policy][team] = idle[policy].get(team, Fraction(0)) + Fraction(picos(row["idle_cost"]), minor)
                if policy == "central":
                    direct[team] = direct.get(team, Fraction(0)) + Fraction(picos(row["direct_cost"]), minor)
            all_idle = sum(idle["central"].values())
            total = floor(sum(direct.values()) + all_idle + Fraction(1, 2))
            parts = largest_remainder(direct | {"~": Fraction(all_idle)}, total)  # "~" is after every team
            for policy in POLICIES:
                shared = largest_remainder(idle[policy], parts["~"])
                for team in direct:
                    assert told[team, policy]["direct_cost"] * 10**digits == parts[team]
                    assert told[team, policy]["idle_cost"] * 10**digits == shared[team]
                assert sum(told[team, policy]["total_cost"] for team in direct) * 10**digits == total


def test_the_checks_see_what_is_wrong(connection: duckdb.DuckDBPyConnection) -> None:
    day = DAYS[0]
    here = {"cluster": "alpha", "pool": "train", "accelerator_model": "h100"}
    dated = here | {"usage_date": day}
    promised = here | {"valid_from_at": day, "valid_to_at": date(9999, 1, 1), "entitled_units": 84_000}
    connection.execute("create temp table days as select ?::date as usage_date", [day])
    insert(connection, "mart.cost_daily", [dated | {"cost_component": "power", "currency": "USD", "cost": Decimal(10)}])
    insert(connection, "report.fleet_efficiency_daily", [dated | {"installed_unit_seconds": 84_000 * DAY}])
    insert(connection, "report.team_efficiency_daily", [])
    insert(connection, "report.cost_per_accelerator_hour_monthly", [])
    nothing_closed_or_known(connection)
    in_service = {"starts_at": day, "ends_at": DAYS[1], "node": "n1", "installed_units": 84_000}
    insert(connection, "mart.node_timeline", [dated | in_service])
    insert(connection, "core.node_capacity", [here | {"node": "n1"}])
    insert(connection, "core.teams", [{"team": "a"}])
    insert(connection, "core.entitlements", [promised | {"team": "a"}])
    assert broken(connection, "core.entitlements") == set()
    build(connection, "report.showback_daily")
    build(connection, "report.showback_monthly")
    assert broken(connection, "report.showback_daily") == broken(connection, "report.showback_monthly") == set()

    connection.execute("update report.showback_monthly set idle_cost = 9 where team = 'central'")
    assert broken(connection, "report.showback_monthly") == {"charges_sum_to_the_month"}
    connection.execute("delete from report.showback_daily where idle_policy = 'hybrid'")
    assert broken(connection, "report.showback_daily") == {"charges_sum_to_the_cost"}

    insert(connection, "core.entitlements", [promised | {"team": "a"}, promised | {"team": "b"}])
    assert broken(connection, "core.entitlements") == {"entitlements_name_what_there_is"}
    build(connection, "report.showback_daily")
    assert broken(connection, "report.showback_daily") == {"entitlements_fit_the_pool"}
    insert(connection, "core.entitlements", [promised | {"team": "a", "valid_from_at": later} for later in DAYS])
    assert broken(connection, "core.entitlements") == {"one_entitlement_at_a_time"}
    insert(connection, "core.entitlements", [promised | {"team": "a", "pool": "other"}])
    assert broken(connection, "core.entitlements") == {"entitlements_name_what_there_is"}


def broken(connection: duckdb.DuckDBPyConnection, name: str) -> set[str]:
    """The checks of a table that find something."""
    return {check.name for check in load_catalogue()[name].checks if connection.execute(check.sql).fetchall()}
