"""Brings tables up to date: what is stale, since which change, and nothing more.

What belongs here: the one truth about staleness and the building of tables. What does not: Dagster, publishing.

A table is stale when its SQL or contract changed, or when an input has a later version than the one it was built from.
A table without a partition column is rebuilt whole and compared with what was there: the rows that differ say which
days they touch. A table with one is rebuilt for the days that its inputs touched since, in one transaction.
"""

import time
from collections.abc import Iterable
from datetime import date

import duckdb

from capacity_dagster.errors import ContractError
from capacity_dagster.landed import bring_landed_up_to_date
from capacity_dagster.outcome import Outcome
from capacity_dagster.site_relations import write_site_relations
from capacity_dagster.tables.catalogue import DAYS, Catalogue, Table
from capacity_dagster.tables.checks import CheckOutcome, check_contract, check_sql
from capacity_dagster.tables.quoting import identifier, literal
from capacity_dagster.warehouse import Change, Version, Warehouse
from capacity_dagster.wording import counted

FOREVER = "timestamp '9999-01-01'"


class Materialiser:
    """Brings the tables of one open warehouse up to date."""

    def __init__(self, warehouse: Warehouse, catalogue: Catalogue) -> None:
        self.warehouse = warehouse
        self.catalogue = catalogue
        write_site_relations(warehouse)

    def bring_up_to_date(self, table: Table, forced_days: Iterable[date] = ()) -> Outcome:
        """Builds what is stale of a table and checks it; what is up to date is left alone.

        Args:
            forced_days: days to rebuild even if nothing changed, of a table that is rebuilt by day.

        Raises:
            ContractError: the query's columns are not those of the contract.
        """
        started = time.process_time()
        if table.is_raw:
            return bring_landed_up_to_date(self.warehouse, table)
        inputs = self._input_versions(table)
        reasons, changes = self._stale(table, inputs)
        if table.contract.partition:
            return self._build_days(table, inputs, reasons, changes, set(forced_days), started)
        if not reasons:
            return self._left_alone(table)
        return self._build_whole(table, inputs, reasons, started)

    # What is stale.

    def _input_versions(self, table: Table) -> dict[str, Version]:
        versions = {}
        for name in (*table.inputs, *table.check_inputs):
            version = self.warehouse.version(name)
            if version is None:
                raise ContractError(f"{table.full_name} reads {name}, which was never built: build that first")
            versions[name] = version
        return versions

    def _stale(self, table: Table, inputs: dict[str, Version]) -> tuple[list[str], list[Change]]:
        """(reasons, changes) since the table was built; a change without a day or span touches all days."""
        code_hash = self.warehouse.code_hash(table.full_name)
        if code_hash is None:
            return ["first build"], [Change()]
        if code_hash != table.code_hash:
            return ["its definition changed"], [Change()]
        seen = self.warehouse.seen_inputs(table.full_name)
        reasons: list[str] = []
        changes: list[Change] = []
        for name, version in inputs.items():
            before = seen.get(name)
            if before == version:
                continue
            if name in table.check_inputs:
                reasons.append(f"{name} changed, which a check reads")
                continue
            if before is None or before.file_id != version.file_id:
                reasons.append(f"{name} was built anew")
                changes.append(Change())
                continue
            later = self.warehouse.changes_since(name, before.number)
            reasons.extend(_told(name, later))
            changes.extend(later)
        return reasons, changes

    def stale_tables(self) -> list[str]:
        """Names of the tables that are stale now, judged without building; those after them may turn out so too."""
        stale: set[str] = set()
        for table in self.catalogue:
            if table.is_raw:
                continue
            versions = [self.warehouse.version(name) for name in (*table.inputs, *table.check_inputs)]
            if None in versions or self._stale(table, self._input_versions(table))[0]:
                stale.add(table.full_name)
        return sorted(stale)

    # Building.

    def _build_whole(self, table: Table, inputs: dict[str, Version], reasons: list[str], started: float) -> Outcome:
        connection = self.warehouse.connection
        self._query_into_fresh(table)
        columns = ", ".join(map(identifier, table.contract.columns))
        compared = ", ".join(_compared(table, column) for column in table.contract.compared_columns)
        is_first = self.warehouse.version(table.full_name) is None
        with self.warehouse.transaction():
            if self._create(table) or is_first:
                changes, has_changed = [Change()], True
            else:
                changes = self._differences(table, compared)
                moved = connection.execute(
                    f"select exists (select {columns} from fresh except all select {columns} from {table.relation})"
                ).fetchall()[0][0]
                has_changed = bool(changes) or moved
            if has_changed:
                connection.execute(f"delete from {table.relation}")
                connection.execute(f"insert into {table.relation} select {columns} from fresh")
            row_count, checks = self._conclude(table, inputs, changes, has_changed, started)
        return Outcome(
            table,
            row_count,
            reasons=reasons,
            changes=changes,
            checks=checks,
            cpu_seconds=time.process_time() - started,
        )

    def _differences(self, table: Table, compared: str) -> list[Change]:
        """The rows that differ from before, by the span of time that they matter for and the file that brought them."""
        day, changed_from, changed_to = _span(table)
        file = "any_value(source_file)" if "source_file" in table.contract.columns else "null::varchar"
        key = ", ".join(map(identifier, table.contract.key))
        self.warehouse.connection.execute(
            f"""
            create or replace temp table different as
            with rows as (
                (select {compared} from fresh except all select {compared} from {table.relation})
                union all
                (select {compared} from {table.relation} except all select {compared} from fresh)
            ),
            files as (
                select {key}, {file} as source_file from fresh group by {key}
            )
            select
                {day} as changed_day,
                {changed_from} as changed_from,
                {changed_to} as changed_to,
                files.source_file as changed_by,
                ({key}) as changed_key
            from rows
            left join files using ({key})
            """
        )
        counts = dict(
            self.warehouse.rows("select changed_by, count(distinct changed_key) from different group by changed_by")
        )
        spans = self.warehouse.rows(
            "select distinct changed_day, changed_from, changed_to, changed_by from different order by all"
        )
        # A file's count stands at its first span: a row whose end moved touches two.
        return [
            Change(day, changed_from, changed_to, file, counts.pop(file, 0))
            for day, changed_from, changed_to, file in spans
        ]

    def _build_days(
        self,
        table: Table,
        inputs: dict[str, Version],
        reasons: list[str],
        changes: list[Change],
        forced_days: set[date],
        started: float,
    ) -> Outcome:
        connection = self.warehouse.connection
        known = {row[0] for row in self.warehouse.rows("select distinct usage_date from core.cluster_days")}
        partition = identifier(table.contract.partition or "")
        stored: set[date] = set()
        if self._describe(table.relation) is not None:
            stored = {row[0] for row in self.warehouse.rows(f"select distinct {partition} from {table.relation}")}
        gone = stored - known
        is_whole = any(change.usage_date is None and change.changed_from is None for change in changes)
        days = set(known) if is_whole else self._touched_days(changes, known, table.contract.look_back_days)
        if forced := forced_days & known:
            days |= forced
            reasons = [*reasons, "asked for"]
        if gone:
            reasons = [*reasons, f"{counted(len(gone), 'day')} no longer accounted for"]
        if not reasons:
            return self._left_alone(table)
        listed = sorted(days)
        _list_days(connection, DAYS, listed)
        _list_days(connection, "replaced_days", sorted(days | gone))
        columns = ", ".join(map(identifier, table.contract.columns))
        if listed:
            self._query_into_fresh(table)
        with self.warehouse.transaction():
            self._create(table)
            kept = "" if is_whole else f" where {partition} in (select usage_date from replaced_days)"
            connection.execute(f"delete from {table.relation}{kept}")
            if listed:
                connection.execute(f"insert into {table.relation} select {columns} from fresh")
            changed = [Change()] if is_whole else [Change(usage_date=day) for day in sorted(days | gone)]
            row_count, checks = self._conclude(table, inputs, changed, bool(changed), started)
        return Outcome(
            table,
            row_count,
            days=listed,
            reasons=reasons,
            changes=changes,
            checks=checks,
            cpu_seconds=time.process_time() - started,
        )

    def _touched_days(self, changes: list[Change], known: set[date], look_back_days: int) -> set[date]:
        connection = self.warehouse.connection
        connection.execute(
            "create or replace temp table touched (usage_date date, changed_from timestamp, changed_to timestamp)"
        )
        if changes:
            connection.executemany(
                "insert into touched values (?, ?, ?)",
                [(change.usage_date, change.changed_from, change.changed_to) for change in changes],
            )
        rows = self.warehouse.rows(
            """
            with touching as (
                select usage_date from touched where usage_date is not null
                union
                select cluster_days.usage_date
                from core.cluster_days as cluster_days
                inner join touched
                    on touched.usage_date is null
                    and touched.changed_from < cluster_days.ends_at
                    and touched.changed_to > cluster_days.starts_at
            )
            select distinct cast(unnest(generate_series(
                usage_date, usage_date + to_days(?), interval 1 day
            )) as date) from touching
            """,
            [look_back_days],
        )
        return {row[0] for row in rows} & known

    def _create(self, table: Table) -> bool:
        """Makes the table as its contract has it; true where it did not exist so."""
        connection = self.warehouse.connection
        described = self._describe(table.relation)
        if described is not None and described != _declared(table):
            connection.execute(f"drop table {table.relation}")
            described = None
        if described is None:
            connection.execute(table.ddl(table.relation))
        if described is None or self.warehouse.code_hash(table.full_name) != table.code_hash:
            connection.execute(f"comment on table {table.relation} is {literal(table.contract.description.strip())}")
            for name, meaning in table.columns.items():
                told = meaning.description + (f" [{meaning.unit}]" if meaning.unit else "")
                connection.execute(f"comment on column {table.relation}.{identifier(name)} is {literal(told)}")
        return described is None

    def _describe(self, relation: str) -> list[tuple[str, str]] | None:
        database, schema, name = relation.split(".")
        rows = self.warehouse.rows(
            "select column_name, data_type from duckdb_columns() "
            "where database_name = ? and schema_name = ? and table_name = ? order by column_index",
            [database, schema, name],
        )
        return rows or None

    def _query_into_fresh(self, table: Table) -> None:
        """Runs a table's query into the temporary table `fresh`; its columns must be the contract's, in order."""
        self.warehouse.connection.execute(f"create or replace temp table fresh as {table.sql}")
        found = [(row[0], row[1]) for row in self.warehouse.rows("describe fresh")]
        declared = _declared(table)
        if found != declared:
            wrong = [f"{a} is {b}, expected {c}" for a, b, c in _mismatches(found, declared)]
            raise ContractError(f"{table.path}: the query's columns are not the contract's: {'; '.join(wrong)}")

    def _left_alone(self, table: Table) -> Outcome:
        return Outcome(
            table,
            self.warehouse.row_count(table.relation),
            checks=self.warehouse.stored_checks(table.full_name),
        )

    def _conclude(
        self, table: Table, inputs: dict[str, Version], changes: list[Change], has_changed: bool, started: float
    ) -> tuple[int, list[CheckOutcome]]:
        """Checks a table's new rows and records its state, inside the transaction that wrote them."""
        connection = self.warehouse.connection
        connection.execute("drop table if exists fresh")
        row_count = self.warehouse.row_count(table.relation)
        checks = [check_contract(connection, table), *(check_sql(connection, check) for check in table.checks)]
        cpu_seconds = time.process_time() - started
        self.warehouse.record(table.full_name, table.code_hash, inputs, row_count, changes, has_changed, cpu_seconds)
        self.warehouse.store_checks(table.full_name, checks)
        return row_count, checks


