"""Comma-separated cells that each name their column, `JobIDRaw=7,State=COMPLETED,"AllocTRES=cpu=4,gres/gpu=2"`, as
Jobanalyzer's sonar writes what sacct says.

What belongs here: recognising such a file, and turning it into the relation `delivered`. There is no header; what is
empty is absent.
"""

import csv
import io
from collections.abc import Iterator

import duckdb
import pyarrow as pa

from capacity_dagster.errors import SourceError
from capacity_dagster.sources.quoted import create_delivered_rows
from capacity_dagster.tables.catalogue import Table

BATCH = 8192


def is_key_value(head: str, identifying: frozenset[str]) -> bool:
    """Whether each cell of the first record is `Key=value`, and one of the keys is an identifying one."""
    try:
        row = next(csv.reader(io.StringIO(head, newline=""), strict=True), [])
    except csv.Error:
        return False
    names = [cell.partition("=")[0] for cell in row if "=" in cell]
    return len(names) == len(row) and all(map(str.isalnum, names)) and not identifying.isdisjoint(names)


def create_delivered_key_value(
    connection: duckdb.DuckDBPyConnection, table: Table, text: str, is_terminated: bool
) -> None:
    """Creates `delivered` of clean text; see `create_delivered` of delimited text for its columns.

    Problems: `not_key_value` (a cell names no column), `repeated_key`, and `truncated_record` for a last record that
    no line break ends: what is absent there may have been cut off.

    Raises:
        SourceError: the quoting is broken.
    """
    columns = list(dict.fromkeys(each.column for each in table.contract.delivered.values()))
    schema = pa.schema(
        [("source_line", pa.int64()), *((name, pa.string()) for name in ("record_text", "problem", *columns))]
    )
    places = _places(table)
    rows = list(_rows(text))
    if rows and not is_terminated:
        line, cells, _ = rows[-1]
        rows[-1] = (line, cells, "truncated_record")
    batches = []
    for first in range(0, len(rows), BATCH):
        records = []
        for line, cells, problem in rows[first : first + BATCH]:
            values, broken = _values(cells, places)
            records.append(
                {**values, "source_line": line, "record_text": ",".join(cells), "problem": problem or broken}
            )
        batches.append(pa.RecordBatch.from_pylist(records, schema=schema))
    create_delivered_rows(connection, pa.Table.from_batches(batches, schema=schema))


def _places(table: Table) -> dict[str, tuple[str, int]]:
    """For each key in lower case its column, and its rank among the names of that column: the smallest one counts."""
    return {
        name.lower(): (each.column, rank)
        for key, each in reversed(table.contract.delivered.items())
        for rank, name in enumerate((key, *each.aliases))
    }


def _values(cells: list[str], places: dict[str, tuple[str, int]]) -> tuple[dict[str, str], str | None]:
    """A record's values by column, and what is wrong with its cells; an empty cell is nothing."""
    values: dict[str, str] = {}
    ranks: dict[str, int] = {}
    seen: set[str] = set()
    problem = None
    for cell in cells:
        name, equals, value = cell.partition("=")
        if not equals or not name.isalnum():
            problem = problem or ("not_key_value" if cell.strip() else None)
            continue
        key = name.lower()
        if key in seen:
            problem = problem or "repeated_key"
        seen.add(key)
        column, rank = places.get(key, ("", 0))
        if column and rank <= ranks.get(column, rank):
            values[column], ranks[column] = value, rank
    return values, problem


def _rows(text: str) -> Iterator[tuple[int, list[str], str | None]]:
    """Each record with the line on which it begins, its cells, and what is wrong with it as a whole."""
    lines = text.split("\n")
    reader = csv.reader((f"{line}\n" for line in lines), strict=True)
    begins_at = 1
    try:
        for row in reader:
            if row:
                yield begins_at, row, None
            begins_at = reader.line_num + 1
    except csv.Error as error:
        rest = lines[begins_at - 1 :]
        if len(rest) == 1:  # the file ends inside a quoted cell
            yield begins_at, rest, "truncated_record"
            return
        raise SourceError(
            f"line {begins_at} cannot be read ({error}); expected comma-separated cells `Key=value`, in double quotes "
            "where a value has a comma"
        ) from error
