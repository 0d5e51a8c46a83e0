"""Comma-separated cells that each name their column, `JobIDRaw=7,State=COMPLETED,"AllocTRES=cpu=4,gres/gpu=2"`, as
Jobanalyzer's sonar writes what sacct says.

What belongs here: recognising such a file, and turning it into the relation `delivered`. There is no header; what is
empty is absent.
"""

import csv
import re
from collections.abc import Iterator

import duckdb
import pyarrow as pa

from capacity_dagster.errors import SourceError
from capacity_dagster.tables.catalogue import Table

CELL = re.compile(r"([A-Za-z][A-Za-z0-9]*)=(.*)", re.DOTALL)
BATCH = 8192


def is_key_value(head: str, identifying: frozenset[str]) -> bool:
    """Whether each cell of the first record is `Key=value`, and one of the keys is an identifying one."""
    try:
        row = next(csv.reader(head.split("\n", 1)[:1], strict=True), [])
    except csv.Error:
        return False
    cells = [CELL.fullmatch(cell) for cell in row]
    return all(cells) and any(cell[1] in identifying for cell in cells if cell)


def create_delivered_key_value(
    connection: duckdb.DuckDBPyConnection, table: Table, text: str, is_terminated: bool
) -> None:
    """Creates `delivered` of clean text; see `create_delivered` of delimited text for its columns.

    Problems: `not_key_value` (a cell names no column), `repeated_key`, and `truncated_record` for a last record that
    no line break ends: what is absent there may have been cut off.

    Raises:
        SourceError: the quoting is broken.
    """
    delivered = table.contract.delivered
    columns = list(dict.fromkeys(each.column for each in delivered.values()))
    # Where a record has a name and an alias of it, the name counts.
    places = {
        name.lower(): (order, each.column)
        for order, names in enumerate(
            [[(key, each) for key, each in delivered.items()]]
            + [[(alias, each) for each in delivered.values() for alias in each.aliases]]
        )
        for name, each in names
    }
    schema = pa.schema(
        [
            ("source_line", pa.int64()),
            ("record_text", pa.string()),
            ("problem", pa.string()),
            *((name, pa.string()) for name in columns),
        ]
    )
    rows = list(_rows(text))
    if not is_terminated and rows:
        rows[-1] = (rows[-1][0], rows[-1][1], "truncated_record")
    batches = []
    for first in range(0, len(rows), BATCH):
        records = []
        for line, cells, problem in rows[first : first + BATCH]:
            values: dict[str, str] = {}
            found: dict[str, int] = {}
            seen: set[str] = set()
            for cell in cells:
                match = CELL.fullmatch(cell)
                if match is None:
                    problem = problem or ("not_key_value" if cell.strip() else None)
                    continue
                key = match[1].lower()
                if key in seen:
                    problem = problem or "repeated_key"
                seen.add(key)
                if key in places:
                    order, column = places[key]
                    if order <= found.get(column, order):
                        values[column], found[column] = match[2], order
            records.append({**values, "source_line": line, "record_text": ",".join(cells), "problem": problem})
        batches.append(pa.RecordBatch.from_pylist(records, schema=schema))
    connection.register("delivered_key_value", pa.Table.from_batches(batches, schema=schema))
    connection.execute("create or replace temp table delivered as select * from delivered_key_value")
    connection.unregister("delivered_key_value")


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
