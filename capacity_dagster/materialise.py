"""Brings tables up to date: what is stale, since which change, and nothing more.

What belongs here: the one truth about staleness and the building of tables. What does not: Dagster, publishing.

A table is stale when its SQL or contract changed, or when an input has a later version than the one it was built from.
A table without a partition column is rebuilt whole and compared with what was there: the rows that differ say which
days they touch. A table with one is rebuilt for the days that its inputs touched since, in one transaction.
"""

import json
import time
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import date
from typing import Any

from capacity_dagster.errors import ContractError, SourceError
from capacity_dagster.sources.landing import Delivery, scan
from capacity_dagster.sources.reader import Load, Reader
from capacity_dagster.tables.catalogue import (
    DAYS,
    LANDING,
    LANDING_TABLES,
    LOAD_COLUMNS,
    SITE_SCHEMA,
    SITE_TABLES,
    Catalogue,
    Table,
)
from capacity_dagster.tables.checks import CheckOutcome, check_contract, check_sql
from capacity_dagster.tables.quoting import identifier, literal
from capacity_dagster.warehouse import Change, Version, Warehouse, database_of

FOREVER = "timestamp '9999-01-01'"


@dataclass(frozen=True)
class Outcome:
    """What became of a table.

    Attributes:
        days: the days that were rebuilt; empty for tables without a partition column.
        reasons: why, each a clause of a sentence; empty: it was up to date.
        changes: what is different from before.
        problems: deliveries that could not be used at all, each with its message.
    """

    table: Table
    row_count: int
    days: list[date] = field(default_factory=list)
    reasons: list[str] = field(default_factory=list)
    changes: list[Change] = field(default_factory=list)
    checks: list[CheckOutcome] = field(default_factory=list)
    deliveries: list[Load] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)
    cpu_seconds: float = 0.0

    @property
    def was_up_to_date(self) -> bool:
        return not self.reasons


