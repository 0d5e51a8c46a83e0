"""Comma-separated values with quoting, as people, spreadsheets and billing systems write them.

What belongs here: turning their records into the relation `delivered`, one row per record, every column as text.
"""

import csv
from collections.abc import Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import TextIO

import duckdb
import pyarrow as pa

from capacity_dagster.errors import SourceError
from capacity_dagster.site_sections import Source
from capacity_dagster.sources.bytes import Probe, refuse_lone_cr
from capacity_dagster.sources.columns import required_names, resolve_columns
from capacity_dagster.tables.catalogue import Table
from capacity_dagster.tables.quoting import file_literal, identifier, literal

BATCH = 20_000
"""How many records that Python reads are handed over at once."""


def create_delivered_csv(
    connection: duckdb.DuckDBPyConnection, table: Table, source: Source, lines: TextIO, has_comments: bool = True
) -> None:
    """Creates `delivered` from comma-separated values with quoting, as people and spreadsheets write them.

    Args:
        has_comments: lines that begin with `#` are none.

    Raises:
        SourceError: as `create_delivered`.
    """
    rows = _csv_rows(lines, source.delimiter or ",", has_comments)
    if source.columns:
        names, where = list(source.columns), "the site file's 'columns'"
    else:
        header = next(rows, None)
        if header is None:
            raise SourceError(f"has no header; expected the columns {required_names(table)}")
        names, where = [name.strip() for name in header[1]], f"line {header[0]}"
    positions = resolve_columns(table, names, where)
    batch = list(islice(rows, BATCH))
    create_delivered_rows(connection, _delivered_rows(batch, positions, len(names)))
    while batch := list(islice(rows, BATCH)):
        connection.register("given_rows", _delivered_rows(batch, positions, len(names)))
        connection.execute("insert into delivered_rows select * from given_rows")
        connection.unregister("given_rows")


def _delivered_rows(
    records: Sequence[tuple[int, list[str]]], positions: dict[str, int | None], column_count: int
) -> pa.Table:
    problems = [None if len(row) == column_count else "wrong_column_count" for _, row in records]
    arrays: dict[str, pa.Array] = {
        "source_line": pa.array([line for line, _ in records], pa.int64()),
        "record_text": pa.array([",".join(row) for _, row in records], pa.string()),
        "problem": pa.array(problems, pa.string()),
    }
    for column, position in positions.items():
        cells = [
            row[position - 1].strip() if position and problem is None else None
            for (_, row), problem in zip(records, problems, strict=True)
        ]
        arrays[column] = pa.array(cells, pa.string())
    return pa.table(arrays)


def create_delivered_well_formed_csv(
    connection: duckdb.DuckDBPyConnection, table: Table, source: Source, file: Path, found: Probe
) -> None:
    """Creates `delivered` from comma-separated values with quoting as DuckDB reads them, fast, in any size.

    Reading it raises InvalidInputException where a record is malformed. Its lines are right if no record has more than
    one, which is so if there are as many records as lines.
    """
    names = csv_header(source, found)
    positions = resolve_columns(table, names, "the site file's 'columns'" if source.columns else "line 1")
    header_lines = 0 if source.columns else 1
    fields = [f"field_{number}" for number in range(1, len(names) + 1)]
    types = ", ".join(f"'{field}': 'VARCHAR'" for field in fields)
    columns = ", ".join(
        f"{fields[position - 1] if position else 'null::varchar'} as {identifier(column)}"
        for column, position in positions.items()
    )
    connection.execute(
        f"""
        create temp view delivered as
        select
            row_number() over () + {header_lines} as source_line,
            concat_ws({literal(source.delimiter or ",")}, {", ".join(f"coalesce({field}, '')" for field in fields)})
                as record_text,
            null::varchar as problem,
            {columns}
        from read_csv(
            {file_literal(file)}, compression = '{found.compression}', auto_detect = false, header = false,
            hive_partitioning = false, skip = {header_lines}, delim = {literal(source.delimiter or ",")}, quote = '"',
            escape = '"', nullstr = '',
            allow_quoted_nulls = false, strict_mode = true, columns = {{{types}}}
        )
        """
    )


def csv_header(source: Source, found: Probe) -> list[str]:
    """The names of the columns of comma-separated values.

    Raises:
        SourceError: there is none that can be read.
    """
    if source.columns:
        return list(source.columns)
    refuse_lone_cr(found.first_line, found)
    header = next(_csv_rows(iter(found.head.splitlines(keepends=True)), source.delimiter or ",", False), (1, []))
    return [name.strip() for name in header[1]]


def create_delivered_rows(connection: duckdb.DuckDBPyConnection, rows: pa.Table) -> None:
    """Creates the view `delivered` of rows that were read already."""
    connection.register("given_rows", rows)
    connection.execute("create temp table delivered_rows as select * from given_rows")
    connection.unregister("given_rows")
    connection.execute("create temp view delivered as select * from delivered_rows")


def _csv_rows(lines: Iterator[str], delimiter: str, has_comments: bool) -> Iterator[tuple[int, list[str]]]:
    """Each row with the line on which it begins; without blank lines and comments."""
    if len(delimiter) != 1:
        raise SourceError(f"has the delimiter {delimiter!r} in the site file; expected one character")
    reader = csv.reader(lines, delimiter=delimiter)
    begins_at = 1
    try:
        for row in reader:
            if row and not (has_comments and row[0].lstrip().startswith("#")):
                yield begins_at, row
            begins_at = reader.line_num + 1
    except csv.Error as error:
        raise SourceError(f"line {begins_at} cannot be read ({error}); expected comma-separated values") from error
