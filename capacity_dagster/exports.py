"""Files for other tools: a table once more under the names of a standard, as CSV and Parquet, one of each a month.

What belongs here: writing them. What does not: what is in them, which is the table's SQL; versions (`publish`).
"""

import gzip
import hashlib
import io
from collections.abc import Iterator
from datetime import date
from pathlib import Path

from capacity_dagster.tables.catalogue import Table
from capacity_dagster.tables.quoting import identifier, literal
from capacity_dagster.warehouse import Warehouse

FORMULA = "^[=+@\\t\\r-]"
"""How a text begins that a spreadsheet would compute."""


def exported_months(warehouse: Warehouse, table: Table, relation: str) -> dict[date, int]:
    """The months that a table has rows of for other tools, with their numbers."""
    by = identifier(table.contract.exported_by or "")
    return dict(warehouse.rows(f"select {by}, count(*) from {relation} group by 1 order by 1"))


def export_month(
    warehouse: Warehouse, table: Table, relation: str, month: date, folder: Path
) -> Iterator[tuple[str, str]]:
    """Writes the files of a month, and tells the name and the sha256 of each."""
    import pyarrow.csv as csv
    import pyarrow.parquet as pq

    contract = table.contract
    rows = (
        f"from {relation} where {identifier(contract.exported_by or '')} = date {literal(month)} "
        f"order by {', '.join(map(identifier, contract.key))}"
    )
    typed = ", ".join(f"{_typed(table, column)} as {identifier(name)}" for name, column in contract.exported_as.items())
    written = ", ".join(
        f"{_text(table, column)} as {identifier(name)}" for name, column in contract.exported_as.items()
    )
    parquet, text = io.BytesIO(), io.BytesIO()
    pq.write_table(
        warehouse.connection.sql(f"select {typed} {rows}").to_arrow_table(),
        parquet,
        compression="zstd",
        store_schema=False,
    )
    csv.write_csv(warehouse.connection.sql(f"select {written} {rows}").to_arrow_table(), text)
    contents = {
        f"{month:%Y-%m}.parquet": parquet.getvalue(),
        f"{month:%Y-%m}.csv.gz": gzip.compress(text.getvalue(), compresslevel=6, mtime=0),
    }
    for name, content in contents.items():
        (folder / name).write_bytes(content)
        yield name, hashlib.sha256(content).hexdigest()


def _typed(table: Table, column: str) -> str:
    """A column as Parquet has it: instants in UTC."""
    name = identifier(column)
    return f"timezone('UTC', {name})" if table.columns[column].type == "TIMESTAMP" else name


def _text(table: Table, column: str) -> str:
    """A column as CSV has it; a text that a spreadsheet would compute begins with an apostrophe instead."""
    name = identifier(column)
    match table.columns[column].type:
        case "TIMESTAMP":
            return f"strftime({name}, '%Y-%m-%dT%H:%M:%SZ')"
        case "VARCHAR":
            return f"case when regexp_matches({name}, {literal(FORMULA)}) then '''' || {name} else {name} end"
        case _:
            return f"cast({name} as varchar)"