class Materialiser:
    """Brings the tables of one open warehouse up to date."""

    def __init__(self, warehouse: Warehouse, catalogue: Catalogue) -> None:
        self.warehouse = warehouse
        self.catalogue = catalogue
        self._load_site()

    def bring_up_to_date(self, table: Table, forced_days: Iterable[date] = ()) -> Outcome:
        """Builds what is stale of a table and checks it; what is up to date is left alone.

        Args:
            forced_days: days to rebuild even if nothing changed.

        Raises:
            ContractError: the query's columns are not those of the contract.
        """
        started = time.process_time()
        if table.is_raw:
            return self._land(table, started)
        inputs = self._input_versions(table)
        reasons, changes = self._stale(table, inputs)
        if table.contract.partition:
            return self._build_days(table, inputs, reasons, changes, set(forced_days), started)
        if not reasons and not set(forced_days):
            return Outcome(table, self._row_count(table), checks=self._stored_checks(table))
        return self._build_whole(table, inputs, reasons or ["asked for"], started)

    # What is stale.

    def _input_versions(self, table: Table) -> dict[str, Version]:
        versions = {}
        for name in table.inputs:
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
            versions = [self.warehouse.version(name) for name in table.inputs]
            if None in versions or self._stale(table, self._input_versions(table))[0]:
                stale.add(table.full_name)
        return sorted(stale)

    def stale_deliveries(self) -> list[str]:
        """Names of the raw tables whose deliveries are not those that they were read from."""
        stale = []
        for table in self.catalogue.of_layer("raw"):
            reader = Reader(self.warehouse.site, table)
            try:
                now = {
                    (reader.load_id(delivery), delivery.path, _naive(delivery.collected_at))
                    for delivery in scan(self.warehouse.site, table.name)
                }
            except SourceError:
                stale.append(table.full_name)
                continue
            known = set(
                self.warehouse.rows(
                    "select load_id, source_file, collected_at from landing.deliveries where source_kind = ?",
                    [table.name],
                )
            )
            if now != known or self.warehouse.version(table.full_name) is None:
                stale.append(table.full_name)
        return stale

    # Building.

    def _build_whole(self, table: Table, inputs: dict[str, Version], reasons: list[str], started: float) -> Outcome:
        connection = self.warehouse.connection
        self._query_into(table, "fresh")
        columns = ", ".join(map(identifier, table.contract.columns))
        compared = ", ".join(map(identifier, table.contract.compared_columns))
        is_first = self.warehouse.version(table.full_name) is None
        with self.warehouse.transaction():
            self._create(table)
            if is_first:
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
            row_count = self._row_count(table)
            checks = self._run_checks(table)
            self.warehouse.record(
                table.full_name,
                table.code_hash,
                inputs,
                row_count,
                changes,
                has_changed,
                time.process_time() - started,
            )
            self._store_checks(table, checks)
        connection.execute("drop table if exists fresh")
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
        rows = self.warehouse.rows(
            f"""
            with different as (
                (select {compared} from fresh except all select {compared} from {table.relation})
                union all
                (select {compared} from {table.relation} except all select {compared} from fresh)
            ),
            files as (
                select {key}, {file} as source_file from fresh group by {key}
            )
            select {day}, {changed_from}, {changed_to}, files.source_file, count(distinct ({key}))
            from different
            left join files using ({key})
            group by 1, 2, 3, 4
            order by 1, 2, 3, 4
            """
        )
        return [Change(*row) for row in rows]

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
        is_whole = any(change.usage_date is None and change.changed_from is None for change in changes)
        days = set(known) if is_whole else self._touched_days(changes, known, table.contract.look_back_days)
        if forced := forced_days & known:
            days |= forced
            reasons = [*reasons, "asked for"]
        if not reasons and not days:
            return Outcome(table, self._row_count(table), checks=self._stored_checks(table))
        listed = sorted(days)
        connection.execute(f"create or replace temp table {DAYS} (usage_date date)")
        if listed:
            connection.executemany(f"insert into {DAYS} values (?)", [[day] for day in listed])
        partition = identifier(table.contract.partition or "")
        columns = ", ".join(map(identifier, table.contract.columns))
        if listed:
            self._query_into(table, "fresh")
        with self.warehouse.transaction():
            self._create(table)
            if is_whole:
                connection.execute(f"delete from {table.relation}")
            else:
                connection.execute(f"delete from {table.relation} where {partition} in (select usage_date from {DAYS})")
            if listed:
                connection.execute(f"insert into {table.relation} select {columns} from fresh")
            row_count = self._row_count(table)
            checks = self._run_checks(table) if listed or is_whole else self._stored_checks(table)
            changed = [Change()] if is_whole else [Change(usage_date=day) for day in listed]
            self.warehouse.record(
                table.full_name,
                table.code_hash,
                inputs,
                row_count,
                changed,
                bool(changed),
                time.process_time() - started,
            )
            self._store_checks(table, checks)
        connection.execute("drop table if exists fresh")
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

    def _create(self, table: Table) -> None:
        connection = self.warehouse.connection
        described = self._describe(table.relation)
        if described is not None and described != _declared(table):
            connection.execute(f"drop table {table.relation}")
            described = None
        if described is None:
            connection.execute(table.ddl(table.relation))
            connection.execute(f"comment on table {table.relation} is {literal(table.contract.description.strip())}")
            for name, meaning in table.columns.items():
                told = meaning.description + (f" [{meaning.unit}]" if meaning.unit else "")
                connection.execute(f"comment on column {table.relation}.{identifier(name)} is {literal(told)}")

    def _describe(self, relation: str) -> list[tuple[str, str]] | None:
        database, schema, name = relation.split(".")
        rows = self.warehouse.rows(
            "select column_name, data_type from duckdb_columns() "
            "where database_name = ? and schema_name = ? and table_name = ? order by column_index",
            [database, schema, name],
        )
        return rows or None

    def _query_into(self, table: Table, name: str) -> None:
        """Runs a table's query into a temporary table; its columns must be the contract's, in order and type."""
        found = [(row[0], row[1]) for row in self.warehouse.rows(f"describe {table.sql}")]
        declared = _declared(table)
        if found != declared:
            wrong = [f"{a} is {b}, expected {c}" for a, b, c in _mismatches(found, declared)]
            raise ContractError(f"{table.path}: the query's columns are not the contract's: {'; '.join(wrong)}")
        self.warehouse.connection.execute(f"create or replace temp table {name} as {table.sql}")

    def _row_count(self, table: Table) -> int:
        if self._describe(table.relation) is None:
            return 0
        return int(self.warehouse.value(f"select count(*) from {table.relation}"))

    # Checks.

    def _run_checks(self, table: Table) -> list[CheckOutcome]:
        connection = self.warehouse.connection
        return [check_contract(connection, table), *(check_sql(connection, check) for check in table.checks)]

    def _store_checks(self, table: Table, checks: list[CheckOutcome]) -> None:
        database = database_of(table.full_name)
        execute = self.warehouse.connection.execute
        execute(f"delete from {database}.state.checks where table_name = ?", [table.full_name])
        for check in checks:
            execute(
                f"insert into {database}.state.checks values (?, ?, ?, ?, ?, ?)",
                [
                    table.full_name,
                    check.name,
                    check.is_blocking,
                    check.has_passed,
                    check.failed_rows,
                    check.to_json(),
                ],
            )

    def _stored_checks(self, table: Table) -> list[CheckOutcome]:
        database = database_of(table.full_name)
        rows = self.warehouse.rows(
            f"select result from {database}.state.checks where table_name = ?", [table.full_name]
        )
        return [CheckOutcome.from_json(row[0]) for row in rows]

    # The landing.

    def _land(self, table: Table, started: float) -> Outcome:
        """Reads what is delivered of one kind, each content once, and points the table's view at it."""
        warehouse, connection = self.warehouse, self.warehouse.connection
        reader = Reader(warehouse.site, table)
        loads: list[Load] = []
        problems: list[str] = []
        deliveries: list[Delivery] = []
        try:
            deliveries = scan(warehouse.site, table.name)
        except SourceError as error:
            problems.append(str(error))
        for delivery in deliveries:
            try:
                loads.append(reader.read(connection, delivery))
            except SourceError as error:
                problems.append(str(error))
        before = {
            (row[0], row[1], row[2]): row[3]
            for row in warehouse.rows(
                "select load_id, source_file, collected_at, accepted_rows from landing.deliveries "
                "where source_kind = ?",
                [table.name],
            )
        }
        after = {(load.load_id, load.delivery.path, _naive(load.delivery.collected_at)): load for load in loads}
        code_hash = f"{table.code_hash} {'; '.join(sorted(problems))}"
        is_stale = before.keys() != after.keys() or warehouse.code_hash(table.full_name) != code_hash
        if not is_stale:
            return Outcome(
                table, self._raw_rows(table), checks=self._stored_checks(table), deliveries=loads, problems=problems
            )
        with warehouse.transaction():
            self._record_loads(table, loads)
            connection.execute(_raw_view(table, loads))
            connection.execute(
                f"create or replace view pipeline.raw.{table.name}__rejected as select * exclude (source_kind) "
                f"from pipeline.landing.rejected where source_kind = {literal(table.name)}"
            )
            row_count = self._raw_rows(table)
            reasons = _told_files({(key[1], key[0]) for key in before}, {(key[1], key[0]) for key in after}) or [
                "first build"
            ]
            warehouse.record(table.full_name, code_hash, {}, row_count, [Change()], True, time.process_time() - started)
            for name in LANDING_TABLES:
                warehouse.record(name, "", {}, 0, [Change()], True, 0.0)
            checks = self._check_loads(table, problems)
            self._store_checks(table, checks)
        return Outcome(
            table,
            row_count,
            reasons=reasons,
            changes=[Change()],
            checks=checks,
            deliveries=loads,
            problems=problems,
            cpu_seconds=time.process_time() - started,
        )

    def _record_loads(self, table: Table, loads: list[Load]) -> None:
        connection = self.warehouse.connection
        for relation in LANDING_TABLES:
            connection.execute(f"delete from pipeline.{relation} where source_kind = ?", [table.name])
        for load in loads:
            delivery = load.delivery
            connection.execute(
                "insert into pipeline.landing.deliveries values (?, ?, ?, ?, ?, ?, ?, ?, ?)",
                [
                    load.load_id,
                    table.name,
                    delivery.path,
                    delivery.source.cluster,
                    delivery.content_sha256,
                    delivery.size_bytes,
                    _naive(delivery.collected_at),
                    load.accepted_rows,
                    load.rejected_rows,
                ],
            )
        for load_id in sorted({load.load_id for load in loads if load.rejected_rows}):
            load = min((each for each in loads if each.load_id == load_id), key=lambda each: each.delivery.path)
            connection.execute(
                "insert into pipeline.landing.rejected select ?, ?, ?, ?, source_line, record_text, reject_reason, "
                "record_at, accelerator_seconds from read_parquet(?)",
                [table.name, load_id, load.delivery.path, load.delivery.source.cluster, str(load.rejected)],
            )

    def _raw_rows(self, table: Table) -> int:
        return int(self.warehouse.value(f"select count(*) from {table.relation}"))

    def _check_loads(self, table: Table, problems: list[str]) -> list[CheckOutcome]:
        from capacity_dagster.tables.expectations import check_expectations

        connection = self.warehouse.connection
        rejected = self.warehouse.rows(
            "select reject_reason, count(*), min(source_file), min(source_line) from landing.rejected "
            "where source_kind = ? group by all order by 2 desc, 1",
            [table.name],
        )
        return [
            CheckOutcome(
                "deliveries_are_readable",
                is_blocking=True,
                has_passed=not problems,
                failed_rows=len(problems),
                description="Every delivered file could be used.",
                sample=[{"problem": problem} for problem in problems],
            ),
            CheckOutcome(
                "nothing_is_rejected",
                is_blocking=False,
                has_passed=not rejected,
                failed_rows=sum(row[1] for row in rejected),
                description="Every record could be understood; those that could not are in the table's __rejected.",
                rules=[
                    {"rule": row[0], "column": "", "expected": "no record", "failed_rows": row[1], "file": row[2]}
                    for row in rejected
                ],
                sample=[
                    dict(zip(("source_file", "source_line", "reject_reason", "record_text"), row, strict=True))
                    for row in self.warehouse.rows(
                        "select source_file, source_line, reject_reason, left(record_text, 300) from landing.rejected "
                        "where source_kind = ? order by reject_reason, source_file, source_line limit 10",
                        [table.name],
                    )
                ],
            ),
            *check_expectations(connection, table),
        ]

    # What the site file says, as tables.

    def _load_site(self) -> None:
        warehouse, content = self.warehouse, self.warehouse.site.content
        zone = content.site.reporting_time_zone
        as_of = _naive(warehouse.as_of)
        rules = [
            (position, rule.name, partition, qos)
            for position, rule in enumerate(content.workload_classes)
            for partition in rule.partitions or (None,)
            for qos in rule.qos or (None,)
        ]
        aliases = [
            (alias.lower(), model)
            for model, accelerator in content.accelerators.items()
            for alias in {model.lower(), *(alias.lower() for alias in accelerator.aliases)}
        ]
        rows: dict[str, list[tuple[Any, ...]]] = {
            "site.settings": [
                (content.site.name, content.site.first_day, zone, content.reconciliation.tolerance_seconds)
            ],
            "site.clusters": [
                (name, cluster.scheduler, zone, content.site.first_day, as_of)
                for name, cluster in sorted(content.clusters.items())
            ],
            "site.accelerators": sorted(aliases),
            "site.pools": [(name, pool.tenure) for name, pool in sorted(content.pools.items())],
            "site.workload_rules": rules,
        }
        with warehouse.transaction() as connection:
            for name, columns in LANDING_TABLES.items():
                connection.execute(f"create table if not exists pipeline.{name} ({columns})")
                if warehouse.version(name) is None:
                    warehouse.record(name, "", {}, 0, [Change()], True, 0.0)
            for name, columns in SITE_TABLES.items():
                content_hash = json.dumps(rows[name], default=str)
                if warehouse.code_hash(name) == content_hash:
                    continue
                connection.execute(f"create or replace table pipeline.{name} ({columns})")
                for row in rows[name]:
                    values = ", ".join("?" * len(row))
                    if name == f"{SITE_SCHEMA}.clusters":
                        values = (
                            "?, ?, ?, timezone('UTC', timezone('" + zone.replace("'", "''") + "', ?::timestamp)), ?"
                        )
                    connection.execute(f"insert into pipeline.{name} values ({values})", row)
                warehouse.record(name, content_hash, {}, len(rows[name]), [Change()], True, 0.0)


