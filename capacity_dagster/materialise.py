"""Brings tables up to date: rebuilds what is stale of them, and nothing more.

What belongs here: the building of tables. What does not: what is stale (`staleness`), Dagster, publishing.

A table is rebuilt in one of three ways. By day, if its contract names a column of days: the days that its inputs
touched since, some weeks at a time. For a scope, if its query reads one of `SCOPES`: the attempts, records or shapes
that changed. Else whole, and compared with what was there: the rows that differ say which days they touch.
"""

import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from datetime import date

from capacity_dagster.differences import find_differences
from capacity_dagster.errors import ContractError
from capacity_dagster.history import write_history
from capacity_dagster.landed import bring_landed_up_to_date
from capacity_dagster.outcome import Outcome
from capacity_dagster.site_relations import write_site_relations
from capacity_dagster.staleness import (
    CHECKED,
    Staleness,
    copy_attempts,
    fill_scope,
    judge,
    stale_tables,
    touched_days,
)
from capacity_dagster.tables.catalogue import CLOSED, DAYS, SCOPES, Catalogue, Table
from capacity_dagster.tables.checks import CheckOutcome, check_contract, check_sql, merged
from capacity_dagster.tables.quoting import identifier, literal
from capacity_dagster.warehouse import HISTORY, Change, Version, Warehouse
from capacity_dagster.wording import counted

CHUNK_ATTEMPTS = 800_000
"""About how many attempts the days have that are built at once: enough to be fast, few enough for little memory."""

READ_OVER_DAYS = 7
"""So many days between two that are built are cheaper to read over than to ask once more."""


