"""Delimited text as accounting tools write it: a header or configured columns, nothing escaped.

What belongs here: turning physical lines into the relation `delivered`, one row per record, every column as text.
"""

import csv
import io
import re
from collections.abc import Sequence
from pathlib import Path

import duckdb
import pyarrow as pa

from capacity_dagster.errors import SourceError
from capacity_dagster.site_file import Source
from capacity_dagster.sources.bytes import SEPARATOR, Probe
from capacity_dagster.tables.catalogue import Table, assets_folder
from capacity_dagster.tables.quoting import literal


def create_lines(connection: duckdb.DuckDBPyConnection, file: Path, found: Probe) -> None:
    """Creates the temporary view `lines`: a clean text file's physical lines with their numbers, from 1."""
    connection.execute(
        "create or replace temp view lines as select row_number() over () as source_line, text from read_csv("
        f"{literal(file)}, columns = {{'text': 'VARCHAR'}}, delim = '{SEPARATOR}', quote = '', escape = '', "
        f"header = false, auto_detect = false, max_line_size = 33554432, compression = '{found.compression}')"
    )


def create_delivered(
    connection: duckdb.DuckDBPyConnection, table: Table, source: Source, file: Path, found: Probe
) -> None:
    """Creates the temporary relation `delivered` of a text file without quoting.

    Its columns: `source_line` (of the record's first line), `record_text`, `problem` (null: it has the right number of
    columns) and each column of the contract's `delivered` as text, null where the file does not have it.

    Raises:
        SourceError: a required column is missing, or a column is named twice.
    """
    header = None if source.columns else _first_line(found)
    delimiter = source.delimiter or (_sniffed(header, table) if header is not None else "|")
    names = list(source.columns) if header is None and source.columns else _split(header or "", delimiter)
    if source.columns:
        positions = resolve_columns(table, names, "the site file's 'columns'")
    else:
        positions = resolve_columns(table, names, "line 1", may_repeat=True)
    free_text = _absorbing_column(table, names)
    create_lines(connection, file, found)
    (last_line,) = connection.execute("select coalesce(max(source_line), 0) from lines").fetchall()[0]
    parameters = {
        "delimiter": delimiter,
        "header_lines": 0 if source.columns else 1,
        "record_delimiters": max(len(names) - 1, 1),
    }
    _create(connection, "short_lines", parameters)
    _assemble(connection, parameters, last_line, found.is_terminated, free_text == len(names))
    _project(connection, positions, len(names), free_text, parameters)


def create_delivered_csv(connection: duckdb.DuckDBPyConnection, table: Table, source: Source, text: str) -> None:
    """Creates `delivered` from comma-separated values with quoting, as people and spreadsheets write them.

    Raises:
        SourceError: as `create_delivered`.
    """
    rows = _csv_rows(text, source.delimiter or ",")
    if not rows:
        raise SourceError(f"has no header; expected the columns {_expected(table)}")
    names = list(source.columns) if source.columns else [name.strip() for name in rows[0][1]]
    positions = resolve_columns(table, names, "the site file's 'columns'" if source.columns else f"line {rows[0][0]}")
    records = rows if source.columns else rows[1:]
    problems = [None if len(row) == len(names) else "wrong_column_count" for _, row in records]
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
    connection.register("delivered_csv", pa.table(arrays))
    connection.execute("create or replace temp table delivered as select * from delivered_csv")
    connection.unregister("delivered_csv")


def _csv_rows(text: str, delimiter: str) -> list[tuple[int, list[str]]]:
    """Each row with the line on which it begins; without blank lines and comments."""
    if len(delimiter) != 1:
        raise SourceError(f"has the delimiter {delimiter!r} in the site file; expected one character")
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter)
    rows: list[tuple[int, list[str]]] = []
    begins_at = 1
    try:
        for row in reader:
            if row and not row[0].lstrip().startswith("#"):
                rows.append((begins_at, row))
            begins_at = reader.line_num + 1
    except csv.Error as error:
        raise SourceError(f"line {begins_at} cannot be read ({error}); expected comma-separated values") from error
    return rows


def resolve_columns(table: Table, names: Sequence[str], where: str, may_repeat: bool = False) -> dict[str, int | None]:
    """The position (from 1) of each delivered column among a file's column names, by name or alias, whatever the case.

    Args:
        may_repeat: a column may be there twice, as `sacct -o ALL,End` writes it: with the same values.

    Raises:
        SourceError: a required column is missing, or a column is named twice.
    """
    spelled = [name.strip().lower() for name in names]
    doubled = sorted({name for name in spelled if name and spelled.count(name) > 1 and name in _known(table)})
    if doubled and not may_repeat:
        raise SourceError(f"{where} names the column '{doubled[0]}' twice; expected each column once")
    positions: dict[str, int | None] = {}
    missing: list[str] = []
    for name, delivered in table.contract.delivered.items():
        candidates = [name.lower(), *(alias.lower() for alias in delivered.aliases)]
        position = next((spelled.index(each) + 1 for each in candidates if each in spelled), None)
        if position is None and delivered.required:
            missing.append(name)
        if positions.get(delivered.column) is None:
            positions[delivered.column] = position
    if missing:
        shown = ", ".join(names)
        raise SourceError(
            f"{where} has no column {', '.join(repr(name) for name in missing)}; "
            f"found: {shown[:300]}{'…' if len(shown) > 300 else ''}; expected at least {_expected(table)}"
        )
    return positions