def _list_days(connection: duckdb.DuckDBPyConnection, relation: str, days: list[date]) -> None:
    connection.execute(f"create or replace temp table {relation} (usage_date date)")
    if days:
        connection.executemany(f"insert into {relation} values (?)", [[day] for day in days])


def _compared(table: Table, column: str) -> str:
    """A column as two versions of a row are compared by it: what accrues until as_of is no change of an open row."""
    name = identifier(column)
    if table.contract.interval and column in table.contract.accrues:
        return f"case when {identifier(table.contract.interval[1])} is not null then {name} end as {name}"
    return name


def _span(table: Table) -> tuple[str, str, str]:
    """SQL for the day, or the beginning and end of the span of time, that a row of a table matters for."""
    if "usage_date" in table.contract.columns:
        return "usage_date", "null::timestamp", "null::timestamp"
    if table.contract.interval:
        begins, end = table.contract.interval
        begin = f"least({', '.join(map(identifier, [begins] if isinstance(begins, str) else begins))})"
        end = identifier(end)
        return (
            "null::date",
            f"date_trunc('hour', coalesce({begin}, timestamp '1900-01-01'))",
            # What ends at midnight does not matter for the next day, unless it also begins then.
            f"greatest(date_trunc('hour', coalesce({end}, {FOREVER}) - interval 1 second), "
            f"date_trunc('hour', coalesce({begin}, timestamp '1900-01-01'))) + interval 1 hour",
        )
    return "null::date", "null::timestamp", "null::timestamp"


