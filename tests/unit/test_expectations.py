"""Great Expectations at the boundary: what passes, what fails, with which counts, and that SQL and GX mean the same."""

import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import duckdb
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from capacity_dagster.errors import ContractError
from capacity_dagster.tables import expectations
from capacity_dagster.tables.catalogue import Table, load_catalogue
from capacity_dagster.tables.checks import CheckOutcome, Rule, column_rules
from capacity_dagster.tables.contract import Column, Contract
from capacity_dagster.tables.expectations import check_expectations, expectation

TYPES = {
    "load_id": "VARCHAR",
    "source_line": "BIGINT",
    "state": "VARCHAR",
    "cpus": "BIGINT",
    "currency": "VARCHAR",
    "price": "DECIMAL(38,12)",
    "share": "DOUBLE",
    "is_step": "BOOLEAN",
    "started_at": "TIMESTAMP",
}
RULES: dict[str, Any] = {
    "load_id": "not_null",
    "source_line": "not_null",
    "state": {"not_null": True, "values": ["RUNNING", "it's done"]},
    "cpus": {"minimum": 0, "maximum": 100},
    "currency": {"pattern": "([A-Z]{3})|EURO", "severity": "warning"},
    "price": {"minimum": 0.1},
    "share": {"minimum": 0, "maximum": 1},
    "is_step": {"not_null": True, "values": ["false"]},
    "started_at": "not_null",
}
GOOD: dict[str, Any] = {
    "load_id": "a",
    "source_line": 1,
    "state": "RUNNING",
    "cpus": 4,
    "currency": "EUR",
    "price": "0.1",
    "share": 0.5,
    "is_step": False,
    "started_at": "2026-01-01 00:00:00",
}


def raw_table(columns: dict[str, Any] = RULES, key: tuple[str, ...] = ("load_id", "source_line")) -> Table:
    return Table(
        layer="raw",
        name="things",
        folder=Path("assets_sql/raw/things"),
        sql="",
        contract=Contract.model_validate({"description": "One row per thing.", "key": key, "columns": columns}),
        columns={name: Column(type=TYPES[name], description=name) for name in columns},
        checks=(),
    )


@contextmanager
def warehouse() -> Iterator[duckdb.DuckDBPyConnection]:
    with duckdb.connect() as opened:
        opened.execute("attach ':memory:' as pipeline")
        opened.execute("create schema pipeline.raw")
        yield opened


@pytest.fixture
def connection() -> Iterator[duckdb.DuckDBPyConnection]:
    with warehouse() as opened:
        yield opened


def fill(connection: duckdb.DuckDBPyConnection, table: Table, rows: list[dict[str, Any]]) -> None:
    connection.execute(table.ddl(f"create or replace table {table.relation}").removeprefix("create table "))
    for row in rows:
        connection.execute(f"insert into {table.relation} values ({', '.join('?' * len(row))})", values(table, row))


def values(table: Table, row: dict[str, Any]) -> list[Any]:
    return [row[name] for name in table.columns]


def things(*changes: dict[str, Any]) -> list[dict[str, Any]]:
    """Good rows, one for each of the changes made to it."""
    return [{**GOOD, "source_line": line, **change} for line, change in enumerate(changes, start=1)]


def failures(outcomes: list[CheckOutcome]) -> dict[str, int]:
    return {rule["rule"]: rule["failed_rows"] for each in outcomes for rule in each.rules if rule["failed_rows"]}


def test_a_good_table_passes_every_suite(connection: duckdb.DuckDBPyConnection) -> None:
    table = raw_table()
    fill(connection, table, things({}, {"cpus": None, "currency": None, "price": None, "share": None}))
    critical, warning = check_expectations(connection, table)
    assert (critical.name, critical.is_blocking, critical.has_passed) == ("expectations_critical", True, True)
    assert (warning.name, warning.is_blocking, warning.has_passed) == ("expectations_warning", False, True)
    assert [rule["rule"] for rule in warning.rules] == ["currency_pattern"]
    assert critical.rules[-1] == {
        "rule": "key_is_unique",
        "column": "load_id, source_line",
        "expected": "one row",
        "observed": "every row keeps it",
        "rows": 2,
        "failed_rows": 0,
        "holds": True,
    }
    assert critical.sample == []
    assert "2 rows counted, a batch of 2" in critical.description


