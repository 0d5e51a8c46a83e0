"""The rows of a table that a number can have come from, read without disturbing a build.

What belongs here: the databases as they can be read now, restricting a table to what the rows above it can be made of,
sums and samples. What does not: which tables a number goes through (`chain`).
"""

import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal
from typing import Any

import duckdb

from capacity_dagster.errors import ExplainError
from capacity_dagster.locks import reading
from capacity_dagster.privacy import discreet
from capacity_dagster.site_file import Site
from capacity_dagster.tables.catalogue import Table, shared_sql
from capacity_dagster.tables.quoting import identifier, literal
from capacity_dagster.versions import Publication, current
from capacity_dagster.warehouse import DATABASES

SIGNED = "signed"
"""The name under which the published database is attached."""

SETTLED = (
    "usage_date", "usage_month", "hour_at", "cluster", "pool", "accelerator_model", "node", "team", "workload_class",
    "partition_name", "account", "user_name", "cost_component", "tenure", "currency", "idle_policy", "attempt_id",
    "provider_name", "billing_account_id", "commitment_discount_id", "region_id", "grouped_by", "source", "resource",
)  # fmt: skip
"""Columns that name the same thing in all tables of the mart and the report."""
EXACT = (
    "usage_date", "hour_at", "node", "attempt_id", "charge_id", "provider_name", "billing_account_id",
    "billing_period_start_at", "commitment_discount_id", "region_id", "partition_name", "allocated_tres", "node_list",
)  # fmt: skip
"""Those that do so below the mart."""
LOOSE = ("cluster", "pool", "accelerator_model", "team", "account", "user_name", "cost_component", "tenure")
"""Those that may say there that they speak for all: empty, or one of `ANY`."""
RAW = ("cluster", "provider_name", "billing_account_id", "billing_period_start_at")
"""Those that a delivery spells as the tables do."""
ANY = ("", "mixed", "unassigned")
PROVENANCE = ("source_file", "source_line")

Condition = tuple[str, list[Any]]
"""SQL over the rows of a table, and the values it binds."""


@dataclass(frozen=True)
class Window:
    """The reporting days that a number is of, and the instants between which they are."""

    first: date
    last: date
    starts_at: datetime
    ends_at: datetime


@dataclass
class Scope:
    """The rows of a table from which a number can have come.

    Attributes:
        name: the temporary table of what they are about, for the tables below.
        columns: its columns.
        restricted_by: what they have in common with the rows above.
        has_parts: whether `amount` of the temporary table is what each row's part of the number is.
    """

    name: str
    columns: list[str]
    condition: Condition
    restricted_by: list[str]
    rows: int
    has_parts: bool = False


