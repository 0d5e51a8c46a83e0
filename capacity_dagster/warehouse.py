"""The warehouse of one site: two DuckDB files, one writer, and what is known of each table's state.

What belongs here: connections, the state of tables, replacing rows in one transaction. What does not:
deciding what a table needs (`materialise`), publishing (`publish`).

`work/pipeline.duckdb` holds what the pipeline alone reads; `work/capacity.duckdb` what is published, in a storage
version that DuckDB 1.4 reads. A transaction writes one file only, so each file has a schema `state` about its tables.
"""

import re
import uuid
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date, datetime
from itertools import chain
from pathlib import Path
from typing import Any

import duckdb

from capacity_dagster import privacy
from capacity_dagster.errors import WorkError
from capacity_dagster.locks import locked
from capacity_dagster.site_file import Site
from capacity_dagster.tables.catalogue import CLOSED, PUBLISHED, PUBLISHED_LAYERS, SITE_SCHEMA, SUITES, shared_sql
from capacity_dagster.tables.checks import CheckOutcome
from capacity_dagster.tables.quoting import literal

STORAGE_VERSION = "v1.4.0"
CHECKPOINT_THRESHOLD = "1GB"
"""How much is written ahead before it is folded into a file: seldom in one build, which then ends with doing so."""

DATABASES = {"pipeline": ("raw", "core", SITE_SCHEMA, "landing"), "capacity": PUBLISHED_LAYERS}
HISTORY = "history"
SCHEMAS = {**DATABASES, HISTORY: (PUBLISHED, CLOSED)}
"""The schemas that queries read, by database; one in memory has views of the files of what was published."""

STATE_TABLES = """
create schema if not exists {database}.state;
create table if not exists {database}.state.file (file_id varchar);
create table if not exists {database}.state.tables (
    table_name varchar, code_hash varchar, version bigint, row_count bigint, cpu_seconds double
);
create table if not exists {database}.state.inputs (
    table_name varchar, input_name varchar, file_id varchar, version bigint
);
create table if not exists {database}.state.changes (
    table_name varchar, version bigint, usage_date date, changed_from timestamp, changed_to timestamp,
    source_file varchar, changed_rows bigint
);
alter table {database}.state.changes add column if not exists changed_columns varchar[];
create table if not exists {database}.state.changed_keys (table_name varchar, version bigint, key varchar);
create table if not exists {database}.state.checks (
    table_name varchar, check_name varchar, is_blocking boolean, has_passed boolean, failed_rows bigint, result json
);
create table if not exists {database}.state.load_checks (table_name varchar, load_id varchar, counts bigint[]);
create table if not exists {database}.state.load_jobs (load_id varchar, job_block bigint);
create table if not exists {database}.state.load_days (
    load_id varchar, cluster varchar, record_date date, newest_at timestamp
);
create table if not exists {database}.state.published (content varchar);
"""


@dataclass(frozen=True)
class Version:
    """Which content a table has: a counter, in a file that may be deleted and start again."""

    file_id: str
    number: int


@dataclass(frozen=True)
class TableState:
    """The content that a table has, the definition that it was built by, and the content of its inputs then."""

    version: Version
    code_hash: str
    inputs: dict[str, Version]


@dataclass(frozen=True)
class Change:
    """A change of a table: of one day, or of any day.

    Attributes:
        source_file: the delivered file that brought it, where one did.
        changed_rows: how many rows it changed.
        changed_columns: the columns that may be otherwise; None: all.
    """

    usage_date: date | None = None
    source_file: str | None = None
    changed_rows: int = 0
    changed_columns: tuple[str, ...] | None = None


