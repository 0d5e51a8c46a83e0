"""Delimited text as accounting tools write it: a header or configured columns, nothing escaped.

What belongs here: turning physical lines into the relation `delivered`, one row per record, every column as text.
"""

import csv
import re
from collections.abc import Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import TextIO

import duckdb
import pyarrow as pa

from capacity_dagster.errors import SourceError
from capacity_dagster.site_sections import Source
from capacity_dagster.sources.bytes import LONGEST_LINE, SEPARATOR, SHOWN_CR, Probe
from capacity_dagster.tables.catalogue import Table, assets_folder
from capacity_dagster.tables.quoting import file_literal, identifier, literal

BATCH = 20_000
"""How many records that Python reads are handed over at once."""

UNKNOWN_BEGINNINGS = """
    select split_part(text, $1, 1) as first_field, count(*) as short_lines
    from short_lines
    where split_part(text, $1, 1) not in (select first_field from complete_first_fields)
    group by split_part(text, $1, 1)
    having max(delimiters) > 0
"""
"""First fields of short lines of which it is not known whether whole records begin with them."""


def drop_relations(connection: duckdb.DuckDBPyConnection) -> None:
    """Drops what reading a file creates."""
    connection.execute(
        """
        drop view if exists delivered;
        drop view if exists lines;
        drop table if exists delivered_rows;
        drop table if exists short_lines;
        drop table if exists complete_first_fields;
        drop table if exists assembled_lines;
        drop table if exists records;
        """
    )


def create_lines(connection: duckdb.DuckDBPyConnection, file: Path, found: Probe) -> None:
    """Creates the temporary view `lines`: a clean text file's physical lines with their numbers, from 1."""
    connection.execute(
        "create temp view lines as select row_number() over () as source_line, text from read_csv("
        f"{file_literal(file)}, columns = {{'text': 'VARCHAR'}}, delim = '{SEPARATOR}', quote = '', escape = '', "
        f"header = false, auto_detect = false, max_line_size = {LONGEST_LINE + 1}, "
        f"compression = '{found.compression}', hive_partitioning = false)"
    )


def create_delivered(
    connection: duckdb.DuckDBPyConnection, table: Table, source: Source, file: Path, found: Probe
) -> None:
    """Creates the temporary view `delivered` of a text file without quoting; the file is read when the view is.

    Its columns: `source_line` (of the record's first line), `record_text`, `problem` (null: it has the right number of
    columns) and each column of the contract's `delivered` as text, null where the file does not have it.

    Raises:
        SourceError: a required column is missing, or a column is named twice.
    """
    header = None if source.columns else _first_line(found)
    _refuse_lone_cr(header, found)
    delimiter = source.delimiter or (_sniffed(header, table) if header is not None else "|")
    names = list(source.columns) if header is None and source.columns else _split(header or "", delimiter)
    if source.columns:
        positions = resolve_columns(table, names, "the site file's 'columns'")
    else:
        positions = resolve_columns(table, names, "line 1", may_repeat=True)
    free_text = _absorbing_column(table, names)
    create_lines(connection, file, found)
    parameters = {
        "delimiter": delimiter,
        "header_lines": 0 if source.columns else 1,
        "record_delimiters": max(len(names) - 1, 1),
    }
    _create(connection, "short_lines", parameters)
    _assemble(connection, parameters, found, has_free_text_last=free_text == len(names))
    repeated = _repeated(table, names)
    _project(connection, positions, repeated, len(names), free_text, delimiter, 0 if source.columns else 1)


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
            raise SourceError(f"has no header; expected the columns {_expected(table)}")
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
    _refuse_lone_cr(_first_line(found), found)
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
            f"found: {shown[:300]}{'…' if len(shown) > 300 else ''}; expected at least {_expected(table)}",
            shown[:300],
        )
    return positions


def _repeated(table: Table, names: Sequence[str]) -> list[tuple[int, int]]:
    """The positions (from 1) of each column that is there again, with that of the first: both must say the same."""
    spelled = [name.strip().lower() for name in names]
    first = {name: position for position, name in reversed(list(enumerate(spelled, start=1))) if name in _known(table)}
    return [
        (first[name], position)
        for position, name in enumerate(spelled, start=1)
        if first.get(name, position) != position
    ]


def unused_columns(table: Table, names: Sequence[str]) -> list[str]:
    """The columns of a file that the table does not know, but for those that are marked as a provider's own by `x_`."""
    known = _known(table)
    return [name for name in names if name.strip().lower() not in known and not name.strip().lower().startswith("x_")]


def _known(table: Table) -> set[str]:
    contract = table.contract
    read = {name for key, delivered in contract.delivered.items() for name in (key, *delivered.aliases)}
    return {name.lower() for name in (*read, *contract.unread)}


def _expected(table: Table) -> str:
    return ", ".join(name for name, delivered in table.contract.delivered.items() if delivered.required)


def _first_line(found: Probe) -> str:
    return found.head.split("\n", 1)[0].rstrip("\r")