@pytest.mark.parametrize(
    ("change", "broken"),
    [
        ({"load_id": None}, "load_id_not_null"),
        ({"state": None}, "state_not_null"),
        ({"state": "running"}, "state_values"),
        ({"state": ""}, "state_values"),
        ({"cpus": -1}, "cpus_minimum"),
        ({"cpus": 101}, "cpus_maximum"),
        ({"cpus": 2**63 - 1}, "cpus_maximum"),
        ({"currency": "EURX"}, "currency_pattern"),
        ({"currency": "xEUR"}, "currency_pattern"),
        ({"currency": "EUR\n"}, "currency_pattern"),
        ({"price": "0.099999999999"}, "price_minimum"),
        ({"price": "-10000000000000.000000000001"}, "price_minimum"),
        ({"share": 1.0000001}, "share_maximum"),
        ({"share": float("nan")}, "share_maximum"),
        ({"share": float("-inf")}, "share_minimum"),
        ({"is_step": True}, "is_step_values"),
        ({"started_at": None}, "started_at_not_null"),
    ],
)
def test_each_kind_of_violation_is_counted_and_shown(
    connection: duckdb.DuckDBPyConnection, change: dict[str, Any], broken: str
) -> None:
    table = raw_table()
    fill(connection, table, things({}, {**change}, {}, {**change}))
    outcomes = check_expectations(connection, table)
    assert failures(outcomes) == {broken: 2}
    (failed,) = [outcome for outcome in outcomes if not outcome.has_passed]
    assert failed.is_blocking == (broken != "currency_pattern")
    assert failed.failed_rows == 2
    assert [row["source_line"] for row in failed.sample] == [2, 4]


@pytest.mark.parametrize("value", ["0.1", "0.100000000001", "10000000000000.000000000001"])
def test_decimals_at_a_bound_are_compared_as_decimals(connection: duckdb.DuckDBPyConnection, value: str) -> None:
    table = raw_table()
    fill(connection, table, things({"price": value}))
    assert failures(check_expectations(connection, table)) == {}


def test_integers_beside_nulls_stay_exact(connection: duckdb.DuckDBPyConnection) -> None:
    table = raw_table({**RULES, "cpus": {"maximum": 2**53}})
    fill(connection, table, things({"cpus": None}, {"cpus": 2**53}, {"cpus": 2**53 + 1}))
    assert failures(check_expectations(connection, table)) == {"cpus_maximum": 1}


def test_a_repeated_key_fails_every_row_that_has_it(connection: duckdb.DuckDBPyConnection) -> None:
    table = raw_table()
    fill(connection, table, things({}, {"source_line": 1}, {}, {"source_line": 1, "state": "GONE"}))
    assert failures(check_expectations(connection, table)) == {"key_is_unique": 3, "state_values": 1}


def test_nulls_in_a_key_of_several_columns_equal_each_other(connection: duckdb.DuckDBPyConnection) -> None:
    table = raw_table({"load_id": None, "source_line": None})
    rows = [{"load_id": load, "source_line": line} for load, line in [("a", None), ("a", None), (None, None), ("b", 1)]]
    fill(connection, table, rows)
    assert failures(check_expectations(connection, table)) == {"key_is_unique": 2}
    fill(connection, table, [rows[2], rows[2]])
    assert failures(check_expectations(connection, table)) == {"key_is_unique": 2}


def test_nulls_in_a_key_of_one_column_are_not_compared(connection: duckdb.DuckDBPyConnection) -> None:
    table = raw_table({"source_line": None}, key=("source_line",))
    fill(connection, table, [{"source_line": line} for line in (None, None, 1, 2)])
    assert failures(check_expectations(connection, table)) == {}
    fill(connection, table, [{"source_line": line} for line in (None, 1, 1, 1, 2)])
    assert failures(check_expectations(connection, table)) == {"key_is_unique": 3}