class Warehouse:
    """One site's databases, opened for writing by one process at a time."""

    def __init__(self, site: Site, as_of: datetime | None = None, allows_erasing: bool = False) -> None:
        self.site = site
        self.as_of = as_of
        self.allows_erasing = allows_erasing
        self._connection: duckdb.DuckDBPyConnection | None = None
        self._states: dict[str, TableState] = {}
        self._file_ids: dict[str, str] = {}

    @property
    def connection(self) -> duckdb.DuckDBPyConnection:
        if self._connection is None:
            raise RuntimeError("the warehouse is not open: use `with warehouse.write(purpose)`")
        return self._connection

    @contextmanager
    def write(self, purpose: str) -> Iterator["Warehouse"]:
        """Opens the databases, after waiting for whoever writes them now, and closes them whatever happens."""
        try:
            with locked(self.site, purpose):
                try:
                    self._connection = self._open()
                    self._read_states()
                    yield self
                finally:
                    if self._connection is not None:
                        self._connection.close()
                        self._connection = None
        except (duckdb.Error, OSError) as error:
            if told := remedy(self.site.work, error):
                raise WorkError(told) from error
            raise

    def _open(self) -> duckdb.DuckDBPyConnection:
        key = privacy.pseudonym_key(self.site)
        resources = self.site.content.resources
        temporary = self.site.work / "tmp"
        temporary.mkdir(parents=True, exist_ok=True)
        config: dict[str, Any] = {
            "autoinstall_known_extensions": False,
            "autoload_known_extensions": False,
            "temp_directory": str(temporary),
            "memory_limit": resources.memory_limit,
            "checkpoint_threshold": CHECKPOINT_THRESHOLD,
        }
        if resources.threads:
            config["threads"] = resources.threads
        connection = duckdb.connect(":memory:", config=config)
        try:
            connection.execute("set TimeZone = 'UTC'")
            for database, schemas in DATABASES.items():
                path = str(self.site.work / f"{database}.duckdb").replace("'", "''")
                version = f" (storage_version '{STORAGE_VERSION}')" if database == "capacity" else ""
                connection.execute(f"attach '{path}' as {database}{version}")
                connection.execute(STATE_TABLES.format(database=database))
                for schema in schemas:
                    connection.execute(f"create schema if not exists {database}.{schema}")
                connection.execute(
                    f"insert into {database}.state.file select ? where not exists (from {database}.state.file)",
                    [uuid.uuid4().hex],
                )
            connection.execute(f"attach ':memory:' as {HISTORY}")
            for schema in SCHEMAS[HISTORY]:
                connection.execute(f"create schema {HISTORY}.{schema}")
            search_path = ",".join(f"{database}.{schema}" for database, names in SCHEMAS.items() for schema in names)
            connection.execute(f"set search_path = '{search_path}'")
            connection.execute(shared_sql())
            privacy.prepare(connection, key)
        except BaseException:
            connection.close()
            raise
        return connection

    @contextmanager
    def transaction(self) -> Iterator[duckdb.DuckDBPyConnection]:
        """All or nothing; a transaction may write one of the two files."""
        self.connection.execute("begin")
        try:
            yield self.connection
        except BaseException:
            self.connection.execute("rollback")
            self._read_states()
            raise
        self.connection.execute("commit")

    def rows(self, sql: str, parameters: Any = None) -> list[tuple[Any, ...]]:
        return self.connection.execute(sql, parameters).fetchall()

    def value(self, sql: str, parameters: Any = None) -> Any:
        rows = self.rows(sql, parameters)
        return rows[0][0] if rows else None

    def row_count(self, relation: str) -> int:
        """The rows of a table or view, named with its database."""
        return int(self.value(f"select count(*) from {relation}"))

    # The state of tables.

    def version(self, table_name: str) -> Version | None:
        """The content that a table has now; None where it was never built."""
        state = self._states.get(table_name)
        return state.version if state else None

    def code_hash(self, table_name: str) -> str | None:
        """The definition that a table was built by; None where it was never built."""
        state = self._states.get(table_name)
        return state.code_hash if state else None

    def seen_inputs(self, table_name: str) -> dict[str, Version]:
        """Which content of its inputs a table was built from."""
        state = self._states.get(table_name)
        return state.inputs if state else {}

    def _read_states(self) -> None:
        """Reads what is stored of every table; it is kept in memory, as each table asks for that of all its inputs."""
        self._states = {}
        for database in DATABASES:
            ((file_id,),) = self.rows(f"select file_id from {database}.state.file")
            self._file_ids[database] = file_id
            inputs: dict[str, dict[str, Version]] = {}
            for table_name, input_name, *version in self.rows(
                f"select table_name, input_name, file_id, version from {database}.state.inputs"
            ):
                inputs.setdefault(table_name, {})[input_name] = Version(*version)
            for table_name, code_hash, number in self.rows(
                f"select table_name, code_hash, version from {database}.state.tables"
            ):
                self._states[table_name] = TableState(Version(file_id, number), code_hash, inputs.get(table_name, {}))

    def changes_since(self, table_name: str, version: int) -> list["Change"]:
        """What changed in a table after a version."""
        database = database_of(table_name)
        return [
            Change(*row)
            for row in self.rows(
                "select usage_date, source_file, changed_rows "
                f"from {database}.state.changes where table_name = ? and version > ?",
                [table_name, version],
            )
        ]

    def record(
        self,
        table_name: str,
        code_hash: str,
        inputs: dict[str, Version],
        row_count: int,
        changes: Sequence["Change"],
        has_changed: bool,
        cpu_seconds: float,
        differences: str | None = None,
        key: str | None = None,
    ) -> None:
        """Writes a table's new state; inside the transaction that wrote its rows.

        Args:
            differences: the relation that has the changes in full, as `find_differences` makes it, if not `changes`.
            key: SQL for the key of a difference, where somebody asks which ones changed.
        """
        database = database_of(table_name)
        before = self.version(table_name)
        number = before.number if before else 0
        number += 1 if has_changed or before is None else 0
        self._states[table_name] = TableState(Version(self._file_ids[database], number), code_hash, dict(inputs))
        execute = self.connection.execute
        if before:
            execute(f"delete from {database}.state.tables where table_name = ?", [table_name])
            execute(f"delete from {database}.state.inputs where table_name = ?", [table_name])
        execute(
            f"insert into {database}.state.tables values (?, ?, ?, ?, ?)",
            [table_name, code_hash, number, row_count, cpu_seconds],
        )
        if inputs:
            rows = ", ".join(
                f"({literal(name)}, {literal(seen.file_id)}, {seen.number})" for name, seen in inputs.items()
            )
            execute(f"insert into {database}.state.inputs select ?, * from (values {rows})", [table_name])
        if not has_changed:
            return
        columns = (
            "table_name, version, usage_date, changed_from, changed_to, changed_columns, source_file, changed_rows"
        )
        if differences:
            execute(
                f"insert into {database}.state.changes ({columns}) "
                "select ?, ?, changed_day, changed_from, changed_to, changed_columns, changed_by, "
                f"count(distinct changed_key) from {differences} group by all",
                [table_name, number],
            )
        elif changes:
            rows = ", ".join(
                f"({literal(change.usage_date) if change.usage_date else 'null'}::date, "
                f"{literal(change.source_file) if change.source_file else 'null'}::varchar, {change.changed_rows}, "
                f"{_listed(change.changed_columns)}::varchar[])"
                for change in changes
            )
            execute(
                f"insert into {database}.state.changes ({columns}) "
                f"select ?, ?, c.d, null, null, c.c, c.f, c.n from (values {rows}) as c (d, f, n, c)",
                [table_name, number],
            )
        if differences and key:
            execute(
                f"insert into {database}.state.changed_keys select distinct ?, ?, {key} from {differences} "
                "where changed_key is not null",
                [table_name, number],
            )

    def record_keys(self, table_name: str, keys: list[str]) -> None:
        """Adds to a table's last change which keys changed: of raw tables, the loads."""
        database = database_of(table_name)
        self.connection.execute(
            f"insert into {database}.state.changed_keys "
            f"select table_name, version, unnest(?) from {database}.state.tables where table_name = ?",
            [keys, table_name],
        )

    def published_state(self) -> str | None:
        """What was published last, as `record_published` was told."""
        found = self.value("select content from capacity.state.published")
        return None if found is None else str(found)

    def record_published(self, content: str) -> None:
        """Keeps what was published, after its version became current."""
        with self.transaction() as connection:
            connection.execute("delete from capacity.state.published")
            connection.execute("insert into capacity.state.published values (?)", [content])

    def store_checks(self, table_name: str, checks: list[CheckOutcome]) -> None:
        """Keeps what the checks of a table found on its current state."""
        database = database_of(table_name)
        self.connection.execute(f"delete from {database}.state.checks where table_name = ?", [table_name])
        if not checks:
            return
        values = [
            (table_name, check.name, check.is_blocking, check.has_passed, check.failed_rows, check.to_json())
            for check in checks
        ]
        rows = ", ".join(["(?, ?, ?, ?, ?, ?)"] * len(values))
        self.connection.execute(f"insert into {database}.state.checks values {rows}", list(chain(*values)))

    def stored_checks(self, table_name: str) -> list[CheckOutcome]:
        """What the checks of a table found on its current state."""
        database = database_of(table_name)
        rows = self.rows(f"select result from {database}.state.checks where table_name = ?", [table_name])
        return [CheckOutcome.from_json(row[0]) for row in rows]

    def all_checks(self) -> list[tuple[str, CheckOutcome]]:
        """What the checks of every table found on its current state, with the table's name."""
        return [
            (name, CheckOutcome.from_json(result))
            for database in DATABASES
            for name, result in self.rows(
                f"select table_name, result from {database}.state.checks order by table_name, check_name"
            )
        ]