def _span(table: Table) -> tuple[str, str, str]:
    """SQL for the day, or the beginning and end of the span of time, that a row of a table matters for."""
    if "usage_date" in table.contract.columns:
        return "usage_date", "null::timestamp", "null::timestamp"
    if table.contract.interval:
        begin, end = map(identifier, table.contract.interval)
        return (
            "null::date",
            f"date_trunc('hour', coalesce({begin}, timestamp '1900-01-01'))",
            f"date_trunc('hour', coalesce({end}, {FOREVER})) + interval 1 hour",
        )
    return "null::date", "null::timestamp", "null::timestamp"


def _declared(table: Table) -> list[tuple[str, str]]:
    return [(name, column.type) for name, column in table.columns.items()]


def _mismatches(found: list[tuple[str, str]], declared: list[tuple[str, str]]) -> list[tuple[str, str, str]]:
    width = max(len(found), len(declared))
    padded = [*found, *[("(nothing)", "(nothing)")] * (width - len(found))]
    expected = [*declared, *[("(nothing)", "(nothing)")] * (width - len(declared))]
    return [(a[0], a[1], f"{b[0]} {b[1]}") for a, b in zip(padded, expected, strict=True) if a != b]


def _raw_view(table: Table, loads: list[Load]) -> str:
    names = [name for name in table.columns if name not in LOAD_COLUMNS]
    if not loads:
        columns = ", ".join(f"null::{column.type} as {identifier(name)}" for name, column in table.columns.items())
        return f"create or replace view {table.relation} as select {columns} where false"
    files = ", ".join(sorted({literal(load.records) for load in loads}))
    columns = ", ".join(f"records.{identifier(name)}" for name in names)
    return f"""
        create or replace view {table.relation} as
        select {columns}, deliveries.source_file, deliveries.content_sha256, deliveries.collected_at
        from read_parquet([{files}]) as records
        inner join (
            select
                load_id,
                min(source_file) as source_file,
                min(content_sha256) as content_sha256,
                max(collected_at) as collected_at
            from pipeline.{LANDING}.deliveries
            where source_kind = {literal(table.name)}
            group by load_id
        ) as deliveries on records.load_id = deliveries.load_id
    """