class Books:
    """What can be read of a site now: the published version; beside it the working tables, unless they are written."""

    def __init__(
        self,
        connection: duckdb.DuckDBPyConnection,
        published: Publication | None,
        closed_to: str | None,
        conceals: bool = False,
    ) -> None:
        self.connection = connection
        self.published = published
        self.conceals = conceals
        """Whether names of users, and what was delivered, are not to be shown."""
        self.closed_to = closed_to
        """Why the working tables cannot be read; None: they can."""
        self._scopes = 0
        self._known = {
            tuple(row)
            for row in self.rows("select database_name, schema_name, table_name from duckdb_tables()")
            + self.rows("select database_name, schema_name, view_name from duckdb_views()")
        }

    def rows(self, sql: str, values: Sequence[Any] = ()) -> list[tuple[Any, ...]]:
        return self.connection.execute(sql, list(values)).fetchall()

    def shown(self, column: str, value: Any) -> Any:
        """A value of a column as it may be shown."""
        return discreet(column, value) if self.conceals else value

    def relation(self, table: Table, database: str | None = None) -> str | None:
        """A table's name in a database: by default the working one, else the published; None: it cannot be read."""
        for each in [database] if database else [table.database, SIGNED]:
            if (each, table.layer, table.name) in self._known:
                return f"{each}.{table.layer}.{identifier(table.name)}"
        return None

    def scope(
        self,
        table: Table,
        condition: Condition,
        restricted_by: list[str],
        amount: str | None,
        above: Scope | None = None,
    ) -> Scope | None:
        """Restricts a table to the rows that a condition is true of; None where it cannot be read.

        Args:
            amount: the column whose sums are the parts of a number.
            above: the scope whose parts these rows, which are its records, inherit, if they have no amount.
        """
        relation = self.relation(table)
        if relation is None:
            return None
        self._scopes += 1
        name = f"scope_{self._scopes}"
        about = dict.fromkeys((*SETTLED, *EXACT, *LOOSE, *PROVENANCE))
        columns = [column for column in about if column in table.columns]
        part = f"sum(c.{identifier(amount)})" if amount else "null"
        if above and not amount:
            same = " and ".join(
                f"p.{identifier(column)} = c.{identifier(column)}" for column in _identity(table, above)
            )
            part = f"max((select sum(p.amount) from {above.name} as p where {same}))"
        sql, values = condition
        selected = "".join(f"c.{identifier(column)}, " for column in columns)
        self.connection.execute(
            f"create temp table {name} as select {selected}{part} as amount, count(*) as rows "
            f"from {relation} as c where {sql} group by all",
            values,
        )
        rows = int(self.rows(f"select coalesce(sum(rows), 0) from {name}")[0][0])
        return Scope(name, columns, condition, restricted_by, rows)

    def totals(self, table: Table, scope: Scope, columns: list[str]) -> dict[str, Decimal]:
        """The sums of columns over a scope's rows; those that are null everywhere are left out."""
        if not columns:
            return {}
        sql, values = scope.condition
        sums = ", ".join(f"sum(cast({identifier(column)} as decimal(38, 12)))" for column in columns)
        big = ", ".join(f"sum({identifier(column)})" for column in columns)
        relation = self.relation(table)
        try:
            (found,) = self.rows(f"select {sums} from {relation} as c where {sql}", values)
        except duckdb.Error:  # too large for twelve decimals: trillionths are whole numbers
            (found,) = self.rows(f"select {big} from {relation} as c where {sql}", values)
        return {name: Decimal(str(total)) for name, total in zip(columns, found, strict=True) if total is not None}

    def sample(self, table: Table, scope: Scope, columns: list[str], largest: str | None, limit: int) -> list[Any]:
        """A scope's rows with the largest amounts, in a total order, as tuples of the columns; last each row's part."""
        sql, values = scope.condition
        part, by = "null", [f"abs(c.{identifier(largest)}) desc nulls last"] if largest else []
        if scope.has_parts:
            same = " and ".join(
                f"s.{identifier(column)} = c.{identifier(column)}" for column in _identity(table, scope)
            )
            part, by = f"(select sum(s.amount) from {scope.name} as s where {same})", ["part desc nulls last"]
        by += [f"c.{identifier(column)}" for column in table.contract.key]
        selected = ", ".join(f"c.{identifier(column)}" for column in columns)
        return self.rows(
            f"select {selected}, {part} as part from {self.relation(table)} as c where {sql} "
            f"order by {', '.join(by)} limit {int(limit)}",
            values,
        )


def _identity(table: Table, scope: Scope) -> list[str]:
    """The columns by which a record is known in a scope."""
    return list(PROVENANCE) if table.is_raw or "attempt_id" not in scope.columns else ["attempt_id"]


