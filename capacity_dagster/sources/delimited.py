"""Delimited text as accounting tools write it: a header or configured columns, nothing escaped.

What belongs here: turning physical lines into the relation `delivered`, one row per record, every column as text.
"""

import re
from collections.abc import Sequence
from pathlib import Path

import duckdb

from capacity_dagster.site_sections import Source
from capacity_dagster.sources.bytes import LONGEST_LINE, SEPARATOR, Probe, refuse_lone_cr
from capacity_dagster.sources.columns import known_names, repeated_columns, resolve_columns
from capacity_dagster.tables.catalogue import Table, assets_folder
from capacity_dagster.tables.quoting import file_literal, literal

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
    """Creates the temporary view `lines`: a clean text file's physical lines with their numbers, from 1.

    Unless told, DuckDB takes buffers of eight of the longest lines allowed, and holds several at once.
    """
    connection.execute(
        "create temp view lines as select row_number() over () as source_line, text from read_csv("
        f"{file_literal(file)}, columns = {{'text': 'VARCHAR'}}, delim = '{SEPARATOR}', quote = '', escape = '', "
        f"header = false, auto_detect = false, max_line_size = {LONGEST_LINE + 1}, buffer_size = {2 * LONGEST_LINE}, "
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
    header = None if source.columns else found.first_line
    refuse_lone_cr(header, found)
    delimiter = source.delimiter or (_sniffed(header, table) if header is not None else "|")
    names = list(source.columns) if header is None and source.columns else (header or "").split(delimiter)
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
    repeated = repeated_columns(table, names)
    _project(connection, positions, repeated, len(names), free_text, delimiter, 0 if source.columns else 1)


def _sniffed(header: str, table: Table) -> str:
    """The text between two column names that are known: `|`, or what `--delimiter` was given."""
    known = sorted(map(re.escape, known_names(table)), key=len, reverse=True)
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
    """Creates `assembled_lines`: what becomes of the lines that are no whole records, and of those that have a tail."""
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
    if connection.execute("select exists (select 1 from assembled_lines where fate = 'tail')").fetchall() == [(True,)]:
        connection.execute(
            """
            insert into assembled_lines
            select source_line, source_line, text, 'record'
            from lines
            where source_line in (select source_line - 1 from assembled_lines where fate = 'tail')
                and source_line not in (select source_line from short_lines)
            """
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
            select source_line, text as record_text, null::varchar as problem, string_split(text, {separator}) as fields
            from lines
            where source_line > {header_lines}
                and source_line not in (select source_line from short_lines)
                and source_line not in (select source_line from assembled_lines)
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