class Materialiser:
    """Brings the tables of one open warehouse up to date.

    Args:
        tell: hears of the steps of what takes long.
    """

    def __init__(
        self, warehouse: Warehouse, catalogue: Catalogue, tell: Callable[[str], None] = lambda _: None
    ) -> None:
        self.warehouse = warehouse
        self.catalogue = catalogue
        self.tell = tell
        write_site_relations(warehouse)
        write_history(warehouse, catalogue)

    def bring_up_to_date(self, table: Table, forced_days: Iterable[date] = ()) -> Outcome:
        """Builds what is stale of a table and checks it; what is up to date is left alone.

        Args:
            forced_days: days to rebuild even if nothing changed, of a table that is rebuilt by day.

        Raises:
            ContractError: the query's columns are not those of the contract.
        """
        started = time.process_time()
        if table.is_raw:
            return bring_landed_up_to_date(self.warehouse, table, self.tell)
        inputs = self._input_versions(table)
        staleness = judge(self.warehouse, self.catalogue, table, inputs)
        if table.contract.partition:
            return self._build_days(table, inputs, staleness, set(forced_days), started)
        if not staleness.reasons:
            return self._left_alone(table)
        is_new = self._describe(table) != _declared(table)
        if table.scope and not staleness.is_whole and fill_scope(self.warehouse, self.catalogue, table, staleness):
            return self._build_scope(table, inputs, staleness, started)
        if is_new or table.holds_attempts:  # so many that comparing them would cost more than building all days anew
            return self._build_anew(table, inputs, staleness, started)
        return self._build_whole(table, inputs, staleness, started)

    def stale_tables(self) -> list[str]:
        """Names of the tables that are stale now, judged without building; those after them may turn out so too."""
        return stale_tables(self.warehouse, self.catalogue)

    def _input_versions(self, table: Table) -> dict[str, Version]:
        versions = {}
        for name in (*table.inputs, *table.check_inputs):
            version = self.warehouse.version(name)
            if version is None:
                raise ContractError(f"{table.full_name} reads {name}, which was never built: build that first")
            versions[name] = version
        return versions

    # Whole.

    def _build_anew(self, table: Table, inputs: dict[str, Version], staleness: Staleness, started: float) -> Outcome:
        """Fills an empty table; everything may be different from before, or the columns that were relabelled."""
        self._bind_scope(table, SCOPES.get(table.scope or "", ""))
        self._require_declared_columns(table)
        changes = [Change(changed_columns=staleness.relabelled)]
        with self.warehouse.transaction():
            self._create(table, is_anew=True)
            self._insert(table, table.sql)
            checks = self._check(table, staleness, table.relation)
            row_count = self._conclude(table, inputs, changes, True, checks, started)
        return self._outcome(table, row_count, staleness, changes, checks, started)

    def _build_whole(self, table: Table, inputs: dict[str, Version], staleness: Staleness, started: float) -> Outcome:
        """Fills a table anew and compares it with what was there."""
        self._bind_scope(table, SCOPES.get(table.scope or "", ""))
        self._require_declared_columns(table)
        connection = self.warehouse.connection
        connection.execute(f"create or replace temp table fresh as {table.sql}")
        with self.warehouse.transaction():
            changes, has_changed = find_differences(connection, table, "fresh", table.relation)
            if has_changed:
                self._create(table, is_anew=True)
                self._insert(table, "from fresh")
            connection.execute("drop table fresh")
            checks = self._check(table, staleness, table.relation)
            row_count = self._conclude(table, inputs, changes, has_changed, checks, started, "different")
        return self._outcome(table, row_count, staleness, changes, checks, started)

    # For a scope.

    def _build_scope(self, table: Table, inputs: dict[str, Version], staleness: Staleness, started: float) -> Outcome:
        """Replaces the rows of what changed, or adds the entries that are new."""
        connection = self.warehouse.connection
        self._bind_scope(table, "scope_rows")
        self._require_declared_columns(table)
        columns = ", ".join(map(identifier, table.contract.columns))
        connection.execute(f"create or replace temp table fresh as select {columns} from ({table.sql})")
        with self.warehouse.transaction():
            self._create(table)
            if table.contract.dictionary:
                entry = ", ".join(map(identifier, table.contract.dictionary))
                connection.execute(f"delete from fresh where ({entry}) in (select ({entry}) from {table.relation})")
                replaced = f"(select * from {table.relation} limit 0)"
            else:
                replaced = "before"
                copy_attempts(connection, table.relation, "replaced_attempts", "before")
            changes, has_changed = find_differences(connection, table, "fresh", replaced)
            if has_changed:
                if not table.contract.dictionary:
                    connection.execute(f"delete from {table.relation} where rowid in (select place from places)")
                self._insert(table, "from fresh")
            checks = self._check(table, staleness, "fresh")
            row_count = self._conclude(table, inputs, changes, has_changed, checks, started, "different")
        return self._outcome(table, row_count, staleness, changes, checks, started)

    def _bind_scope(self, table: Table, relation: str) -> None:
        """Makes what a query, or a check, reads in place of all attempts, records or shapes."""
        if table.scope:
            self.warehouse.connection.execute(f"create or replace temp view {table.scope} as select * from {relation}")

    # By day.

    def _build_days(
        self, table: Table, inputs: dict[str, Version], staleness: Staleness, forced_days: set[date], started: float
    ) -> Outcome:
        accounted = {row[0] for row in self.warehouse.rows("select distinct usage_date from core.cluster_days")}
        vanished = self._signed_days(table) - accounted
        known = accounted | vanished
        partition = identifier(table.contract.partition or "")
        stored: set[date] = set()
        if self._describe(table) is not None:
            stored = {row[0] for row in self.warehouse.rows(f"select distinct {partition} from {table.relation}")}
        gone = stored - known
        is_whole = staleness.is_whole or bool(gone)  # the site accounts for other days than before
        days = known if is_whole else touched_days(self.warehouse, table.contract.look_back_days) & known
        reasons = list(staleness.reasons)
        if forced := forced_days & known:
            days = days | forced
            reasons.append("asked for")
        if gone:
            reasons.append(f"{counted(len(gone), 'day')} no longer accounted for")
        if not reasons:
            return self._left_alone(table)
        days |= vanished  # nothing else says when they changed
        staleness = replace(staleness, reasons=reasons)
        self._list_days([])
        self._require_declared_columns(table)
        with self.warehouse.transaction() as connection:
            self._create(table, is_anew=is_whole)
            if not is_whole and (replaced := sorted(days | gone)):
                listed = ", ".join(f"date {literal(day)}" for day in replaced)
                connection.execute(f"delete from {table.relation} where {partition} in ({listed})")
            for _ in self._chunks(table, days, known):
                self._insert(table, table.sql)
            checks = self._check_days(table, staleness, days, known)
            changes = [Change(usage_date=day) for day in sorted(days | gone)]
            if is_whole:
                changes = [Change(changed_columns=None if gone or forced else staleness.relabelled)]
            row_count = self._conclude(table, inputs, changes, bool(changes), checks, started)
        return self._outcome(table, row_count, staleness, changes, checks, started, sorted(days & accounted))

    def _signed_days(self, table: Table) -> set[date]:
        """The days of closed months, of a table that says what became of what was signed, whether or not the site still
        accounts for them.
        """
        signed = [f"{HISTORY}.{name}" for name in table.history if name.startswith(f"{CLOSED}.")]
        return {row[0] for name in signed for row in self.warehouse.rows(f"select distinct usage_date from {name}")}

    def _chunks(self, table: Table, days: set[date], known: set[date]) -> Iterator[tuple[date, date]]:
        """Lists some weeks after the other in the relation that day-grain queries and checks read; the first and last
        day of each.
        """
        attempts = self.warehouse.value(
            "select row_count from pipeline.state.tables where table_name = 'core.attempts'"
        )
        size = max(1, CHUNK_ATTEMPTS * len(known) // max(attempts or 0, 1))
        chunk: list[date] = []
        for day in [*sorted(days), None]:
            # What a query reads lies between the first day and the last.
            if chunk and (day is None or (day - chunk[0]).days >= size or (day - chunk[-1]).days > READ_OVER_DAYS):
                if len(days) > size:
                    self.tell(f"{table.full_name} from {chunk[0]} to {chunk[-1]}")
                self._list_days(chunk)
                yield chunk[0], chunk[-1]
                chunk = []
            if day is not None:
                chunk.append(day)

    def _list_days(self, days: list[date]) -> None:
        listed = ", ".join(f"(date {literal(day)})" for day in days) or "(null::date)"
        self.warehouse.connection.execute(
            f"create or replace temp table {DAYS} as select * from (values {listed}) as d (usage_date) "
            "where usage_date is not null"
        )

    # Checks.

    def _check(self, table: Table, staleness: Staleness, relation: str) -> list[CheckOutcome]:
        """Checks the rows of a relation, or of the whole table, where that is new or something failed before."""
        connection = self.warehouse.connection
        if self._must_check_all(table, staleness):
            relation = table.relation
            self._bind_scope(table, SCOPES.get(table.scope or "", ""))
        return [
            check_contract(connection, table, relation),
            *(check_sql(connection, check) for check in table.checks),
        ]

    def _check_days(self, table: Table, staleness: Staleness, days: set[date], known: set[date]) -> list[CheckOutcome]:
        """Checks the days that were rebuilt, or all, some weeks at a time; what does not know of days, once."""
        connection = self.warehouse.connection
        partition = identifier(table.contract.partition or "")
        if self._must_check_all(table, staleness):
            days = known
        else:
            days = days | (touched_days(self.warehouse, table.contract.look_back_days, CHECKED) & known)

        def check(condition: str) -> list[CheckOutcome]:
            return [
                check_contract(connection, table, f"(select * from {table.relation} where {condition})"),
                *(check_sql(connection, check) for check in table.checks if check.is_by_day),
            ]

        found: list[CheckOutcome] = []
        for first, last in self._chunks(table, days, known):
            found = merged(found, check(f"{partition} between date {literal(first)} and date {literal(last)}"))
        if not found:
            self._list_days([])
            found = check("false")
        return [*found, *(check_sql(connection, check) for check in table.checks if not check.is_by_day)]

    def _must_check_all(self, table: Table, staleness: Staleness) -> bool:
        if staleness.has_new_rules:
            return True
        before = self.warehouse.stored_checks(table.full_name)
        return not before or not all(check.has_passed for check in before)

    # Tables.

    def _create(self, table: Table, is_anew: bool = False) -> None:
        """Makes the table as its contract has it."""
        connection = self.warehouse.connection
        described = self._describe(table)
        if is_anew or described != _declared(table):
            connection.execute(f"drop table if exists {table.relation}")
            described = None
        if described is not None and self.warehouse.code_hash(table.full_name) == table.code_hash:
            return
        if described is None:
            connection.execute(table.ddl(table.relation))
        connection.execute(f"comment on table {table.relation} is {literal(table.contract.description.strip())}")
        for name, meaning in table.columns.items():
            told = meaning.description + (f" [{meaning.unit}]" if meaning.unit else "")
            connection.execute(f"comment on column {table.relation}.{identifier(name)} is {literal(told)}")

    def _insert(self, table: Table, query: str) -> None:
        columns = ", ".join(map(identifier, table.contract.columns))
        self.warehouse.connection.execute(f"insert into {table.relation} select {columns} from ({query})")

    def _describe(self, table: Table) -> list[tuple[str, str]] | None:
        """The columns that a table has, with their types; None: it was never built."""
        if self.warehouse.version(table.full_name) is None:
            return None
        return [(row[0], row[1]) for row in self.warehouse.rows(f"describe {table.relation}")]

    def _require_declared_columns(self, table: Table) -> None:
        """A query's columns must be the contract's, in order."""
        found = [(row[0], row[1]) for row in self.warehouse.rows(f"describe select * from ({table.sql})")]
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
        self,
        table: Table,
        inputs: dict[str, Version],
        changes: list[Change],
        has_changed: bool,
        checks: list[CheckOutcome],
        started: float,
        differences: str | None = None,
    ) -> int:
        """Records a table's state, inside the transaction that wrote its rows; how many they are."""
        row_count = self.warehouse.row_count(table.relation)
        self.warehouse.record(
            table.full_name,
            table.code_hash,
            inputs,
            row_count,
            changes,
            has_changed,
            time.process_time() - started,
            differences,
            table.changed_key_sql if differences else None,
        )
        self.warehouse.store_checks(table.full_name, checks)
        return row_count

    def _outcome(
        self,
        table: Table,
        row_count: int,
        staleness: Staleness,
        changes: list[Change],
        checks: list[CheckOutcome],
        started: float,
        days: Iterable[date] = (),
    ) -> Outcome:
        return Outcome(
            table,
            row_count,
            days=list(days),
            reasons=staleness.reasons,
            changes=changes,
            checks=checks,
            cpu_seconds=time.process_time() - started,
        )


def _declared(table: Table) -> list[tuple[str, str]]:
    return [(name, column.type) for name, column in table.columns.items()]


def _mismatches(found: list[tuple[str, str]], declared: list[tuple[str, str]]) -> list[tuple[str, str, str]]:
    width = max(len(found), len(declared))
    padded = [*found, *[("(nothing)", "(nothing)")] * (width - len(found))]
    expected = [*declared, *[("(nothing)", "(nothing)")] * (width - len(declared))]
    return [(a[0], a[1], f"{b[0]} {b[1]}") for a, b in zip(padded, expected, strict=True) if a != b]
