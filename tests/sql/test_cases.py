"""Runs the query of a table on a few given rows and compares with exact expected rows.

A case is a folder `<layer>.<table>/<case>/`:

- `given/<schema>.<relation>.csv`: the rows of an input; an input without a file is empty;
- `given/days.csv`: the days that are built, for a table with a partition;
- `expect.csv`: all rows of the result, in any order, in the columns of its header;
- `summary.sql` (optional): a query over `result` whose rows are compared in its place;
- `case.txt` (optional): the worked cases of the accounting rules that it is, by id.

A case of a suite is a folder `suites.<suite>/<case>/`, and has `broken.txt` too: the rules that Great Expectations
finds broken, one a line.

An empty cell is null and a quoted one the empty string. A column that a file leaves out is null or, where the contract
forbids that, what `DEFAULTS` says.
"""

import csv
from pathlib import Path

import duckdb
import pytest

from capacity_dagster.tables.catalogue import (
    DAYS,
    LANDING_TABLES,
    PUBLISHED_LAYERS,
    PUBLISHED_TABLES,
    SCOPES,
    SITE_TABLES,
    SUITES,
    Table,
    load_catalogue,
)
from capacity_dagster.tables.suites import WrittenSuite, judge_suite, load_suites
from capacity_dagster.warehouse import database_of

CASES = Path(__file__).parent
TESTED_LAYERS = ("core", *PUBLISHED_LAYERS)

DEFAULTS = {
    "cluster": "'alpha'",
    "scheduler": "'slurm'",
    "reporting_time_zone": "'UTC'",
    "pool": "'train'",
    "accelerator_model": "'h100'",
    "team": "'unattributed'",
    "workload_class": "'unclassified'",
    "state": "'COMPLETED'",
    "end_class": "'completed'",
    "availability": "'available'",
    "gres_name": "'gpu'",
    "tenure": "'owned'",
    "currency": "'USD'",
    "first_at": "timestamp '2026-01-01'",
    "submitted_at": "timestamp '2026-01-01'",
    "valid_from_at": "timestamp '1900-01-01'",
    "valid_to_at": "timestamp '9999-01-01'",
    "takes_whole_node": "true",
    "load_id": "'load'",
    "source_file": "'given.csv'",
    "content_sha256": "'00'",
    "source_line": "row_number() over ()",
}
"""Where a column may not be null and a case does not care: by name; else 0, false or the empty string, by type."""

TYPE_DEFAULTS = {"VARCHAR": "''", "BOOLEAN": "false", "TIMESTAMP": "timestamp '2026-01-01'"} | dict.fromkeys(
    ("BIGINT", "HUGEINT", "INTEGER", "DECIMAL", "DOUBLE"), "0"
)


def _folders() -> list[Path]:
    return sorted(path.parent for path in CASES.glob("*/*/expect.csv"))


def _parameters(are_suites: bool) -> list[object]:
    parameters = []
    for folder in _folders():
        if folder.parent.name.startswith(f"{SUITES}.") != are_suites:
            continue
        file = folder / "case.txt"
        cases = file.read_text(encoding="utf-8").split() if file.exists() else []
        name = " ".join([f"{folder.parent.name}/{folder.name}", *cases])
        parameters.append(pytest.param(folder, id=name, marks=[pytest.mark.case(case) for case in cases]))
    return parameters


@pytest.mark.parametrize("folder", _parameters(are_suites=False))
def test_query_returns_the_expected_rows(folder: Path, connection: duckdb.DuckDBPyConnection) -> None:
    table = load_catalogue()[folder.parent.name]
    if table.contract.partition:
        connection.execute(f"create temp table {DAYS} (usage_date date)")
        _insert(connection, DAYS, folder / "given" / f"{DAYS}.csv", {})
    _give(connection, table, folder / "given")
    if table.scope:
        connection.execute(f"create temp view {table.scope} as select * from {SCOPES[table.scope]}")
    connection.execute(f"create temp table result as {table.sql}")
    assert _columns(connection, "result") == {name: meaning.type for name, meaning in table.columns.items()}
    key = ", ".join(f'"{column}"' for column in table.contract.key)
    repeated = f"select {key} from result group by {key} having count(*) > 1"
    assert connection.execute(repeated).fetchall() == [], "rows with one key"
    _compare(connection, folder)


