"""Closed months: what was signed stays as it was published.

What belongs here: closing a month and opening it again, and what is published of a closed month. What does not: what is
different since, which is SQL (`report.restatement_journal`, the adjustments of `report.showback_monthly`).

`published/closed/2026-10/` holds the month's rows of each table that closes, as the version had them that was current
when it was closed. The working tables go on saying what is known; where that is something else now, what is published
are the rows that were signed.
"""

import hashlib
import json
import shutil
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import duckdb

from capacity_dagster.durable import make_durable
from capacity_dagster.errors import ClosingError
from capacity_dagster.locks import locked
from capacity_dagster.site_file import Site
from capacity_dagster.tables.catalogue import CLOSED, Catalogue, Table, load_catalogue
from capacity_dagster.tables.quoting import identifier, literal, parquet
from capacity_dagster.versions import Publication, code_version, current
from capacity_dagster.warehouse import HISTORY, Warehouse

TOLD = "closed.json"
MONTHS = "????-??"
"""Folders of closed months; one that is being written, or removed, is called otherwise."""


@dataclass(frozen=True)
class ClosedMonth:
    """A month whose published numbers do not change.

    Attributes:
        month: its first day.
        version: the published version that it was closed with.
    """

    month: date
    version: int
    closed_at: datetime


def closed_months(published: Path) -> list[ClosedMonth]:
    """The closed months of a site, in order; named by its folder of published versions."""
    found = []
    for file in sorted((published / CLOSED).glob(f"{MONTHS}/{TOLD}")):
        told = json.loads(file.read_text(encoding="utf-8"))
        found.append(
            ClosedMonth(
                date.fromisoformat(f"{told['month']}-01"), told["version"], datetime.fromisoformat(told["closed_at"])
            )
        )
    return found


def archived_files(published: Path, table: Table) -> list[Path]:
    """The rows of a table that were signed: a file for each closed month."""
    return sorted((published / CLOSED).glob(f"{MONTHS}/{table.name}.parquet"))


def close_month(site: Site, month: date, accepts_incomplete: bool = False) -> list[ClosedMonth]:
    """Closes a month, and with it the open months before it, as the published version has them; those that it closed.

    Args:
        accepts_incomplete: closes it also where a cost, or the end of a month of one of several clusters, is not known.

    Raises:
        ClosingError: nothing is published, or by other code; the month is closed, is not over, or a cost of it is not
            known.
    """
    with locked(site, f"closing {month:%Y-%m}"):
        published = current(site.published)
        if published is None:
            raise ClosingError(f"nothing is published of {site.path}; expected a version to close {month:%Y-%m} with")
        if published.manifest["code_version"] != code_version():
            raise ClosingError(
                f"version {published.manifest['version']} was published by capacity-dagster "
                f"{published.manifest['code_version']}; expected one by {code_version()}: build first"
            )
        closed = {each.month for each in closed_months(site.published)}
        if month in closed:
            raise ClosingError(f"{month:%Y-%m} is closed already")
        _remove_unfinished(site.published)
        with duckdb.connect(str(published.folder / "capacity.duckdb"), read_only=True) as connection:
            months = _open_months(connection, published, month, closed)
            _refuse_unless_over(site, published, month, accepts_incomplete)
            if not accepts_incomplete:
                _refuse_unless_complete(connection, months)
            for each in months:
                _archive(site.published, connection, published, each)
        return [each for each in closed_months(site.published) if each.month in months]


def reopen_month(site: Site, month: date) -> None:
    """Opens the month that was closed last, so that the next build publishes what is known of it now.

    Raises:
        ClosingError: it is not closed, or a later month is.
    """
    with locked(site, f"opening {month:%Y-%m}"):
        closed = [each.month for each in closed_months(site.published)]
        if month not in closed:
            raise ClosingError(f"{month:%Y-%m} is not closed; closed are {_listed(closed)}")
        if month != closed[-1]:
            later = [each for each in closed if each > month]
            raise ClosingError(
                f"{month:%Y-%m} has corrections in months that are closed too; open {_listed(later)} before it"
            )
        folder = site.published / CLOSED / f"{month:%Y-%m}"
        folder.rename(folder.with_name(f"{folder.name}.unfinished"))
        _remove_unfinished(site.published)


