"""All tables, read from `assets_sql`: their queries, contracts, checks and dependencies.

What belongs here: finding and reading the files, and the order of tables. What does not: running a query.
"""

import hashlib
import re
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache, cached_property
from importlib.resources import files
from pathlib import Path
from typing import Any

import sqlglot
import yaml
from sqlglot import exp

from capacity_dagster.errors import ContractError
from capacity_dagster.tables.contract import Column, Contract
from capacity_dagster.tables.quoting import identifier

LAYERS = ("raw", "core", "mart", "report")
PUBLISHED_LAYERS = ("mart", "report")
SITE_SCHEMA = "site"
PUBLISHED, CLOSED = "published", "closed"
"""Schemas of what was published last, and of closed months as they were signed: the report's tables, and some below."""
LANDING = "landing"
SUITES = "suites"
"""The folder of suites, and what their names begin with."""
LOAD_COLUMNS = ("source_file", "content_sha256", "collected_at")
"""Columns that the view of a raw table adds to each record from its delivery."""
DAYS = "days"
"""The relation from which a day-grain query reads the days it is to build."""

RECORDS_SCOPE, ATTEMPTS_SCOPE, SHAPES_SCOPE = "records_in_scope", "attempts_in_scope", "shapes_in_scope"
SCOPES = {
    RECORDS_SCOPE: "raw.slurm_jobs",
    ATTEMPTS_SCOPE: "core.attempts",
    SHAPES_SCOPE: "core.allocation_shapes",
}
"""Relations that a query may read in place of a whole table: all of it when everything is built, else what changed."""

SITE_TABLES = {
    "site.settings": "site_name varchar, first_day date, reporting_time_zone varchar, tolerance_seconds bigint, "
    "tolerance_share double, depreciation varchar, cost_of_capital double, currency varchar, "
    "idle_policy varchar, reject_share_limit double, reject_rows_tolerated bigint",
    "site.privacy": "key_id varchar, drops_job_names boolean",
    "site.clusters": "cluster varchar, scheduler varchar, reporting_time_zone varchar, first_at timestamp, "
    "as_of_at timestamp",
    "site.node_domains": "cluster varchar, domain varchar",
    "site.node_aliases": "cluster varchar, alias varchar, node varchar",
    "site.accelerators": "alias varchar, accelerator_model varchar",
    "site.accelerator_models": "accelerator_model varchar, memory_gb bigint, compute_slices bigint",
    "site.pools": "pool varchar, tenure varchar",
    "site.charge_rules": "rule_no bigint, cluster varchar, pool varchar, cost_component varchar, "
    "accelerator_model varchar, column_name varchar, tag varchar, pattern varchar, conditions bigint",
    "site.ended_accounts": "provider_name varchar, billing_account_id varchar, last_date date",
    "site.ended_sources": "source varchar, cluster varchar, last_date date",
    "site.instance_types": "instance_type varchar, accelerator_model varchar, accelerators bigint",
    "site.closed_months": "usage_month date, closed_version bigint, closed_at timestamp",
    "site.workload_rules": "position bigint, workload_class varchar, partition_name varchar, qos varchar",
}
"""What the site file says, as relations that queries read."""
LANDING_TABLES = {
    "landing.deliveries": "load_id varchar, source_kind varchar, source_file varchar, cluster varchar, "
    "content_sha256 varchar, size_bytes bigint, collected_at timestamp, accepted_rows bigint, rejected_rows bigint",
    "landing.rejected": "source_kind varchar, load_id varchar, source_file varchar, cluster varchar, "
    "source_line bigint, record_text varchar, reject_reason varchar, record_at timestamp, accelerator_seconds bigint, "
    "record_key varchar, record_cost decimal(38, 12), record_currency varchar",
}
"""What is delivered, and what was rejected of it, as relations that queries read."""
PUBLISHED_TABLES = {
    "published.versions": "version bigint, has_other_code boolean, has_other_site_file boolean",
    "published.clusters": "cluster varchar, as_of_at timestamp",
    "published.closed_months": "usage_month date",
    "published.files": "source_file varchar, cluster varchar, content_sha256 varchar",
    "published.states": "table_name varchar, version bigint",
    "published.changed_files": "source_file varchar, cluster varchar, change varchar",
    "published.changed_spans": "source_file varchar, cluster varchar, changed_from timestamp, changed_to timestamp",
}
"""What else queries may ask of the version that was published last, and what has changed since."""


@dataclass(frozen=True)
class SqlCheck:
    """A check whose query returns the rows that break it."""

    name: str
    sql: str
    description: str
    blocking: bool

    @property
    def is_by_day(self) -> bool:
        """Whether it judges the days that are listed, and no others."""
        return re.search(rf"\b(from|join) {DAYS}\b", self.sql) is not None