@pytest.mark.parametrize("folder", _parameters(are_suites=True))
def test_suite_finds_broken_what_is(folder: Path, connection: duckdb.DuckDBPyConnection) -> None:
    suite = next(suite for suite in load_suites() if suite.full_name == folder.parent.name)
    _give(connection, suite, folder / "given")
    connection.execute(f"create temp table result as {suite.sql}")
    _compare(connection, folder)
    outcomes = judge_suite(connection, suite)
    broken = {rule["rule"] for outcome in outcomes for rule in outcome.rules if not rule["holds"]}
    assert broken == set((folder / "broken.txt").read_text(encoding="utf-8").split())
    for outcome in outcomes:
        assert bool(outcome.sample) == any(not rule["holds"] for rule in outcome.rules), outcome.name


def _compare(connection: duckdb.DuckDBPyConnection, folder: Path) -> None:
    compared = "result"
    if (summary := folder / "summary.sql").exists():
        compared = "summary"
        connection.execute(f"create temp table summary as {summary.read_text(encoding='utf-8')}")
    types = _columns(connection, compared)
    header = _header(folder / "expect.csv")
    assert set(header) <= set(types), "expect.csv names columns that there are not"
    _read(connection, "expected", folder / "expect.csv", {name: types[name] for name in header})
    assert _rows(connection, compared, header, types) == _rows(connection, "expected", header, types)


@pytest.mark.parametrize(
    "name",
    [each.full_name for each in (*load_catalogue().of_layer(*TESTED_LAYERS), *load_suites())],
)
def test_table_or_suite_has_a_case(name: str) -> None:
    assert any(folder.parent.name == name for folder in _folders())


def _give(connection: duckdb.DuckDBPyConnection, table: Table | WrittenSuite, given: Path) -> None:
    """Creates the inputs of a table or a suite, with the given rows."""
    is_by_day = isinstance(table, Table) and table.contract.partition
    files = {file.stem: file for file in sorted(given.glob("*.csv")) if not is_by_day or file.stem != DAYS}
    read = (*table.inputs, *(table.history if isinstance(table, Table) else ()))
    assert set(files) <= set(read), f"{table.full_name} reads none of {sorted(set(files) - set(read))}"
    for name in read:
        relation, required = f"{database_of(name)}.{name}", {}
        if fixed := {**SITE_TABLES, **LANDING_TABLES, **PUBLISHED_TABLES}.get(name):
            connection.execute(f"create table {relation} ({fixed})")
        else:
            _, _, short = name.partition(".")
            source = load_catalogue()[name if name in table.inputs else f"report.{short}"]
            connection.execute(source.ddl(relation))
            declared = source.contract.columns
            # What the view of a raw table adds to each record is never null, but for the time of collection.
            required = {
                column: meaning.type
                for column, meaning in source.columns.items()
                if (declared[column].not_null if column in declared else column != "collected_at")
            }
        if name in files:
            _insert(connection, relation, files[name], required)


def _insert(connection: duckdb.DuckDBPyConnection, relation: str, file: Path, required: dict[str, str]) -> None:
    types = _columns(connection, relation)
    header = _header(file)
    assert set(header) <= set(types), f"{file}: {relation} has no {sorted(set(header) - set(types))}"
    _read(connection, "given", file, {name: types[name] for name in header})
    values = {name: f'"{name}"' for name in header}
    for column, type_name in required.items():
        if column not in values:
            default = DEFAULTS.get(column, TYPE_DEFAULTS.get(type_name.split("(")[0]))
            assert default is not None, f"{file}: {column} has no default"
            values[column] = default
    columns = ", ".join(f'"{name}"' for name in values)
    connection.execute(f"insert into {relation} ({columns}) select {', '.join(values.values())} from given")
    connection.execute("drop table given")


def _read(connection: duckdb.DuckDBPyConnection, name: str, file: Path, types: dict[str, str]) -> None:
    columns = ", ".join(f"'{column}': '{type_name}'" for column, type_name in types.items())
    connection.execute(
        f"create temp table {name} as select * from read_csv(?, columns = {{{columns}}}, header = true, delim = ',', "
        "quote = '\"', escape = '\"', nullstr = '', allow_quoted_nulls = false, auto_detect = false)",
        [str(file)],
    )


def _rows(
    connection: duckdb.DuckDBPyConnection, relation: str, columns: list[str], types: dict[str, str]
) -> list[tuple[str | None, ...]]:
    """The rows as text, sorted; fractions to nine places."""
    texts = [
        f"cast({f'round({column}, 9)' if types[column] == 'DOUBLE' else chr(34) + column + chr(34)} as varchar)"
        for column in columns
    ]
    return connection.execute(f"select {', '.join(texts)} from {relation} order by all").fetchall()


def _columns(connection: duckdb.DuckDBPyConnection, relation: str) -> dict[str, str]:
    return {row[0]: row[1] for row in connection.execute(f"describe {relation}").fetchall()}


def _header(file: Path) -> list[str]:
    with file.open(encoding="utf-8", newline="") as stream:
        return next(csv.reader(stream))
