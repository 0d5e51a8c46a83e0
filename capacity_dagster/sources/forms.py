"""A delivered file, in whatever form it has, as the relation `delivered`: one row per record, every column as text.

What belongs here: telling a file's form, and the forms that need few lines. What does not: typing its records.
"""

import io
import re
from pathlib import Path
from typing import Any

import duckdb

from capacity_dagster.errors import SourceError
from capacity_dagster.sources import bytes as file_bytes
from capacity_dagster.sources.answers import ANSWERS, create_records
from capacity_dagster.sources.columns import resolve_columns, unused_columns
from capacity_dagster.sources.delimited import create_delivered, create_lines
from capacity_dagster.sources.key_value import create_delivered_key_value, is_key_value
from capacity_dagster.sources.landing import Delivery
from capacity_dagster.sources.quoted import create_delivered_csv, csv_header
from capacity_dagster.tables.catalogue import Table
from capacity_dagster.tables.quoting import identifier, parquet

SPREADSHEETS = frozenset(
    {"inventory", "org_mapping", "entitlements", "purchase_lots", "flat_costs", "power_rates", "exchange_rates"}
)
"""Kinds that people keep as CSV with quoting, or as Parquet."""

BILLS = frozenset({"focus_charges"})
"""Kinds that billing systems write as CSV with quoting or as Parquet, large, and in UTC."""

REPORTS = {
    "slurm_account_usage": "sreport -P -t seconds cluster AccountUtilizationByUser",
    "slurm_cluster_usage": "sreport -P -t seconds cluster Utilization",
}
"""Kinds that sreport prints, below a title that holds their window; and the command."""

KEY_VALUE_KEYS = {"slurm_jobs": frozenset({"JobIDRaw", "JobID"})}
"""The kinds whose records may be cells `Key=value`, and the keys of which the first record must have one."""

REPORT_TITLE = re.compile(r"Utilization (\S+) - (\S+?)(?: \(\d+ secs\))?$")
REPORT_UNIT = re.compile(r"reported in (?:\S+ )?Seconds$")


def resolve_bill(
    connection: duckdb.DuckDBPyConnection,
    table: Table,
    delivery: Delivery,
    found: file_bytes.Probe,
    parameters: dict[str, Any],
) -> None:
    """Tells the query which of FOCUS's columns a bill has not, and which it has that are none."""
    if found.form == "parquet":
        names = list(_parquet_columns(connection, delivery.file))
    else:
        names = csv_header(delivery.source, found)
    positions = resolve_columns(table, names, "its header")
    delivered = table.contract.delivered
    parameters["absent_columns"] = [name for name, each in delivered.items() if positions[each.column] is None]
    parameters["unknown_columns"] = unused_columns(table, names)


def deliver(
    connection: duckdb.DuckDBPyConnection,
    table: Table,
    delivery: Delivery,
    found: file_bytes.Probe,
    scratch: Path,
    parameters: dict[str, Any],
) -> None:
    """Creates the relation `delivered` from whatever form the file has.

    Args:
        scratch: a folder for copies, which must last as long as the relation.
        parameters: of the table's query; what the file says of itself is put into them.

    Raises:
        SourceError: the file is of no form that this kind has.
    """
    file = delivery.file
    if found.form == "parquet":
        _deliver_parquet(connection, table, file)
        return
    if found.form == "json":
        file_bytes.refuse_much(found)
        _deliver_json(connection, table, file)
        return
    if table.name in SPREADSHEETS or table.name in BILLS:
        with file_bytes.opened(file) as stream:
            lines = io.TextIOWrapper(stream, encoding="utf-8-sig", errors="backslashreplace", newline="")
            has_comments = table.name in SPREADSHEETS
            create_delivered_csv(connection, table, delivery.source, lines, has_comments)
        return
    file, found = cleaned(file, found, scratch)
    if not delivery.source.columns and is_key_value(found.head, KEY_VALUE_KEYS.get(table.name, frozenset())):
        file_bytes.refuse_much(found)
        with file_bytes.opened(file) as stream:
            text = stream.read().decode("utf-8")
        create_delivered_key_value(connection, table, text, found.is_terminated)
        return
    if command := REPORTS.get(table.name):
        file, found = _without_title(file, found, command, scratch, parameters)
    if "scontrol" in table.formats:
        create_lines(connection, file, found)
        if not re.search(r"(^|\n)NodeName=", found.head):
            line = repr(found.head.splitlines()[0][:80])
            raise SourceError(
                f"line 1 is {line}; expected the text of `scontrol show node` or the JSON of `sinfo --json`", line
            )
        connection.execute(f"create temp view delivered as {table.formats['scontrol']}")
        return
    create_delivered(connection, table, delivery.source, file, found)


