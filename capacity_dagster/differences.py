"""What is different between two versions of a table: which rows, for which days or spans of time, due to which file.

What belongs here: comparing rows and telling for when that matters. What does not: what is rebuilt because of it.
"""

import duckdb

from capacity_dagster.tables.catalogue import Table
from capacity_dagster.tables.quoting import identifier, literal
from capacity_dagster.warehouse import Change

FOREVER = "timestamp '9999-01-01'"
BEGINNING = "timestamp '1900-01-01'"


def find_differences(
    connection: duckdb.DuckDBPyConnection, table: Table, new: str, old: str
) -> tuple[list[Change], bool]:
    """Compares two relations with a table's columns, by its key; where rows came from, or what accrues, is no change.

    A row that is there only once matters for its day or its whole interval. Of a row that changed, a new end alone
    matters between the two ends, and anything else for the whole interval, old and new. Each change names the columns
    that differ, so that who does not read them is not concerned.

    Returns:
        what is different, summed up by the file that brought it, and whether anything is, if only where it came from or
        what accrued. The temporary table `different` has it in full: changed_day, changed_from, changed_to,
        changed_columns (null: all; empty: entries of a dictionary came or went), changed_by (the file), changed_key (a
        struct of the key; null where another change tells of the row, too).
    """
    _pair_rows(connection, table, new, old)
    connection.execute(f"create or replace temp table different as {_dated(table, new, old)}")
    connection.execute("drop table paired")
    rows = connection.execute(
        "select changed_by, count(distinct changed_key) from different group by changed_by order by changed_by"
    ).fetchall()
    _add_moved(connection, table, new, old)
    has_changed = connection.execute("select count(*) > 0 from different").fetchall()[0][0]
    return [Change(source_file=file, changed_rows=count) for file, count in rows], has_changed


def _add_moved(connection: duckdb.DuckDBPyConnection, table: Table, new: str, old: str) -> None:
    """Adds to `different` rows that are as before but for where they came from, or what accrued: they touch no day."""
    columns = [*table.contract.provenance, *table.contract.accrues]
    if not columns:
        return
    every = ", ".join(map(identifier, table.contract.columns))
    packed = ", ".join(f"{name} := {name}" for name in map(identifier, table.contract.key))
    connection.execute(
        f"""
        insert into different
        select null, {BEGINNING}, {BEGINNING}, [{", ".join(map(literal, columns))}], null, changed_key
        from (
            select struct_pack({packed}) as changed_key
            from (select {every} from {new} except all select {every} from {old})
        )
        where changed_key not in (select changed_key from different where changed_key is not null)
        """
    )


def _pair_rows(connection: duckdb.DuckDBPyConnection, table: Table, new: str, old: str) -> None:
    """Creates `paired`: each row that differs as the structs `new_row` and `old_row`, and whether there are such."""
    contract = table.contract
    compared = ", ".join(_compared(table, column) for column in contract.compared_columns)
    key = [identifier(column) for column in contract.key]
    connection.execute(
        f"""
        create or replace temp table new_row as
            select true as is_there, * from (select {compared} from {new} except all select {compared} from {old});
        create or replace temp table old_row as
            select true as is_there, * from (select {compared} from {old} except all select {compared} from {new});
        """
    )
    differing = ", ".join(
        f"case when new_row.{name} is distinct from old_row.{name} then {literal(column)} end"
        for column, name in ((column, identifier(column)) for column in contract.compared_columns)
    )
    same_key = " and ".join(f"new_row.{name} is not distinct from old_row.{name}" for name in key)
    changed_key = ", ".join(
        f"{name} := case when new_row.is_there then new_row.{name} else old_row.{name} end" for name in key
    )
    changed_by, files = "null::varchar", ""
    if "source_file" in contract.columns:
        keys = ", ".join(key)
        connection.execute(
            f"create or replace temp table files as select {keys}, any_value(source_file) as changed_by "
            f"from {new} semi join new_row using ({keys}) group by {keys}"
        )
        changed_by = "files.changed_by"
        files = (
            f"left join files on {' and '.join(f'files.{name} is not distinct from new_row.{name}' for name in key)}"
        )
    connection.execute(
        f"""
        create or replace temp table paired as
        select
            coalesce(new_row.is_there, false) as is_new,
            coalesce(old_row.is_there, false) as is_old,
            new_row,
            old_row,
            struct_pack({changed_key}) as changed_key,
            {changed_by} as changed_by,
            list_filter([{differing}], lambda name: name is not null) as changed_columns
        from new_row
        full join old_row on {same_key}
        {files}
        """
    )
    connection.execute("drop table new_row; drop table old_row")


