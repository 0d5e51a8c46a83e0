"""Rejected records for people: which there are, why, what they are worth, and what mends them.

What belongs here: asking the quarantine, and telling what its rules mean. What does not: rejecting (the SQL of `raw`),
valuing (`core.rejected_records`, `report.data_trust_daily`).
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import duckdb
import yaml

from capacity_dagster.errors import CapacityError
from capacity_dagster.locks import reading
from capacity_dagster.site_file import Site
from capacity_dagster.tables.catalogue import assets_folder
from capacity_dagster.tables.quoting import literal
from capacity_dagster.wording import counted, shown

SHOWN_TEXT, SHOWN_NAME = 160, 200
"""Characters of a record, and of a file's name, in a line of text."""

REASONS = """
select
    source,
    reject_reason,
    count(*) as records,
    coalesce(sum(rejected_seconds), 0) / 3600 as accelerator_hours,
    coalesce(sum(case when rejected_seconds is null and record_cost is null then 1 else 0 end), 0) as unvaluable,
    string_agg(distinct record_currency, ', ' order by record_currency) as currencies,
    case when count(distinct record_currency) = 1 then sum(record_cost) end as record_cost,
    min(first_seen_at) as first_seen_at,
    max(last_seen_at) as last_seen_at,
    arg_min(source_file, rejected_id) as source_file,
    arg_min(source_line, rejected_id) as source_line,
    arg_min(record_text, rejected_id) as record_text
from pipeline.core.rejected_records
where is_released = $is_released
    and ($source is null or source = $source)
    and ($reason is null or reject_reason = $reason)
group by source, reject_reason
order by sum(rejected_seconds) desc nulls last, count(*) desc, source, reject_reason
"""

RECORDS = """
select * exclude (load_id)
from pipeline.core.rejected_records
where is_released = $is_released
    and ($source is null or source = $source)
    and ($reason is null or reject_reason = $reason)
order by rejected_seconds desc nulls last, source, source_file, source_line
limit $most
"""
"""Those that are worth most first."""


@dataclass(frozen=True)
class Explanation:
    """What a rule found in a record, and what mends it."""

    found: str
    remedy: str


@cache
def explanations() -> dict[str, Explanation]:
    """What each rule of rejection means, by its id."""
    text = (assets_folder() / "raw" / "reject_reasons.yaml").read_text(encoding="utf-8")
    return {rule: Explanation(**told) for rule, told in yaml.safe_load(text).items()}


def explained(rule: str) -> Explanation:
    """What a rule means; also of one that this version does not know, as a record may have been read by a later one."""
    return explanations().get(rule, Explanation("not known to this version", "see the record's text"))


def rejected_reasons(
    connection: duckdb.DuckDBPyConnection,
    source: str | None = None,
    reason: str | None = None,
    is_released: bool = False,
) -> list[dict[str, Any]]:
    """One row for each source and rule, with counts, worth, and a record of them; what is worth most comes first."""
    return _dicts(connection, REASONS, {"source": source, "reason": reason, "is_released": is_released})


def rejected_records(
    connection: duckdb.DuckDBPyConnection,
    source: str | None = None,
    reason: str | None = None,
    is_released: bool = False,
    most: int = 20,
) -> list[dict[str, Any]]:
    """Rejected records, each with its file, line and text."""
    about = {"source": source, "reason": reason, "is_released": is_released, "most": most}
    return _dicts(connection, RECORDS, about)


def told_reason(row: dict[str, Any]) -> list[str]:
    """A rule and what it rejected, in lines of text."""
    rule = explained(row["reject_reason"])
    worth = [f"{row['accelerator_hours']:,.1f} accelerator-hours"]
    if row["record_cost"] is not None:
        worth.append(f"{row['currencies']} {row['record_cost']:,.2f}")
    elif row["currencies"]:
        worth.append(f"amounts in {row['currencies']}")
    if row["unvaluable"]:
        worth.append(f"{row['unvaluable']:,} of them without a readable value")
    return [
        f"{row['source']} {row['reject_reason']}: {counted(row['records'], 'record')}, {', '.join(worth)}",
        f"    {rule.found}; {rule.remedy}",
        *_told_text(row),
    ]


def told_record(row: dict[str, Any]) -> list[str]:
    """A rejected record, in lines of text."""
    worth = "value not readable"
    if row["record_cost"] is not None:
        worth = f"{row['record_currency']} {row['record_cost']:,.2f}"
    elif row["rejected_seconds"] is not None:
        worth = f"{row['rejected_seconds'] / 3600:,.1f} accelerator-hours"
    seen = f", seen from {row['first_seen_at']} to {row['last_seen_at']}" if row["first_seen_at"] else ""
    released = f", released by {_cut(row['released_by'], SHOWN_NAME)}" if row["released_by"] else ""
    return [f"{row['source']} {row['reject_reason']} of {row['usage_date']}: {worth}{seen}{released}", *_told_text(row)]


def _told_text(row: dict[str, Any]) -> list[str]:
    place = f"    {_cut(row['source_file'], SHOWN_NAME)}, line {row['source_line']}"
    return [f"{place}: {_cut(row['record_text'], SHOWN_TEXT)}" if row["record_text"] else place]


def _cut(text: str, most: int) -> str:
    """Delivered text in one line, as a terminal may have it."""
    return shown(text if len(text) <= most else f"{text[:most]}…")


@contextmanager
def opened_quarantine(site: Site) -> Iterator[duckdb.DuckDBPyConnection]:
    """The database of a site's rejected records, only to read.

    Raises:
        CapacityError: the site was never built, or a build writes it now.
    """
    database = site.work / "pipeline.duckdb"
    if not database.exists():
        raise CapacityError(f"{database}: is not there; expected a site that was built (`capacity build`)")
    with reading(site, "reading what was rejected") as writer:
        if writer:
            raise CapacityError(f"{database}: is written now by {writer}; ask again when that is done")
        with duckdb.connect(":memory:", config={"autoinstall_known_extensions": False}) as connection:
            _attach(connection, database)
            yield connection


def _attach(connection: duckdb.DuckDBPyConnection, database: Path) -> None:
    connection.execute(f"attach {literal(database)} as pipeline (read_only)")
    found = connection.execute(
        "select count(*) from duckdb_tables() where database_name = 'pipeline' and table_name = 'rejected_records'"
    ).fetchall()
    if found == [(0,)]:
        raise CapacityError(
            f"{database}: has no rejected_records; expected a build that got that far (`capacity build`)"
        )


def _dicts(connection: duckdb.DuckDBPyConnection, sql: str, parameters: dict[str, Any]) -> list[dict[str, Any]]:
    result = connection.execute(sql, parameters)
    names = [column[0] for column in result.description]
    return [dict(zip(names, row, strict=True)) for row in result.fetchall()]