def _naive(instant: Any) -> Any:
    """A UTC instant as DuckDB's TIMESTAMP takes it."""
    return None if instant is None else instant.replace(tzinfo=None)


def _told(name: str, changes: list[Change]) -> list[str]:
    """Why, in words: `jobs-11-07.psv changed 412 rows of core.attempts`."""
    by_file: dict[str | None, int] = {}
    days: set[date] = set()
    for change in changes:
        by_file[change.source_file] = by_file.get(change.source_file, 0) + change.changed_rows
        if change.usage_date:
            days.add(change.usage_date)
    told = [
        f"{file} changed {count:,} row{'s' if count != 1 else ''} of {name}"
        for file, count in sorted(by_file.items(), key=lambda item: str(item[0]))
        if file
    ]
    if told:
        return told
    if days:
        return [f"{name} was rebuilt for {len(days)} day{'s' if len(days) != 1 else ''}"]
    return [f"{name} changed"]


def _told_files(before: set[tuple[str, str]], after: set[tuple[str, str]]) -> list[str]:
    old, new = dict(before), dict(after)
    return [
        *(f"{path} is new" for path in sorted(new.keys() - old.keys())),
        *(f"{path} has another content" for path in sorted(new.keys() & old.keys()) if old[path] != new[path]),
        *(f"{path} is gone" for path in sorted(old.keys() - new.keys())),
    ]