def _compared(table: Table, column: str) -> str:
    """A column as two versions of a row are compared by it: what accrues until as_of is no change of an open row."""
    name = identifier(column)
    end = table.contract.interval[1] if table.contract.interval else None
    if end and column in table.contract.accrues:
        return f"case when {identifier(end)} is not null then {name} end as {name}"
    return name


def _dated(table: Table, new: str, old: str) -> str:
    """SQL for `different`, from the pairs of rows."""
    contract = table.contract
    about = "changed_by, changed_key"
    undated = "null::date as changed_day, null::timestamp as changed_from, null::timestamp as changed_to"
    if contract.dictionary:
        return _dated_entries(table, new, old, about)
    if "usage_date" in contract.columns:
        return f"""
            select case when is_new then new_row.usage_date else old_row.usage_date end as changed_day,
                null::timestamp as changed_from, null::timestamp as changed_to,
                case when is_new and is_old then changed_columns end as changed_columns, {about}
            from paired
        """
    if not contract.interval:
        return f"""
            select {undated}, case when is_new and is_old then changed_columns end as changed_columns, {about}
            from paired
        """
    end = contract.interval[1] or ""
    new_from, old_from = _begin(table, "new_row"), _begin(table, "old_row")
    new_to, old_to = _end(table, "new_row"), _end(table, "old_row")
    # What ends at midnight does not matter for the next day, unless it also begins then.
    return f"""
        with spans as (
            select
                least({new_from}, {old_from}) as starts_at,
                greatest({new_to}, {old_to}) as ends_at,
                list_filter(changed_columns, lambda name: name <> {literal(end)}) as changed_columns,
                changed_by,
                -- A row counts once: at its new end, if it has one.
                case when not list_contains(changed_columns, {literal(end)}) then changed_key end as changed_key
            from paired
            where is_new and is_old
            union all
            select least({new_to}, {old_to}), greatest({new_to}, {old_to}), [{literal(end)}], {about}
            from paired
            where is_new and is_old and list_contains(changed_columns, {literal(end)})
            union all
            select {new_from}, {new_to}, null, {about} from paired where not is_old
            union all
            select {old_from}, {old_to}, null, {about} from paired where not is_new
        )
        select
            null::date as changed_day,
            date_trunc('hour', starts_at) as changed_from,
            greatest(date_trunc('hour', ends_at - interval 1 second), date_trunc('hour', starts_at)) + interval 1 hour
                as changed_to,
            changed_columns,
            {about}
        from spans
        where changed_columns is null or len(changed_columns) > 0
    """


def _dated_entries(table: Table, new: str, old: str, about: str) -> str:
    """An entry that both versions have, otherwise, matters from its beginning on; one that came or went does not."""
    since = _begin(table, "any_row") if table.contract.interval else "null::timestamp"
    until = FOREVER if table.contract.interval else "null::timestamp"
    names = [identifier(name) for name in table.contract.dictionary]
    entry = ", ".join(f"any_row.{name}" for name in names)
    return f"""
        select
            null::date as changed_day,
            case when is_other then {since} end as changed_from,
            case when is_other then {until} end as changed_to,
            case when not is_other then []::varchar[] end as changed_columns,
            {about}
        from (
            select
                *,
                ({entry}) in (select ({", ".join(names)}) from {new})
                and ({entry}) in (select ({", ".join(names)}) from {old}) as is_other
            from (select *, case when is_new then new_row else old_row end as any_row from paired)
        )
    """


def _begin(table: Table, row: str) -> str:
    begins = table.contract.interval[0] if table.contract.interval else ()
    names = [begins] if isinstance(begins, str) else list(begins)
    return f"coalesce(least({', '.join(f'{row}.{identifier(name)}' for name in names)}), {BEGINNING})"


def _end(table: Table, row: str) -> str:
    end = table.contract.interval[1] if table.contract.interval else None
    return f"coalesce({row}.{identifier(end)}, {FOREVER})" if end else FOREVER