def _deliver_json(connection: duckdb.DuckDBPyConnection, table: Table, file: Path) -> None:
    if table.name not in ANSWERS:
        raise SourceError(f"is JSON; expected {table.name} as delimited text")
    with file_bytes.opened(file) as stream:
        create_records(connection, table.name, stream)
    connection.execute(f"create temp view delivered as {table.formats['json']}")


def _deliver_parquet(connection: duckdb.DuckDBPyConnection, table: Table, file: Path) -> None:
    source = parquet([file], ", file_row_number = true")
    types = _parquet_columns(connection, file)
    names = list(types)
    positions = resolve_columns(table, names, "its schema")
    columns = ", ".join(
        f"{_as_text(names[position - 1], types[names[position - 1]])} as {identifier(column)}"
        if position
        else f"null::varchar as {identifier(column)}"
        for column, position in positions.items()
    )
    connection.execute(
        "create temp view delivered as select file_row_number + 1 as source_line, "
        "to_json(given_row)::varchar as record_text, null::varchar as problem, "
        f"{columns} from {source} as given_row"
    )


def _without_title(
    file: Path, found: file_bytes.Probe, command: str, scratch: Path, parameters: dict[str, Any]
) -> tuple[Path, file_bytes.Probe]:
    """sreport writes a title before its header: takes the window from it, and blanks it so that line numbers hold."""
    file_bytes.refuse_much(found)
    with file_bytes.opened(file) as stream:
        lines = stream.read().decode("utf-8").split("\n")
    header = next((number for number, line in enumerate(lines) if "|" in line), None)
    titles = [line.rstrip() for line in lines[: header or 0]]
    title = next((match for line in titles if (match := REPORT_TITLE.search(line))), None)
    if header is None or title is None:
        raise SourceError(f"has no title with a window above a header; expected what `{command}` prints")
    if not any(REPORT_UNIT.search(line) for line in titles):
        said = next((line for line in titles if " reported in " in line), None)
        shown = repr(said) if said else ""
        raise SourceError(f"is not in seconds{shown and f' ({shown})'}; expected `sreport -t seconds`", shown)
    parameters["window_start"], parameters["window_end"] = title.group(1), title.group(2)
    body = scratch / "body.psv"
    body.write_text("\n".join([lines[header], *[""] * header, *lines[header + 1 :]]), encoding="utf-8")
    return body, file_bytes.probe(body)


def cleaned(file: Path, found: file_bytes.Probe, scratch: Path) -> tuple[Path, file_bytes.Probe]:
    """The file itself, or a copy of it that can be read line by line."""
    if not found.needs_cleaning:
        return file, found
    clean = scratch / "clean.txt"
    file_bytes.write_clean(file, clean)
    return clean, file_bytes.probe(clean)


def _parquet_columns(connection: duckdb.DuckDBPyConnection, file: Path) -> dict[str, str]:
    """The columns of a Parquet file with their types, in order."""
    rows = connection.execute(f"describe select * from {parquet([file])}").fetchall()
    return {row[0]: row[1] for row in rows}


def _as_text(name: str, kind: str) -> str:
    """A Parquet column as the text that a delivery in text would have; what holds more than one value is JSON."""
    if kind.startswith(("MAP", "STRUCT")) or kind.endswith("[]"):
        return f"to_json({identifier(name)})::varchar"
    if kind == "TIMESTAMP WITH TIME ZONE":
        return f"replace(cast(timezone('UTC', {identifier(name)}) as varchar), ' ', 'T') || 'Z'"
    return f"cast({identifier(name)} as varchar)"
