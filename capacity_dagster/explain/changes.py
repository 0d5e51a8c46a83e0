"""What changed a number last: published versions that had another, the journal, and what builds did to the tables.

What belongs here: comparing kept versions, reading the journal and the state of tables. What does not: where a number
comes from (`chain`).
"""

from dataclasses import dataclass, field
from datetime import date
from pathlib import Path
from typing import Any

import duckdb

from capacity_dagster.explain.number import Number
from capacity_dagster.explain.rows import Books, Window
from capacity_dagster.site_file import Site
from capacity_dagster.tables.catalogue import load_catalogue
from capacity_dagster.tables.quoting import identifier
from capacity_dagster.versions import Publication, read_publication

JOURNAL = "report.restatement_journal"
AMOUNTS = ("version_before", "amount_before", "amount_now", "amount_change", "is_month_closed", "because")
LISTED = 10
"""How many lines of the journal, and files of a change, are told."""


@dataclass(frozen=True)
class Restated:
    """From which published version on a number is what it is.

    Attributes:
        version: the first with this value that is still kept.
        before: what the version before had; None: it had none, or is not kept.
        because: how that version's inputs differ from those of the one before.
    """

    version: int
    published_at: str
    has_before: bool
    before: Any
    because: list[str]


@dataclass(frozen=True)
class TableChange:
    """The last change of a table that concerns a number's days.

    Attributes:
        change: the table's counter of changes.
        files: the delivered files that brought it, with how many rows each; an empty name where none is known.
    """

    table: str
    change: int
    files: list[tuple[str, int]]


@dataclass
class Changes:
    """What changed a number."""

    restated: Restated | None = None
    journal_columns: list[str] = field(default_factory=list)
    journal: list[Any] = field(default_factory=list)
    tables: list[TableChange] = field(default_factory=list)
    closed_months: list[date] = field(default_factory=list)


def find_changes(site: Site, books: Books, number: Number, window: Window | None, tables: list[str]) -> Changes:
    """What changed a number and the tables that it goes through."""
    changes = Changes(restated=_restated(site, books.published, number))
    _read_journal(books, number, window, changes)
    if books.closed_to is None and window is not None:
        found = (_last_change(books, table, window) for table in tables)
        changes.tables = [each for each in found if each]
    if books.published and window and number.table.contract.closes_by:
        closed = map(date.fromisoformat, books.published.manifest.get("closed_months", []))
        changes.closed_months = [month for month in closed if window.first.replace(day=1) <= month <= window.last]
    return changes


def _restated(site: Site, published: Publication | None, number: Number) -> Restated | None:
    """Goes back from the current version until one has another value."""
    if published is None:
        return None
    versions = published.folder.parent
    kept = sorted((each for each in versions.iterdir() if each.name.isdigit()), reverse=True)
    after: Publication | None = None
    for folder in (each for each in kept if int(each.name) <= int(published.folder.name)):
        version = read_publication(folder)
        if version is None:
            break
        has_it, value = _value_in(folder, number)
        if after is not None and (not has_it or value != number.value):
            return _told(after, has_it, value, version)
        if not has_it:
            return None
        after = version
    return _told(after, False, None, None) if after else None


def _value_in(folder: Path, number: Number) -> tuple[bool, Any]:
    """Whether a version has the rows of a number, and its value there."""
    sql, values = number.condition
    query = f"select count(*), {number.aggregate} from {number.table.full_name} as c where {sql}"
    try:
        with duckdb.connect(str(folder / "capacity.duckdb"), read_only=True) as connection:
            count, value = connection.execute(query, values).fetchall()[0]
    except (duckdb.Error, OSError):  # of older code, without the table or the column
        return False, None
    return count > 0, value


def _told(version: Publication, has_before: bool, before: Any, earlier: Publication | None) -> Restated:
    because: list[str] = []
    if earlier is not None:
        was = {(each["file"], each["sha256"]) for each in earlier.manifest.get("inputs", [])}
        now = {(each["file"], each["sha256"]) for each in version.manifest.get("inputs", [])}
        gone, new = {file for file, _ in was - now}, {file for file, _ in now - was}
        files = [f"{file} has another content" for file in sorted(gone & new)]
        files += [f"{file} is new" for file in sorted(new - gone)] + [f"{file} is gone" for file in sorted(gone - new)]
        because = files[:LISTED] + ([f"{len(files) - LISTED} more files"] if len(files) > LISTED else [])
        same = {"code_version": "other rules", "site_sha256": "another site file", "as_of": "another as_of"}
        because += [told for key, told in same.items() if earlier.manifest.get(key) != version.manifest.get(key)]
    return Restated(version.manifest["version"], version.manifest["published_at"], has_before, before, because)


def _read_journal(books: Books, number: Number, window: Window | None, changes: Changes) -> None:
    """The journal's lines about the number; of a month those about its days."""
    table = load_catalogue()[JOURNAL]
    relation = books.relation(table)
    if relation is None or window is None:
        return
    name = number.table.full_name
    keys = [key for key in number.keys if key in table.columns]
    tests = "".join(f" and c.{identifier(key)} = cast(? as {table.columns[key].type})" for key in keys)
    columns = [
        "usage_date",
        "version_before",
        "amount_before",
        "amount_now",
        "amount_change",
        "is_month_closed",
        "because",
    ]
    about = [key for key in ("cluster", "pool", "accelerator_model", "team") if key not in number.keys]
    columns[1:1] = about
    changes.journal_columns = columns
    changes.journal = books.rows(
        f"select {', '.join(map(identifier, columns))} from {relation} as c "
        f"where table_name in (?, ?) and measure = ? and usage_date between ? and ?{tests} "
        f"order by version_before desc, usage_date, {', '.join(table.contract.key[3:])} limit {LISTED}",
        [name, name.replace("_monthly", "_daily"), number.column, window.first, window.last]
        + [number.keys[key] for key in keys],
    )


def _last_change(books: Books, table_name: str, window: Window) -> TableChange | None:
    """The last change of a table that is of the days, or of any."""
    table = load_catalogue()[table_name]
    concerns = (
        "table_name = ? and (usage_date is null or usage_date between ? and ?) "
        "and (changed_from is null or changed_from < ?) and (changed_to is null or changed_to >= ?)"
    )
    values = [table_name, window.first, window.last, window.ends_at, window.starts_at]
    rows = books.rows(
        f"with concerning as (select * from {table.database}.state.changes where {concerns}) "
        "select version, coalesce(source_file, ''), cast(sum(changed_rows) as bigint) from concerning "
        "where version = (select max(version) from concerning) group by all order by 3 desc, 2",
        values,
    )
    if not rows:
        return None
    return TableChange(table_name, rows[0][0], [(file, count) for _, file, count in rows[:LISTED]])