def remedy(work: Path, error: object) -> str | None:
    """What to do about databases that are damaged, or about a disk; None: the error is about something else.

    Args:
        error: an error, or what is left of it where it comes from another process.
    """
    said = (str(error).strip() or type(error).__name__).splitlines()[0][:300]
    if "; expected " in said:
        return None
    if re.search(r"No space left|Read-only file system|Permission denied|failed to offload|max_temp_directory", said):
        return f"{said}; expected folders that this user may write, with space left on their disk (work: {work})"
    is_damaged = isinstance(error, duckdb.InternalException | duckdb.FatalException | duckdb.SerializationException)
    if is_damaged or re.search(r"[Cc]orrupt|checksum|not a valid DuckDB|No magic bytes|Could not read", said):
        return (
            f"{work}: has a damaged file ({said}); expected the databases of an earlier build. Delete this folder: the "
            "next build makes it anew from the landing, and what is published stays"
        )
    return None


def naive(instant: Any) -> Any:
    """A UTC instant as DuckDB's TIMESTAMP takes it."""
    return None if instant is None else instant.replace(tzinfo=None)


def _listed(names: tuple[str, ...] | None) -> str:
    return "null" if names is None else f"[{', '.join(map(literal, names))}]"


def database_of(table_name: str) -> str:
    """The database file that a table, named with its schema, lives in, or in which the state of a suite is kept."""
    schema = table_name.split(".")[0]
    if schema == SUITES:
        return "pipeline"
    return next(database for database, schemas in SCHEMAS.items() if schema in schemas)
