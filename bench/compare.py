"""Compares two published folders table by table: do they say the same?

`python bench/compare.py ONE_FOLDER OTHER_FOLDER [TABLE ...]` tells each table's difference, with samples, and exits
with 1 where there is any. Rows are compared whole and in any order; integers, money, texts and instants exactly,
doubles relative to their size. A folder holds what the product publishes: `parquet/<schema>/<table>/*.parquet`, or, for
another contender, the same layout or a `capacity.duckdb` alone.
"""

import argparse
import json
import sys
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import duckdb

SAMPLES = 3
TOLD_OF_NUMBERS = frozenset({"trust", "rejected_currency"})
TABLES_OF_TRUST = frozenset({"report.trust_daily"})
"""Columns and tables in which the product says what its numbers are worth; no other contender does."""


@dataclass
class Difference:
    """How one table differs.

    Attributes:
        rows: (of one, of the other).
        only: (rows that only one has, rows that only the other has), not counting doubles.
        doubles: rows in which doubles differ, all else being equal.
        sums: columns of which the sums differ, with both sums.
        samples: rows that only one of them has, as text.
        problem: why nothing could be compared.
    """

    table: str
    rows: tuple[int, int] = (0, 0)
    only: tuple[int, int] = (0, 0)
    doubles: int = 0
    sums: dict[str, tuple[Any, Any]] = field(default_factory=dict)
    samples: list[str] = field(default_factory=list)
    problem: str = ""

    @property
    def is_none(self) -> bool:
        return not (self.problem or any(self.only) or self.doubles or self.sums or self.rows[0] != self.rows[1])

    def __str__(self) -> str:
        if self.problem:
            return f"{self.table}: {self.problem}"
        if self.is_none:
            return f"{self.table}: equal, {self.rows[0]:,} rows"
        told = [
            f"{self.table}: {self.rows[0]:,} rows against {self.rows[1]:,}; {self.only[0]:,} only in the first, "
            f"{self.only[1]:,} only in the second; doubles differ in {self.doubles:,}"
        ]
        told += [f"    sum({column}): {one} against {other}" for column, (one, other) in self.sums.items()]
        return "\n".join(told + [f"    {sample}" for sample in self.samples])


def compare(one: Path, other: Path, tables: Iterable[str] = (), tolerance: float = 1e-9) -> list[Difference]:
    """How the tables of two published folders differ, by name.

    Args:
        tables: names such as `report.queue_daily`; without any, all that either folder has.
        tolerance: by how much doubles may differ, relative to the larger.
    """
    connection = duckdb.connect(":memory:")
    connection.execute("set TimeZone = 'UTC'")
    found = [_relations(connection, folder, name) for folder, name in ((one, "one"), (other, "other"))]
    names = sorted(tables) or sorted((found[0].keys() | found[1].keys()) - TABLES_OF_TRUST)
    return [_difference(connection, name, found[0].get(name), found[1].get(name), tolerance) for name in names]


def _relations(connection: duckdb.DuckDBPyConnection, folder: Path, name: str) -> dict[str, str]:
    """What to select from for each table: its Parquet files, else the table of the database."""
    relations = {}
    database = folder / "capacity.duckdb"
    if database.exists():
        connection.execute(f"attach '{database}' as {name} (read_only)")
        for schema, table in connection.execute(
            f"select schema_name, table_name from duckdb_tables() where database_name = '{name}'"
        ).fetchall():
            relations[f"{schema}.{table}"] = f"{name}.{schema}.{table}"
    for parquet in sorted((folder / "parquet").glob("*/*")):
        table = f"{parquet.parent.name}.{parquet.name}"
        if table not in relations and any(parquet.glob("*.parquet")):
            relations[table] = f"read_parquet('{parquet}/*.parquet')"
    return relations