@dataclass(frozen=True)
class Table:
    """One table: a folder of `assets_sql`."""

    layer: str
    name: str
    folder: Path
    sql: str
    contract: Contract
    columns: dict[str, Column]
    checks: tuple[SqlCheck, ...]

    @property
    def full_name(self) -> str:
        return f"{self.layer}.{self.name}"

    @property
    def relation(self) -> str:
        """Its name with the database, for statements that write."""
        return f"{self.database}.{self.layer}.{self.name}"

    @property
    def is_raw(self) -> bool:
        return self.layer == "raw"

    @property
    def is_published(self) -> bool:
        return self.layer in PUBLISHED_LAYERS

    @property
    def database(self) -> str:
        """The database file that stores it: what is published lives apart from what is not."""
        return "capacity" if self.is_published else "pipeline"

    @property
    def path(self) -> Path:
        return self.folder / "query.sql"

    @cached_property
    def formats(self) -> dict[str, str]:
        """For raw tables: SQL by format name that reads a delivery which is not delimited text."""
        return {
            file.stem: file.read_text(encoding="utf-8")
            for file in sorted(self.folder.glob("*.sql"))
            if file.stem != "query"
        }

    @cached_property
    def inputs(self) -> tuple[str, ...]:
        """The tables that the query reads, as `schema.table`, sorted."""
        return tuple(sorted(name for name in self._named_by_query if not is_history(name)))

    @cached_property
    def check_inputs(self) -> tuple[str, ...]:
        """The other tables that its checks read, as `schema.table`, sorted."""
        read = {name for name in self._named_by_checks if not is_history(name)}
        return tuple(sorted(read - {self.full_name, *self.inputs}))

    @cached_property
    def history(self) -> tuple[str, ...]:
        """What it reads of what was published or closed, in its query and its checks: no reason to build it anew."""
        return tuple(sorted(filter(is_history, self._named_by_query | self._named_by_checks)))

    @cached_property
    def _named_by_query(self) -> set[str]:
        return read_by(self.sql)

    @cached_property
    def _named_by_checks(self) -> set[str]:
        return {name for check in self.checks for name in read_by(check.sql)}

    @cached_property
    def scope(self) -> str | None:
        """The one of `SCOPES` that the query reads."""
        return next((name for name in SCOPES if re.search(rf"\b{name}\b", self.sql)), None)

    @property
    def holds_attempts(self) -> bool:
        """Whether it has as many rows as there are attempts, and is rebuilt for those that changed."""
        return self.scope is not None and "attempt_id" in self.contract.columns

    @property
    def is_keyed_by_attempt(self) -> bool:
        """Whether a change of it names the attempt that it is about."""
        return "attempt_id" in self.contract.key

    @property
    def entry_key(self) -> str:
        """SQL for the entry of a dictionary that a row belongs to, as one text."""
        return _entry_key(map(identifier, self.contract.dictionary))

    @property
    def changed_key_sql(self) -> str | None:
        """SQL for the key of a change, where others ask which attempts or entries changed."""
        if self.is_keyed_by_attempt:
            return "changed_key.attempt_id"
        if self.contract.dictionary:
            return _entry_key(f"changed_key.{identifier(name)}" for name in self.contract.dictionary)
        return None

    @cached_property
    def code_hash(self) -> str:
        """Changes when the query, the contract or the meaning of a column changes."""
        digest = hashlib.sha256()
        for part in (
            self.sql,
            self.contract.model_dump_json(),
            *(f"{name}{column.model_dump_json()}" for name, column in self.columns.items()),
            *self.formats.values(),
            *(check.sql for check in self.checks),
            shared_sql(),
        ):
            digest.update(part.encode())
            digest.update(b"\0")
        return digest.hexdigest()[:16]

    def ddl(self, name: str) -> str:
        """CREATE TABLE under a name, with the contract's columns and types."""
        columns = ",\n".join(f'    "{column}" {meaning.type}' for column, meaning in self.columns.items())
        return f"create table {name} (\n{columns}\n)"


class Catalogue:
    """The tables by full name, in an order in which each comes after its inputs."""

    def __init__(self, tables: list[Table]) -> None:
        self.tables = {table.full_name: table for table in _sorted_by_inputs(tables)}

    def __getitem__(self, full_name: str) -> Table:
        return self.tables[full_name]

    def __iter__(self) -> Any:
        return iter(self.tables.values())

    def upstream(self, table: Table) -> list[Table]:
        """The tables that must be up to date before a table is; what is known of the landing comes with every load."""
        read = {*table.inputs, *table.check_inputs}
        names = {name for name in read if name in self.tables}
        if any(name.startswith(f"{LANDING}.") for name in read):
            names |= {raw.full_name for raw in self.of_layer("raw")}
        return [self.tables[name] for name in sorted(names)]

    def of_layer(self, *layers: str) -> list[Table]:
        return [table for table in self if table.layer in layers]

    def downstream_of(self, names: set[str]) -> list[str]:
        """The named tables and all that depend on them, in build order."""
        found = set(names)
        for table in self:
            if found.intersection(upstream.full_name for upstream in self.upstream(table)):
                found.add(table.full_name)
        return [name for name in self.tables if name in found]