def _refuse_lone_cr(header: str | None, found: Probe) -> None:
    """Refuses a file whose lines end with CR alone: all of it would be its header, or its only record."""
    line = header if header is not None else found.head if found.lines <= 1 else ""
    if re.search(f"[\r{SHOWN_CR}][^\r\n{SHOWN_CR}]", line):
        raise SourceError("line 1 has a CR inside; expected lines that end with LF or CR LF, not with CR alone")


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
    found: Probe,
    has_free_text_last: bool,
) -> None:
    """Creates `assembled_lines`: what becomes of the lines that are no whole records."""
    if not connection.execute("select count(*) from short_lines").fetchall()[0][0]:
        connection.execute(
            "create temp table assembled_lines (source_line bigint, last_line bigint, text varchar, fate varchar)"
        )
        return
    # What whole records begin with: mostly all of it stands in the first of them.
    delimiter, header_lines = str(parameters["delimiter"]), int(parameters["header_lines"])
    first_fields = {
        line.split(delimiter, 1)[0]
        for line in found.head.split("\n")[header_lines:-1]
        if line.count(delimiter) >= int(parameters["record_delimiters"])
    }
    connection.execute(
        "create temp table complete_first_fields as select unnest(?::varchar[]) as first_field", [sorted(first_fields)]
    )
    are_job_ids = False
    if connection.execute(f"select exists (select 1 from ({UNKNOWN_BEGINNINGS}))", [delimiter]).fetchall() == [(True,)]:
        _find_complete_first_fields(connection, parameters)
        are_job_ids = _are_job_ids(connection, parameters)
    _create(
        connection,
        "assembled_lines",
        {
            **parameters,
            "last_line": found.lines,
            "is_terminated": found.is_terminated,
            "has_free_text_last": has_free_text_last,
            "are_job_ids": are_job_ids,
        },
    )


def _find_complete_first_fields(connection: duckdb.DuckDBPyConnection, parameters: dict[str, str | int]) -> None:
    """Looks through the whole file for the first fields of short lines that no record at its beginning has.

    A first field is one of whole records where more lines begin with it than those that are too short.
    """
    connection.execute(
        f"""
        insert into complete_first_fields
        with unknown as ({UNKNOWN_BEGINNINGS})
        select unknown.first_field
        from lines
        inner join unknown on split_part(lines.text, $1, 1) = unknown.first_field
        where lines.source_line > $2
        group by unknown.first_field, unknown.short_lines
        having count(*) > unknown.short_lines
        """,
        [parameters["delimiter"], parameters["header_lines"]],
    )


def _are_job_ids(connection: duckdb.DuckDBPyConnection, parameters: dict[str, str | int]) -> bool:
    """Whether all whole records begin with a job id."""
    others = connection.execute(
        """
        select 1
        from lines
        where source_line > $header_lines
            and not regexp_matches(split_part(text, $delimiter, 1), '^[0-9]+([_+.].*)?$')
            and len(string_split(text, $delimiter)) - 1 >= $record_delimiters
        limit 1
        """,
        parameters,
    ).fetchall()
    return not others


def _create(connection: duckdb.DuckDBPyConnection, name: str, parameters: dict[str, str | int]) -> None:
    sql = (assets_folder() / "raw" / f"{name}.sql").read_text(encoding="utf-8")
    connection.execute(f"create temp table {name} as {sql}", parameters)


def _project(
    connection: duckdb.DuckDBPyConnection,
    positions: dict[str, int | None],
    repeated: list[tuple[int, int]],
    column_count: int,
    free_text: int | None,
    delimiter: str,
    header_lines: int,
) -> None:
    """Splits records into columns; surplus delimiters stay inside the free-text column."""
    absorbing = free_text or column_count
    parts, separator = max(column_count, 2), literal(delimiter)

    def cell(position: int | None) -> str:
        if position is None:
            return "null::varchar"
        if position < absorbing:
            return f"fields[{position}]"
        if position > absorbing:
            return f"fields[len(fields) - {column_count - position}]"
        return f"array_to_string(fields[{absorbing}:len(fields) - {column_count - absorbing}], {separator})"

    columns = ",\n".join(f'{cell(position)} as "{column}"' for column, position in positions.items())
    surplus = "false" if free_text else f"len(fields) > {parts}"
    contradiction = " or ".join(f"{cell(one)} <> {cell(other)}" for one, other in repeated) or "false"
    whole = f"""
        select source_line, text as record_text, null::varchar as problem, string_split(text, {separator}) as fields
        from lines
        where source_line > {header_lines}
    """
    if connection.execute("select exists (select 1 from assembled_lines where fate = 'tail')").fetchall() == [(True,)]:
        whole = f"""
            select
                lines.source_line,
                lines.text || coalesce(chr(10) || tails.text, '') as record_text,
                null::varchar as problem,
                string_split(record_text, {separator}) as fields
            from lines
            left join (
                select source_line - 1 as record_line, text from assembled_lines where fate = 'tail'
            ) as tails on lines.source_line = tails.record_line
            where lines.source_line > {header_lines}
                and len(string_split(coalesce(lines.text, ''), {separator})) >= {parts}
        """
    connection.execute(
        f"""
        create temp view delivered as
        with pieces as (
            select
                pieces.source_line,
                pieces.text || coalesce(chr(10) || tails.text, '') as record_text,
                case when pieces.fate <> 'record' then pieces.fate end as problem
            from assembled_lines as pieces
            left join assembled_lines as tails
                on tails.fate = 'tail' and tails.source_line = pieces.last_line + 1
            where pieces.fate not in ('tail', 'blank')
        ),
        split as (
            select * from ({whole}) where len(fields) >= {parts}
            union all
            select *, string_split(record_text, {separator}) as fields from pieces
        )
        select
            source_line,
            record_text,
            coalesce(
                problem,
                case when {surplus} then 'wrong_column_count' when {contradiction} then 'repeated_column_differs' end
            ) as problem,
            {columns}
        from split
        """
    )