@contextmanager
def books(site: Site, shows_people: bool = False) -> Iterator[Books]:
    """Opens what can be read, and keeps builds waiting, instead of failing, while it is open.

    Args:
        shows_people: whether to show names and delivered text also where users have pseudonyms.

    Raises:
        ExplainError: nothing can be read.
    """
    published = current(site.published)
    with reading(site, "capacity explain") as writer:
        connection = duckdb.connect(
            ":memory:",
            config={
                "autoinstall_known_extensions": False,
                "autoload_known_extensions": False,
                "memory_limit": site.content.resources.memory_limit,
                "temp_directory": tempfile.gettempdir(),
            },
        )
        try:
            connection.execute("set TimeZone = 'UTC'")
            connection.execute(shared_sql())
            if published is not None:
                file = published.folder / "capacity.duckdb"
                connection.execute(f"attach {literal(file)} as {SIGNED} (read_only)")
            closed_to = writer or _attach_working(connection, site)
            if published is None and closed_to is not None:
                raise ExplainError(
                    f"{site.path}: nothing is published, and the working tables cannot be read now ({closed_to}); "
                    "expected a built site: `capacity build`"
                )
            conceals = site.content.privacy.pseudonymise_users and not shows_people
            yield Books(connection, published, closed_to, conceals)
        finally:
            connection.close()


def _attach_working(connection: duckdb.DuckDBPyConnection, site: Site) -> str | None:
    attached: list[str] = []
    for database in DATABASES:
        file = site.work / f"{database}.duckdb"
        try:
            if not file.exists():
                raise OSError(f"{file.name} is not there: nothing was built, or work/ was deleted")
            connection.execute(f"attach {literal(file)} as {database} (read_only)")
            attached.append(database)
        except (OSError, duckdb.Error) as error:
            for each in attached:
                connection.execute(f"detach {each}")
            return str(error).splitlines()[0]
    return None


def restriction(
    parent: Scope, child: Table, window: Window | None, condition: str | None
) -> tuple[Condition, list[str]]:
    """What of a table the rows of a scope above it can have been made of: by the columns that both have, and the days.

    Returns:
        the condition, and the names of what it restricts by.
    """
    tests: list[str] = [f"({condition})"] if condition else []
    values: list[Any] = []
    exact: list[str]
    loose: list[str]
    shared = [name for name in parent.columns if name in child.columns]
    if child.is_raw and set(PROVENANCE) <= set(shared):
        exact, loose = list(PROVENANCE), []
    elif "attempt_id" in shared:
        exact, loose = [name for name in shared if name in ("attempt_id", "node", "usage_date", "hour_at")], []
    elif child.is_raw:
        exact, loose = [name for name in shared if name in RAW and name not in LOOSE], ["cluster"]
    elif child.is_published and child.contract.key != ("attempt_id",):
        exact, loose = [name for name in shared if name in SETTLED], []
    else:
        exact, loose = [name for name in shared if name in EXACT], [name for name in shared if name in LOOSE]
    loose = [name for name in loose if name in shared]
    if exact:
        same = " and ".join(f"p.{identifier(name)} is not distinct from c.{identifier(name)}" for name in exact)
        tests.append(f"exists (select 1 from {parent.name} as p where {same})")
    for name in loose:
        column = identifier(name)
        wild = ", ".join(map(literal, ANY))
        tests.append(
            f"(c.{column} is null or c.{column} in ({wild}) or c.{column} in (select {column} from {parent.name}) "
            f"or exists (select 1 from {parent.name} where {column} is null or {column} in ({wild})))"
        )
    told = exact + loose
    if window and not {"usage_date", "usage_month", "attempt_id", "source_line"} & set(exact):
        of_days = _days(child, window)
        if of_days:
            tests.append(of_days[0])
            values += of_days[1]
            told.append("days")
    return (" and ".join(tests) or "true", values), told


def _days(table: Table, window: Window) -> Condition | None:
    if "usage_date" in table.columns:
        return "c.usage_date between ? and ?", [window.first, window.last]
    if table.contract.interval is None:
        return None
    begins, end = table.contract.interval
    names = [begins] if isinstance(begins, str) else list(begins)
    begin = f"least({', '.join(f'c.{identifier(name)}' for name in names)})"
    test, values = f"({begin} is null or {begin} < ?)", [window.ends_at]
    if end:
        test += f" and (c.{identifier(end)} is null or c.{identifier(end)} >= ?)"
        values.append(window.starts_at)
    return test, values