def test_counts_are_exact_and_every_broken_rule_is_in_the_batch_when_violators_exceed_it(
    connection: duckdb.DuckDBPyConnection, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(expectations, "VIOLATOR_ROWS", 4)
    monkeypatch.setattr(expectations, "SAMPLE_ROWS", 3)
    table = raw_table()
    fill(connection, table, things(*[{"cpus": -1}] * 30, {"state": "GONE"}, {"source_line": 31, "currency": "x"}))
    critical, warning = check_expectations(connection, table)
    assert failures([critical, warning]) == {
        "cpus_minimum": 30,
        "state_values": 1,
        "key_is_unique": 2,
        "currency_pattern": 1,
    }
    assert (critical.failed_rows, len(critical.sample)) == (33, 10)
    assert (warning.failed_rows, len(warning.sample)) == (1, 1)
    assert "32 rows counted, a batch of 7" in critical.description


def test_an_empty_table_passes_and_says_so(connection: duckdb.DuckDBPyConnection) -> None:
    table = raw_table()
    fill(connection, table, [])
    outcomes = check_expectations(connection, table)
    assert all(outcome.has_passed and "no rows" in outcome.description for outcome in outcomes)


def test_a_rule_that_is_only_told_passes_with_a_note(connection: duckdb.DuckDBPyConnection) -> None:
    table = raw_table({**RULES, "cpus": {"maximum": 100, "severity": "info"}})
    fill(connection, table, things({}, {"cpus": 101}))
    critical, warning, info = check_expectations(connection, table)
    assert (critical.has_passed, warning.has_passed) == (True, True)
    assert (info.name, info.is_blocking, info.has_passed, info.failed_rows) == ("expectations_info", False, True, 1)
    assert info.description.endswith("To note: cpus_maximum.")
    assert [row["source_line"] for row in info.sample] == [2]
    (validation,) = info.validations
    assert (validation["success"], validation["result"]["unexpected_count"]) == (False, 1)
    assert validation["result"]["partial_unexpected_list"] == [101]


def test_a_severity_without_rules_has_no_outcome(connection: duckdb.DuckDBPyConnection) -> None:
    table = raw_table({"load_id": "not_null"}, key=("load_id",))
    fill(connection, table, [{"load_id": "a"}])
    assert [outcome.name for outcome in check_expectations(connection, table)] == ["expectations_critical"]


def translate_state_values_as(monkeypatch: pytest.MonkeyPatch, **changes: Any) -> None:
    def translated(table: Table, rule: Rule) -> dict[str, Any]:
        right = expectation(table, rule)
        return {**right, **changes} if rule.name == "state_values" else right

    monkeypatch.setattr(expectations, "expectation", translated)


@pytest.mark.parametrize(
    ("state", "message"),
    [
        ("RUNNING", r"raw\.things: .*state_values: SQL counts 0 failed rows, Great Expectations says that it fails$"),
        ("GONE", r"raw\.things: .*state_values: SQL counts 1 failed rows, Great Expectations says that it passes$"),
    ],
)
def test_a_disagreement_is_our_error(
    connection: duckdb.DuckDBPyConnection, monkeypatch: pytest.MonkeyPatch, state: str, message: str
) -> None:
    translate_state_values_as(monkeypatch, kwargs={"column": "state", "value_set": ["GONE"]})
    table = raw_table()
    fill(connection, table, things({"state": state}))
    with pytest.raises(ContractError, match=message):
        check_expectations(connection, table)


@pytest.mark.parametrize(
    ("translated", "message"),
    [
        ({"type": "expect_column_values_to_match_regex", "kwargs": {"column": "state", "regex": "("}}, r"missing \)"),
        ({"kwargs": {"column": "missing", "value_set": []}}, "missing"),
    ],
)
def test_an_expectation_that_cannot_be_evaluated_is_our_error(
    connection: duckdb.DuckDBPyConnection, monkeypatch: pytest.MonkeyPatch, translated: dict[str, Any], message: str
) -> None:
    translate_state_values_as(monkeypatch, **translated)
    table = raw_table()
    fill(connection, table, things({"state": "GONE"}))
    with pytest.raises(ContractError, match=rf"state_values: SQL counts 1 .* could not be evaluated \(.*{message}"):
        check_expectations(connection, table)


def test_every_rule_of_every_contract_has_an_expectation() -> None:
    for table in load_catalogue():
        for rule in column_rules(table):
            assert expectation(table, rule)["meta"] == {"rule": rule.name}


def test_a_check_is_silent_offline_and_leaves_no_file(
    connection: duckdb.DuckDBPyConnection,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    capfd: pytest.CaptureFixture[str],
    recwarn: pytest.WarningsRecorder,
) -> None:
    def refuse(*_: Any) -> None:
        raise AssertionError("a connection was tried")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)
    monkeypatch.chdir(tmp_path)
    table = raw_table()
    fill(connection, table, things({}, {"cpus": -1}))
    check_expectations(connection, table)
    assert capfd.readouterr() == ("", "")
    assert [str(warning.message) for warning in recwarn] == []
    assert list(tmp_path.iterdir()) == []


def test_importing_the_module_does_not_import_great_expectations() -> None:
    code = "import sys, capacity_dagster.tables.expectations; sys.exit('great_expectations' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


ROWS = st.lists(
    st.fixed_dictionaries(
        {
            "load_id": st.sampled_from(["a", "b", None]),
            "source_line": st.sampled_from([1, 2, 3, None]),
            "state": st.sampled_from(["RUNNING", "it's done", "", "GONE", None]),
            "cpus": st.one_of(st.none(), st.integers(-2, 102), st.integers(-(2**63), 2**63 - 1)),
            "currency": st.one_of(st.none(), st.text("EURO€x\n", max_size=4), st.just("EURO")),
            "share": st.one_of(st.none(), st.floats(allow_nan=False), st.sampled_from([-0.0, 0.0, 1.0])),
        }
    ),
    min_size=1,
    max_size=12,
)


@pytest.mark.filterwarnings("ignore:This pattern is interpreted")
@settings(max_examples=12, deadline=None)
@given(rows=ROWS)
def test_counts_equal_those_of_great_expectations_on_the_whole_table(rows: list[dict[str, Any]]) -> None:
    import great_expectations as gx

    table = raw_table({name: rules for name, rules in RULES.items() if name in rows[0]})
    with warehouse() as connection:
        fill(connection, table, rows)
        outcomes = check_expectations(connection, table)
    rules = [*column_rules(table), expectations._key_rule(table)]
    suite = gx.ExpectationSuite(name="whole", expectations=[expectation(table, rule) for rule in rules])
    frame = pd.DataFrame([values(table, row) for row in rows], columns=list(table.columns), dtype=object)
    source = gx.get_context(mode="ephemeral").data_sources.add_pandas("whole")
    batch = source.add_dataframe_asset("whole").add_batch_definition_whole_dataframe("whole")
    found = batch.get_batch({"dataframe": frame}).validate(suite)
    whole = {result.expectation_config.meta["rule"]: result.result["unexpected_count"] for result in found.results}
    assert {rule["rule"]: rule["failed_rows"] for outcome in outcomes for rule in outcome.rules} == whole