def restated_months(
    warehouse: Warehouse, table: Table, closed: list[date], touched: set[date | None] | None, before: list[date]
) -> list[date]:
    """The closed months of which a table now says something else than was signed.

    Args:
        touched: the days that may be otherwise since the version before; None: any.
        before: what this said then.
    """
    asked = set(closed) if table.contract.closes_by else set()
    if touched is not None and None not in touched:
        asked &= {*before, *(day.replace(day=1) for day in touched if day)}
    if not asked:
        return []
    columns = ", ".join(map(identifier, table.contract.columns))
    month = _month_of(table)
    known = f"select {columns} from {table.relation} where {month} in ({_dates(asked)})"
    signed = f"select {columns} from {HISTORY}.{CLOSED}.{identifier(table.name)} where {month} in ({_dates(asked)})"
    different = f"({known} except all {signed}) union all ({signed} except all {known})"
    rows = warehouse.rows(f"select distinct {month} from ({different}) order by 1")
    return [row[0] for row in rows]


def signed_relation(warehouse: Warehouse, table: Table, restated: list[date]) -> str:
    """What is published of a table: what it says, but of restated closed months what was signed."""
    if not restated:
        return table.relation
    columns = ", ".join(map(identifier, table.contract.columns))
    month, name = _month_of(table), identifier(f"signed_{table.name}")
    warehouse.connection.execute(
        f"create or replace temp view {name} as "
        f"select {columns} from {table.relation} where {month} not in ({_dates(restated)}) union all "
        f"select {columns} from {HISTORY}.{CLOSED}.{identifier(table.name)} where {month} in ({_dates(restated)})"
    )
    return name


def put_what_was_signed(
    connection: duckdb.DuckDBPyConnection, published: Path, full_name: str, restated: list[str]
) -> None:
    """Puts into a copy of the database what was signed of restated closed months."""
    if not restated:
        return
    table = load_catalogue()[full_name]
    files = [file for file in archived_files(published, table) if f"{file.parent.name}-01" in restated]
    connection.execute(f"delete from {full_name} where {_month_of(table)} in ({_dates(restated)})")
    connection.execute(f"insert into {full_name} {rows_of(connection, table, files)}")


def rows_of(connection: duckdb.DuckDBPyConnection, table: Table, files: list[Path]) -> str:
    """A query for a table's columns in published files; null are those that files of an older version do not have."""
    source, present = " where false", set()
    if files:
        source = f" from {parquet(files, ', union_by_name = true')}"
        present = {row[0] for row in connection.execute(f"describe select *{source}").fetchall()}
    columns = ", ".join(
        f"cast({identifier(column) if column in present else 'null'} as {meaning.type}) as {identifier(column)}"
        for column, meaning in table.columns.items()
    )
    return f"select {columns}{source}"


def _open_months(
    connection: duckdb.DuckDBPyConnection, published: Publication, month: date, closed: set[date]
) -> list[date]:
    """The months up to one that the published version has numbers of and that are open."""
    rows = connection.execute(
        "select distinct cast(date_trunc('month', usage_date) as date) from report.fleet_efficiency_daily "
        "union select usage_month from report.cost_per_accelerator_hour_monthly order by 1"
    ).fetchall()
    known = [row[0] for row in rows]
    if month not in known:
        raise ClosingError(
            f"version {published.manifest['version']} has no numbers of {month:%Y-%m}; it has those of {_listed(known)}"
        )
    return [each for each in known if each <= month and each not in closed]