def _known(table: Table) -> set[str]:
    return {name.lower() for key, delivered in table.contract.delivered.items() for name in (key, *delivered.aliases)}


def _expected(table: Table) -> str:
    return ", ".join(name for name, delivered in table.contract.delivered.items() if delivered.required)


def _first_line(found: Probe) -> str:
    return found.head.split("\n", 1)[0].rstrip("\r")


def _split(header: str, delimiter: str) -> list[str]:
    return header.split(delimiter)


def _sniffed(header: str, table: Table) -> str:
    """The text between two column names that are known: `|`, or what `--delimiter` was given."""
    known = sorted(map(re.escape, _known(table)), key=len, reverse=True)
    match = re.search(rf"\b(?:{'|'.join(known)})([^A-Za-z0-9_ ]{{1,8}})(?=[A-Za-z])", header, re.IGNORECASE)
    return match.group(1) if match else "|"


def _absorbing_column(table: Table, names: Sequence[str]) -> int | None:
    """The position of the free-text column to which surplus delimiters belong; None where that is ambiguous."""
    free = {name.lower() for name in table.contract.free_text}
    positions = [position for position, name in enumerate(names, start=1) if name.strip().lower() in free]
    if len(names) in positions:
        return len(names)
    return positions[0] if len(positions) == 1 else None


def _assemble(
    connection: duckdb.DuckDBPyConnection,
    parameters: dict[str, str | int],
    last_line: int,
    is_terminated: bool,
    has_free_text_last: bool,
) -> None:
    connection.execute(
        """
        create or replace temp table complete_first_fields as
        select distinct string_split(text, $delimiter)[1] as first_field
        from lines
        where exists (select 1 from short_lines)
            and source_line > $header_lines
            and len(string_split(text, $delimiter)) - 1 >= $record_delimiters
        """,
        parameters,
    )
    _create(
        connection,
        "assembled_lines",
        {
            **parameters,
            "last_line": last_line,
            "is_terminated": is_terminated,
            "has_free_text_last": has_free_text_last,
        },
    )


def _create(connection: duckdb.DuckDBPyConnection, name: str, parameters: dict[str, str | int]) -> None:
    sql = (assets_folder() / "raw" / f"{name}.sql").read_text(encoding="utf-8")
    connection.execute(f"create or replace temp table {name} as {sql}", parameters)


def _project(
    connection: duckdb.DuckDBPyConnection,
    positions: dict[str, int | None],
    column_count: int,
    free_text: int | None,
    parameters: dict[str, str | int],
) -> None:
    """Splits records into columns; surplus delimiters stay inside the free-text column."""
    absorbing = free_text or column_count

    def cell(position: int | None) -> str:
        if position is None:
            return "null::varchar"
        if position < absorbing:
            return f"fields[{position}]"
        if position > absorbing:
            return f"fields[len(fields) - {column_count - position}]"
        return f"array_to_string(fields[{absorbing}:len(fields) - {column_count - absorbing}], $delimiter)"

    columns = ",\n".join(f'{cell(position)} as "{column}"' for column, position in positions.items())
    surplus = "false" if free_text else "len(fields) > $record_delimiters + 1"
    connection.execute(
        f"""
        create or replace temp table delivered as
        with records as (
            select
                lines.source_line,
                case when tails.text is null then lines.text else lines.text || chr(10) || tails.text end as text,
                null::varchar as problem
            from lines
            left join (
                select source_line - 1 as record_line, text from assembled_lines where fate = 'tail'
            ) as tails on lines.source_line = tails.record_line
            where lines.source_line > $header_lines
                and len(string_split(coalesce(lines.text, ''), $delimiter)) - 1 >= $record_delimiters
            union all
            select
                pieces.source_line,
                case when tails.text is null then pieces.text else pieces.text || chr(10) || tails.text end,
                case when pieces.fate <> 'record' then pieces.fate end
            from assembled_lines as pieces
            left join assembled_lines as tails
                on tails.fate = 'tail' and tails.source_line = pieces.last_line + 1
            where pieces.fate not in ('tail', 'blank')
        ),
        split as (
            select source_line, text as record_text, problem, string_split(text, $delimiter) as fields from records
        )
        select
            source_line,
            record_text,
            coalesce(problem, case when {surplus} then 'wrong_column_count' end) as problem,
            {columns}
        from split
        """,
        parameters,
    )