def assets_folder() -> Path:
    """The folder of the SQL."""
    return Path(str(files("assets_sql")))


@cache
def shared_sql() -> str:
    """The macros that queries of every layer may use, as statements for a connection."""
    return (assets_folder() / "macros.sql").read_text(encoding="utf-8")


@cache
def column_meanings() -> dict[str, Column]:
    """What each column name means."""
    return {name: Column.model_validate(entry) for name, entry in read_yaml(assets_folder() / "columns.yaml").items()}


@cache
def personal_columns() -> dict[str, str]:
    """The columns that name a user (`user`), or hold texts that may (`text`)."""
    return {name: column.personal for name, column in column_meanings().items() if column.personal}


@cache
def load_catalogue() -> Catalogue:
    """Reads every table of `assets_sql`.

    Raises:
        ContractError: a contract is not one, or names a column that `columns.yaml` does not define.
    """
    root = assets_folder()
    return Catalogue(
        [
            _table(folder, column_meanings())
            for layer in LAYERS
            for folder in sorted((root / layer).iterdir())
            if (folder / "contract.yaml").exists()
        ]
    )


def _table(folder: Path, meanings: dict[str, Column]) -> Table:
    try:
        contract = Contract.model_validate(read_yaml(folder / "contract.yaml"))
    except ValueError as error:
        raise ContractError(f"{folder / 'contract.yaml'}: {error}") from error
    if undefined := [name for name in contract.columns if name not in meanings]:
        raise ContractError(f"{folder / 'contract.yaml'}: columns.yaml does not define {undefined}")
    return Table(
        layer=folder.parent.name,
        name=folder.name,
        folder=folder,
        sql=(folder / "query.sql").read_text(encoding="utf-8"),
        contract=contract,
        columns={
            name: meanings[name] for name in (*contract.columns, *(LOAD_COLUMNS if folder.parent.name == "raw" else ()))
        },
        checks=tuple(_check(file) for file in sorted((folder / "checks").glob("*.sql"))),
    )


def _check(file: Path) -> SqlCheck:
    """The header's first line is `-- severity: error` (blocking) or `-- severity: warn`; the next say what it means."""
    sql = file.read_text(encoding="utf-8")
    header = [line.removeprefix("--").strip() for line in sql.splitlines() if line.startswith("--")]
    match = re.fullmatch(r"severity: (error|warn)", header[0] if header else "")
    if match is None:
        raise ContractError(f"{file}: the first line must be '-- severity: error' or '-- severity: warn'")
    return SqlCheck(name=file.stem, sql=sql, description=" ".join(header[1:]), blocking=match.group(1) == "error")


def _entry_key(columns: Iterable[str]) -> str:
    return f"concat_ws(chr(31), {', '.join(columns)})"


def read_by(sql: str) -> set[str]:
    """The relations that a query reads, as `schema.table`."""
    parsed = sqlglot.parse_one(sql, dialect="duckdb")
    names = {(table.db, table.name) for table in parsed.find_all(exp.Table)}
    return {f"{db}.{name}" for db, name in names if db} | {
        SCOPES[name] for db, name in names if not db and name in SCOPES
    }


def is_history(name: str) -> bool:
    """Whether a relation is one of what was published or closed."""
    return name.startswith((f"{PUBLISHED}.", f"{CLOSED}."))


def read_yaml(file: Path) -> Any:
    """The content of a YAML file."""
    with file.open(encoding="utf-8") as stream:
        return yaml.load(stream, Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader))


def _sorted_by_inputs(tables: list[Table]) -> list[Table]:
    by_name = {table.full_name: table for table in tables}
    ordered: dict[str, Table] = {}

    def place(table: Table, path: tuple[str, ...]) -> None:
        if table.full_name in path:
            raise ContractError(f"tables read each other in a circle: {' → '.join((*path, table.full_name))}")
        for name in (*table.inputs, *table.check_inputs):
            if name in by_name and name not in ordered:
                place(by_name[name], (*path, table.full_name))
        ordered.setdefault(table.full_name, table)

    for table in tables:
        place(table, ())
    return list(ordered.values())