def _refuse_unless_over(site: Site, published: Publication, month: date, accepts_incomplete: bool) -> None:
    """A month is over where each cluster is known until its end; on request where one is, as others may be gone."""
    zone = ZoneInfo(site.content.site.reporting_time_zone)
    following = (month + timedelta(days=31)).replace(day=1)
    ends_at = datetime(following.year, following.month, 1, tzinfo=zone).astimezone(UTC)
    known = {cluster: at for cluster, at in published.manifest["as_of"].items() if at}
    early = {cluster: at for cluster, at in known.items() if datetime.fromisoformat(at) < ends_at}
    if len(early) == len(known) or (early and not accepts_incomplete):
        told = ", ".join(f"{cluster} is known until {at}" for cluster, at in early.items())
        raise ClosingError(
            f"{month:%Y-%m} is not over in version {published.manifest['version']}: {told}; "
            f"expected {ends_at.isoformat().replace('+00:00', 'Z')} or later"
            + (", or --incomplete where nothing more is to come" if len(early) < len(known) else "")
        )


def _refuse_unless_complete(connection: duckdb.DuckDBPyConnection, months: list[date]) -> None:
    rows = connection.execute(
        "select strftime(date_trunc('month', usage_date), '%Y-%m'), cluster, pool, "
        "count(distinct usage_date), string_agg(distinct coalesce(missing_components, 'a price'), ', ') "
        "from report.cost_per_accelerator_hour_daily where cost is null "
        f"and cast(date_trunc('month', usage_date) as date) in ({_dates(months)}) "
        "group by all order by all"
    ).fetchall()
    if rows:
        told = "\n".join(
            f"  {month} {cluster}/{pool}: {missing} is missing on {days} of its days"
            for month, cluster, pool, days, missing in rows
        )
        raise ClosingError(
            f"costs are not known yet:\n{told}\n"
            "Deliver what is missing and build, or close as it is with --incomplete: what comes later is an adjustment."
        )


def _archive(published: Path, connection: duckdb.DuckDBPyConnection, version: Publication, month: date) -> None:
    folder = published / CLOSED / f"{month:%Y-%m}"
    scratch = folder.with_name(f"{folder.name}.unfinished")
    scratch.mkdir(parents=True)
    tables: dict[str, Any] = {}
    for table in closing_tables(load_catalogue()):
        file = scratch / f"{table.name}.parquet"
        connection.execute(
            f"copy (from report.{identifier(table.name)} where {_month_of(table)} = date {literal(month)} "
            f"order by {', '.join(map(identifier, table.contract.key))}) to {literal(file)} (compression zstd)"
        )
        tables[table.full_name] = hashlib.sha256(file.read_bytes()).hexdigest()
    told = {
        "month": f"{month:%Y-%m}",
        "closed_at": datetime.now(UTC).isoformat("T", "seconds"),
        "version": version.manifest["version"],
        "code_version": version.manifest["code_version"],
        "as_of": version.manifest["as_of"],
        "tables": tables,
    }
    (scratch / TOLD).write_text(json.dumps(told, indent=1, sort_keys=True) + "\n", encoding="utf-8")
    make_durable(scratch)
    scratch.rename(folder)


def closing_tables(catalogue: Catalogue) -> list[Table]:
    """The tables whose rows of a closed month stay as they were published."""
    return [table for table in catalogue if table.contract.closes_by]


def _month_of(table: Table) -> str:
    return f"cast(date_trunc('month', {identifier(table.contract.closes_by or '')}) as date)"


def _remove_unfinished(published: Path) -> None:
    """What was left by whoever was killed at it; the write lock says that no other is at it now."""
    for folder in (published / CLOSED).glob("*.unfinished"):
        shutil.rmtree(folder)


def _dates(days: Any) -> str:
    return ", ".join(f"date {literal(day)}" for day in sorted(days))


def _listed(months: list[date]) -> str:
    return ", ".join(f"{month:%Y-%m}" for month in months) or "none"