def _difference(
    connection: duckdb.DuckDBPyConnection, table: str, one: str | None, other: str | None, tolerance: float
) -> Difference:
    if one is None or other is None:
        there = one or other
        if there and connection.execute(f"select count(*) from {there}").fetchall() == [(0,)]:
            return Difference(table)  # that it has no rows may be said by not writing it
        return Difference(table, problem=f"is missing in the {'first' if one is None else 'second'}")
    columns, others = (
        {name: kind for name, kind in _columns(connection, relation).items() if name not in TOLD_OF_NUMBERS}
        for relation in (one, other)
    )
    if columns != others:
        names = sorted(name for name in columns.keys() | others.keys() if columns.get(name) != others.get(name))
        told = ", ".join(f"{name} {columns.get(name)} against {others.get(name)}" for name in names)
        return Difference(table, problem=f"has other columns: {told}")
    doubles = [name for name, kind in columns.items() if kind == "DOUBLE"]
    exact = [f'"{name}"' for name, kind in columns.items() if kind != "DOUBLE"]
    summed = [f'"{name}"' for name, kind in columns.items() if kind == "BIGINT" or kind.startswith("DECIMAL")]
    mine, theirs = (_summary(connection, relation, exact, summed) for relation in (one, other))
    found = Difference(table, rows=(mine[0], theirs[0]))
    found.sums = {
        name: (ours, others) for name, ours, others in zip(summed, mine[2:], theirs[2:], strict=True) if ours != others
    }
    # Sums of the rows' hashes: a large table that is equal need not be sorted out row by row.
    if mine[:2] != theirs[:2]:
        listed = ", ".join(exact)
        counts = []
        for place, first, second in (("first", one, other), ("second", other, one)):
            query = f"select {listed} from {first} except all select {listed} from {second}"
            counts.append(connection.execute(f"select count(*) from ({query})").fetchall()[0][0])
            for row in connection.execute(f"from ({query}) limit {SAMPLES}").fetchall() if counts[-1] else []:
                found.samples.append(f"only in the {place}: {', '.join(map(str, row))}")
        found.only = (counts[0], counts[1])
    if doubles and not any(found.only):
        found.doubles = _different_doubles(connection, one, other, exact, doubles, tolerance)
    return found


def _summary(
    connection: duckdb.DuckDBPyConnection, relation: str, exact: list[str], summed: list[str]
) -> tuple[Any, ...]:
    """Row count, a sum of the rows' hashes, and the sums of integers and money."""
    sums = "".join(f", sum({name})" for name in summed)
    return connection.execute(
        f"select count(*), sum(cast(hash({', '.join(exact)}) as hugeint)){sums} from {relation}"
    ).fetchall()[0]


def _different_doubles(
    connection: duckdb.DuckDBPyConnection, one: str, other: str, exact: list[str], doubles: list[str], tolerance: float
) -> int:
    """Rows in which doubles differ, of relations that are equal but for these; of equal rows the nth with the nth."""
    differs = " or ".join(
        f'(one."{name}" is null) <> (other."{name}" is null) '
        f'or abs(one."{name}" - other."{name}") > {tolerance} * greatest(abs(one."{name}"), abs(other."{name}"))'
        for name in doubles
    )
    order = ", ".join(f'"{name}"' for name in doubles)
    listed = ", ".join(exact)
    numbered = f"select *, row_number() over (partition by {listed} order by {order}) as copy from"
    equal = " and ".join(f"one.{name} is not distinct from other.{name}" for name in [*exact, "copy"])
    return connection.execute(
        f"select count(*) from ({numbered} {one}) as one inner join ({numbered} {other}) as other on {equal} "
        f"where {differs}"
    ).fetchall()[0][0]


def _columns(connection: duckdb.DuckDBPyConnection, relation: str) -> dict[str, str]:
    return {row[0]: row[1] for row in connection.execute(f"describe select * from {relation}").fetchall()}


def main() -> int:
    """Compares what the command line names; the exit code says whether it is equal."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("one", type=Path)
    parser.add_argument("other", type=Path)
    parser.add_argument("tables", nargs="*", help="such as report.queue_daily; all without any")
    parser.add_argument(
        "--json", action="store_true", help="tell it as JSON: the difference by table, empty where equal"
    )
    given = parser.parse_args()
    differences = compare(given.one, given.other, given.tables)
    if given.json:
        print(json.dumps({each.table: "" if each.is_none else str(each) for each in differences}))
    else:
        for difference in differences:
            print(difference)
    return 0 if all(difference.is_none for difference in differences) else 1


if __name__ == "__main__":
    sys.exit(main())
