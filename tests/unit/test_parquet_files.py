"""Published Parquet: which files there are, and that their bytes depend on their rows alone."""

from collections.abc import Callable, Iterator
from datetime import date, datetime, timedelta
from pathlib import Path
from typing import Any

import duckdb
import pyarrow.parquet as pq
import pytest

from capacity_dagster import parquet_files
from capacity_dagster.parquet_files import planned_files, write_files
from capacity_dagster.site_file import Site
from capacity_dagster.tables.catalogue import Table
from capacity_dagster.tables.contract import Column, Contract
from capacity_dagster.warehouse import Warehouse

Row = tuple[Any, ...]

SITE = """
[site]
name = "unit"
first_day = 2026-01-01

[clusters.alpha]
time_zone = "UTC"

[[sources]]
kind = "inventory"
files = "inventory.csv"
"""
TYPES = {
    "usage_date": "DATE",
    "hour_at": "TIMESTAMP",
    "attempt_id": "VARCHAR",
    "node": "VARCHAR",
    "reason": "VARCHAR",
    "comment": "VARCHAR",
    "units": "BIGINT",
    "wait_seconds": "BIGINT",
    "cost": "DECIMAL(38,6)",
    "is_open": "BOOLEAN",
}
KEY = ("usage_date", "is_open", "node", "hour_at", "attempt_id")


def a_table(**contract: Any) -> Table:
    columns = {name: "not_null" if name in KEY else None for name in TYPES}
    return Table(
        "mart",
        "held",
        Path("held"),
        "",
        Contract(description="One row per test.", key=KEY, columns=columns, **contract),  # type: ignore[arg-type]
        {name: Column(type=type_, description="…") for name, type_ in TYPES.items()},
        (),
    )


BY_DAY = a_table(partition="usage_date")


def some_rows(days: int = 40, a_day: int = 30) -> list[Row]:
    """Rows of some days; each has another attempt, `comment` is always null, and `reason` and `units` sometimes are."""
    return [
        (
            date(2026, 1, 1) + timedelta(days=day),
            datetime(2026, 1, 1) + timedelta(days=day, hours=n % 24),
            f"alpha/{7919 * (day * a_day + n) % 100_003}",
            f"nöde{n % 7}",
            None if n % 5 == 0 else f"reason{n % 3}",
            None,
            None if n % 11 == 0 else n * 84_000,
            n % 4,
            n * 10**20,
            n % 2 == 0,
        )
        for day in range(days)
        for n in range(a_day)
    ]


@pytest.fixture
def filled(tmp_path: Path, make_site: Callable[..., Site]) -> Callable[..., Iterator[Warehouse]]:
    """filled(rows, threads=None): an open warehouse with the table of the tests, and rows inserted one by one batch."""
    opened: list[Any] = []

    def fill(rows: list[Row], threads: int | None = None, batch: int = 1_000_000, table: Table = BY_DAY) -> Warehouse:
        toml = SITE + (f"[resources]\nthreads = {threads}\n" if threads else "")
        warehouse = Warehouse(make_site(toml, folder=f"site{len(opened)}"))
        writing = warehouse.write("a test")
        opened.append((writing, writing.__enter__()))
        warehouse.connection.execute(table.ddl(table.relation))
        for first in range(0, len(rows), batch):
            insert(warehouse, rows[first : first + batch])
        return warehouse

    yield fill
    for writing, _ in opened:
        writing.__exit__(None, None, None)


def insert(warehouse: Warehouse, rows: list[Row]) -> None:
    values = ", ".join("(" + ", ".join("?" * len(TYPES)) + ")" for _ in rows)
    if rows:
        warehouse.connection.execute(
            f"insert into {BY_DAY.relation} values {values}", [each for row in rows for each in row]
        )


def written(warehouse: Warehouse, folder: Path, table: Table = BY_DAY) -> dict[str, str]:
    """Each file's sha256, by name; the files are in the folder."""
    folder.mkdir(exist_ok=True)
    return {
        file.name: sha256
        for file, sha256 in write_files(
            warehouse, table, table.relation, planned_files(warehouse, table, table.relation), folder
        )
    }