def _declared(table: Table) -> list[tuple[str, str]]:
    return [(name, column.type) for name, column in table.columns.items()]


def _mismatches(found: list[tuple[str, str]], declared: list[tuple[str, str]]) -> list[tuple[str, str, str]]:
    width = max(len(found), len(declared))
    padded = [*found, *[("(nothing)", "(nothing)")] * (width - len(found))]
    expected = [*declared, *[("(nothing)", "(nothing)")] * (width - len(declared))]
    return [(a[0], a[1], f"{b[0]} {b[1]}") for a, b in zip(padded, expected, strict=True) if a != b]


def _told(name: str, changes: list[Change]) -> list[str]:
    """Why, in words: `jobs-11-07.psv changed 412 rows of core.attempts`."""
    by_file: dict[str | None, int] = {}
    days: set[date] = set()
    for change in changes:
        by_file[change.source_file] = by_file.get(change.source_file, 0) + change.changed_rows
        if change.usage_date:
            days.add(change.usage_date)
    told = [
        f"{file} changed {counted(count, 'row')} of {name}"
        for file, count in sorted(by_file.items(), key=lambda item: str(item[0]))
        if file
    ]
    if told:
        return told
    if days:
        return [f"{name} was rebuilt for {counted(len(days), 'day')}"]
    return [f"{name} changed"]