@pytest.fixture
def files_of_days(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(parquet_files, "MONTH_VALUES", 30 * 30 * len(TYPES))


def test_months_that_are_large_have_a_file_a_day(filled, files_of_days: None) -> None:
    warehouse = filled(some_rows())
    found = planned_files(warehouse, BY_DAY, BY_DAY.relation)
    assert [file.name for file in found] == [
        *(f"2026-01-{day:02d}.parquet" for day in range(1, 32)),
        "2026-02.parquet",
    ]
    assert [file.rows for file in found] == [*[30] * 31, 9 * 30]


@pytest.mark.parametrize(
    ("contract", "names"),
    [
        ({}, ["held.parquet"]),
        ({"partition": "usage_date"}, ["2026-01.parquet", "2026-02.parquet"]),
        ({"filed_by": "hour_at"}, ["2026-01.parquet", "2026-02.parquet"]),
    ],
)
@pytest.mark.parametrize("batch_values", [1, 10**6])
def test_each_row_is_in_its_file_once_and_sorted(
    filled, tmp_path: Path, contract: dict[str, str], names: list[str], batch_values: int, monkeypatch
) -> None:
    monkeypatch.setattr(parquet_files, "BATCH_VALUES", batch_values)
    rows = some_rows()
    table = a_table(**contract)
    warehouse = filled(rows, table=table)
    assert sorted(written(warehouse, tmp_path / "files", table)) == names
    found: list[Row] = []
    for name in names:
        of_file = duckdb.sql(f"from '{tmp_path}/files/{name}'").fetchall()
        key = [tuple(row[list(TYPES).index(column)] for column in KEY) for row in of_file]
        assert key == sorted(key)
        assert name == "held.parquet" or {f"{row[0]:%Y-%m}.parquet" for row in of_file} == {name}
        found += of_file
    assert sorted(found, key=str) == sorted(rows, key=str)
    told = duckdb.sql(f"describe from '{tmp_path}/files/{names[0]}'").fetchall()
    assert {row[0]: row[1] for row in told} == TYPES


def test_an_empty_table_has_one_empty_file(filled, tmp_path: Path) -> None:
    assert list(written(filled([]), tmp_path / "by_day")) == ["held.parquet"]
    whole = a_table()
    warehouse = filled([], table=whole)
    assert list(written(warehouse, tmp_path / "whole", whole)) == ["held.parquet"]
    for folder in ("by_day", "whole"):
        assert pq.read_table(tmp_path / folder / "held.parquet").num_rows == 0


@pytest.mark.parametrize("threads", [1, 2, 4])
def test_equal_rows_give_equal_bytes_whatever_their_history(
    filled, tmp_path: Path, threads: int, files_of_days: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = some_rows()
    plain = filled(rows, threads=2)
    expected = written(plain, tmp_path / "plain")

    # Some rows had other values, or nulls where there are none now, or were deleted and came again; in many pieces,
    # backwards, written to the disk in between.
    otherwise = filled([], threads)
    for number, end in enumerate(range(len(rows), 0, -170)):
        piece = rows[max(end - 170, 0) : end]
        other = [(*row[:4], f"other{number}", "a comment", None, 2**40, row[8], row[9]) for row in piece]
        insert(otherwise, other)
        otherwise.connection.execute("checkpoint capacity")
        if number % 2:
            otherwise.connection.execute(
                f"delete from {BY_DAY.relation} where comment is not null and attempt_id in (select unnest(?))",
                [[row[2] for row in piece]],
            )
            insert(otherwise, piece)
        else:
            for row in piece:
                otherwise.connection.execute(
                    f"update {BY_DAY.relation} set reason = ?, comment = ?, units = ?, wait_seconds = ? "
                    "where attempt_id = ?",
                    [*row[4:8], row[2]],
                )
    otherwise.connection.execute("checkpoint capacity")
    monkeypatch.setattr(parquet_files, "BATCH_VALUES", 700 * len(TYPES))
    assert written(otherwise, tmp_path / "otherwise") == expected


def test_text_that_repeats_is_stored_once(filled, tmp_path: Path) -> None:
    written(filled(some_rows()), tmp_path / "files")
    group = pq.ParquetFile(tmp_path / "files" / "2026-01.parquet").metadata.row_group(0)
    columns = {group.column(n).path_in_schema: group.column(n) for n in range(group.num_columns)}
    assert {name for name in TYPES if columns[name].has_dictionary_page} == {
        name for name in TYPES if name not in ("attempt_id", "usage_date", "hour_at", "is_open")
    }
    assert columns["usage_date"].statistics.max == date(2026, 1, 31)


def test_what_tells_files_apart_is_never_null() -> None:
    with pytest.raises(ValueError, match="wait_seconds tells which file a row is published in: it must be not_null"):
        a_table(filed_by="wait_seconds")
