"""Publishing: immutable versions of the mart and the report, and the link `current` that is swapped to the newest.

What belongs here: the refusal to publish what did not pass, the version folder, the swap. What does not: building.

A reader resolves `current` once and then reads files that never change. `work/capacity.duckdb` is never opened by them.
"""

import hashlib
import json
import shutil
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import duckdb

from capacity_dagster import progress
from capacity_dagster.closing import closed_months, put_what_was_signed, restated_months, signed_relation
from capacity_dagster.data_docs import FOLDER as DATA_DOCS
from capacity_dagster.data_docs import data_docs_folder
from capacity_dagster.durable import copy_file, link_or_copy, make_durable, point
from capacity_dagster.errors import CapacityError
from capacity_dagster.exports import export_month, exported_months
from capacity_dagster.judging import stale_suites
from capacity_dagster.materialise import Materialiser
from capacity_dagster.parquet_files import planned_files, write_files, writer_version
from capacity_dagster.plots import draw_plots
from capacity_dagster.tables.catalogue import Catalogue, Table, assets_folder
from capacity_dagster.tables.checks import CheckOutcome
from capacity_dagster.tables.quoting import identifier, literal
from capacity_dagster.tables.suites import load_suites
from capacity_dagster.trust import trust_by_cluster, trust_line
from capacity_dagster.versions import CURRENT, MANIFEST, VERSIONS, Publication, code_version, current, read_publication
from capacity_dagster.warehouse import Warehouse, naive
from capacity_dagster.wording import counted


class PublishRefused(CapacityError):
    """The current state of the tables may not be published; what was published before stays."""


def failed_checks(warehouse: Warehouse) -> list[tuple[str, CheckOutcome]]:
    """The blocking checks that have not passed on the current state of their table, with its name."""
    return [(name, check) for name, check in warehouse.all_checks() if check.is_blocking and not check.has_passed]


def publish(materialiser: Materialiser, run_id: str) -> Publication:
    """Publishes the tables as they are, unless they are published already.

    Raises:
        PublishRefused: a blocking check has not passed, or a table is stale or was never built.
    """
    started = time.process_time()
    warehouse, catalogue = materialiser.warehouse, materialiser.catalogue
    _refuse_unless_sound(materialiser)
    tables = [table for table in catalogue if table.is_published]
    state = _published_states(materialiser)
    content = publishable(materialiser)
    published = warehouse.site.published
    before = current(published)
    if before is not None and before.manifest["state"] == state and before.manifest["code_version"] == code_version():
        warehouse.record_published(content)
        return before
    versions = published / VERSIONS
    versions.mkdir(parents=True, exist_ok=True)
    _remove_unfinished(versions)
    number = 1 + max((int(folder.name) for folder in _finished(versions)), default=0)
    scratch = versions / f"{number:06d}.unfinished"
    scratch.mkdir()
    closed = [each.month for each in closed_months(published)]
    with _little_memory(warehouse):
        tables_told = {table.full_name: _write_parquet(warehouse, table, scratch, before, closed) for table in tables}
        exports_told = {
            name: told
            for table in tables
            if table.contract.exported_as
            for name, told in _write_exports(warehouse, table, scratch, before, closed).items()
        }
    _write_database(warehouse, scratch / "capacity.duckdb", tables_told)
    progress.started("drawing plots")
    plots = draw_plots(scratch / "capacity.duckdb", scratch / "plots")
    pages = _put_data_docs(warehouse, scratch, before)
    manifest = {
        "version": number,
        "published_at": datetime.now(UTC).isoformat("T", "seconds"),
        "code_version": code_version(),
        "parquet_writer": writer_version(),
        "run_id": run_id,
        "as_of": {
            cluster: as_of and f"{as_of.isoformat()}Z"
            for cluster, as_of in warehouse.rows("select cluster, as_of_at from core.clusters order by cluster")
        },
        "trust": trust_line(warehouse),
        "trust_by_cluster": trust_by_cluster(warehouse),
        "inputs": [
            {
                "source": kind,
                "file": path,
                "cluster": cluster,
                "sha256": sha256,
                "collected_at": at and f"{at.isoformat()}Z",
            }
            for kind, path, cluster, sha256, at in warehouse.rows(
                "select source_kind, source_file, cluster, content_sha256, collected_at from landing.deliveries "
                "order by source_kind, source_file, cluster"
            )
        ],
        "site_sha256": warehouse.site.sha256,
        "closed_months": [month.isoformat() for month in closed],
        "tables": tables_told,
        "exports": exports_told,
        "plots": plots,
        "data_docs": pages,
        "checks": _check_results(warehouse),
        "state": state,
        "core_state": _states(warehouse, catalogue.of_layer("core")),
    }
    (scratch / "README.md").write_text(_readme(catalogue, manifest), encoding="utf-8")
    manifest["cpu_seconds"] = round(time.process_time() - started, 3)
    (scratch / MANIFEST).write_text(json.dumps(manifest, indent=1, sort_keys=True) + "\n", encoding="utf-8")
    make_durable(scratch)
    folder = versions / f"{number:06d}"
    scratch.rename(folder)
    point(published / CURRENT, Path(VERSIONS) / folder.name)
    warehouse.record_published(content)
    keep = warehouse.site.content.site
    prune_versions(versions, keep.keep_versions, keep.keep_days)
    return Publication(folder.resolve(), manifest, is_new=True)


def publishable(materialiser: Materialiser) -> str:
    """Names the content that a version made now would have; what was published last is kept in the warehouse."""
    return json.dumps([_published_states(materialiser), code_version()], sort_keys=True)


def _refuse_unless_sound(materialiser: Materialiser) -> None:
    warehouse = materialiser.warehouse
    problems = [
        f"{table}: blocking check '{check.name}' fails on {counted(check.failed_rows, 'row')}"
        for table, check in failed_checks(warehouse)
    ]
    for table in materialiser.catalogue:
        if warehouse.version(table.full_name) is None:
            problems.append(f"{table.full_name}: was never built")
    if not problems:
        blocking = [suite for suite in load_suites() if "critical" in suite.severities]
        stale = [*materialiser.stale_tables(), *(suite.full_name for suite in stale_suites(warehouse, blocking))]
        problems += [f"{name}: is stale; build it first" for name in stale]
        problems += from_the_future(warehouse, naive(datetime.now(UTC)))
    if problems:
        raise PublishRefused("nothing is published:\n" + "\n".join(f"  {problem}" for problem in problems))


def from_the_future(warehouse: Warehouse, now: datetime) -> list[str]:
    """Clusters whose records speak of a day that is ten years ahead: one wrong record makes it so.

    So many years, so that a machine whose clock is wrong may still publish.
    """
    ahead = warehouse.rows(
        "select cluster, as_of_at, as_of_source from core.clusters "
        "where as_of_at > ?::timestamp + interval 3653 day and as_of_source <> 'asked for' order by cluster",
        [now],
    )
    return [
        f"core.clusters: '{cluster}' speaks until {as_of.isoformat()}Z ({source}), and this machine's clock says "
        f"{now:%Y-%m-%d}; expected a time that has come. Mend the delivery that says so, or build with --as-of"
        for cluster, as_of, source in ahead
    ]


def _published_states(materialiser: Materialiser) -> dict[str, str]:
    return _states(materialiser.warehouse, (table for table in materialiser.catalogue if table.is_published))


def _states(warehouse: Warehouse, tables: Iterable[Table]) -> dict[str, str]:
    """Which content each table has now."""
    versions = {table.full_name: warehouse.version(table.full_name) for table in tables}
    return {name: f"{version.file_id} {version.number}" if version else "" for name, version in versions.items()}


@contextmanager
def _little_memory(warehouse: Warehouse) -> Iterator[None]:
    """Leaves to Parquet most of what DuckDB may have, which would only hold blocks that were read."""
    limit: str = warehouse.value("select current_setting('memory_limit')")  # such as '476.8 MiB'
    amount, unit = limit.split()
    warehouse.connection.execute(f"set memory_limit = '{float(amount) / 4} {unit}'")
    try:
        yield
    finally:
        warehouse.connection.execute(f"set memory_limit = '{limit}'")


def _write_parquet(
    warehouse: Warehouse, table: Table, scratch: Path, before: Publication | None, closed: list[date]
) -> dict[str, Any]:
    """The files of a table; one whose rows did not change is the one of the version before."""
    progress.started(f"publishing {table.full_name}")
    folder = Path("parquet") / table.layer / table.name
    (scratch / folder).mkdir(parents=True)
    told: dict[str, Any] = {}
    told_before = before.manifest["tables"].get(table.full_name, {}) if before else {}
    published = told_before.get("files", {})
    touched = _touched_days(warehouse, table, before) if before else None
    was_restated = [date.fromisoformat(month) for month in told_before.get("restated_months", ())]
    restated = restated_months(warehouse, table, closed, touched, was_restated)
    relation = signed_relation(warehouse, table, restated)
    if set(was_restated) - set(restated):  # opened again
        touched = None
    to_write = []
    for file in planned_files(warehouse, table, relation):
        name = (folder / file.name).as_posix()
        is_as_before = touched is not None and touched.isdisjoint(file.days())
        if before and is_as_before and published.get(name, {}).get("rows") == file.rows:
            link_or_copy(before.folder / name, scratch / name)
            told[name] = published[name]
        else:
            to_write.append(file)
    for file, sha256 in write_files(warehouse, table, relation, to_write, scratch / folder):
        name = (folder / file.name).as_posix()
        told[name] = {"rows": file.rows, "sha256": sha256}
        _share(before, published, scratch, name, told[name])
    return {
        "rows": sum(file["rows"] for file in told.values()),
        "sha256": hashlib.sha256("".join(told[name]["sha256"] for name in sorted(told)).encode()).hexdigest(),
        "files": told,
        "restated_months": [month.isoformat() for month in restated],
    }


def _write_exports(
    warehouse: Warehouse, table: Table, scratch: Path, before: Publication | None, closed: list[date]
) -> dict[str, Any]:
    """The files of a table for other tools; those of a month that did not change are those of the version before."""
    folder = Path(table.name.partition("_")[0])
    (scratch / folder).mkdir()
    published = before.manifest.get("exports", {}) if before else {}
    touched = _touched_days(warehouse, table, before) if before else None
    told: dict[str, Any] = {}
    for month, rows in exported_months(warehouse, table, table.relation).items():
        # A day of a closed month changes the bill of the first open one.
        is_as_before = touched is not None and (not touched or month in closed)
        known = {
            name: each for name, each in published.items() if name.startswith((folder / f"{month:%Y-%m}").as_posix())
        }
        if before and is_as_before and known:
            for name in known:
                link_or_copy(before.folder / name, scratch / name)
            told |= known
            continue
        for file, sha256 in export_month(warehouse, table, table.relation, month, scratch / folder):
            name = (folder / file).as_posix()
            told[name] = {"rows": rows, "sha256": sha256}
            _share(before, published, scratch, name, told[name])
    return told


def _put_data_docs(warehouse: Warehouse, scratch: Path, before: Publication | None) -> dict[str, Any]:
    """The pages on what the suites found, as they were written before; none where none were."""
    told: dict[str, Any] = {}
    published = before.manifest.get("data_docs", {}) if before else {}
    for page in sorted(data_docs_folder(warehouse).glob("*.html")):
        (scratch / DATA_DOCS).mkdir(exist_ok=True)
        name = f"{DATA_DOCS}/{page.name}"
        shutil.copyfile(page, scratch / name)
        told[name] = {"sha256": hashlib.sha256(page.read_bytes()).hexdigest()}
        _share(before, published, scratch, name, told[name])
    return told


def _share(
    before: Publication | None, published: dict[str, Any], scratch: Path, name: str, told: dict[str, Any]
) -> None:
    """Makes a file that turns out as it was in the version before that one's."""
    if before and published.get(name) == told:
        (scratch / name).unlink()
        link_or_copy(before.folder / name, scratch / name)


def _touched_days(warehouse: Warehouse, table: Table, before: Publication) -> set[date | None] | None:
    """The days whose files may be others than in the version before; None: any may be."""
    version = warehouse.version(table.full_name)
    file_id, _, number = before.manifest["state"].get(table.full_name, "").partition(" ")
    same_writer = {"code_version": code_version(), "parquet_writer": writer_version()}
    if version is None or file_id != version.file_id or not same_writer.items() <= before.manifest.items():
        return None
    if int(number) == version.number:
        return set()
    if table.holds_attempts:
        return _days_of_changed_attempts(warehouse, table, int(number))
    days = {change.usage_date for change in warehouse.changes_since(table.full_name, int(number))}
    return None if table.contract.partition is None or None in days else days


def _days_of_changed_attempts(warehouse: Warehouse, table: Table, since: int) -> set[date | None] | None:
    """The days under which the rows of attempts are filed that changed after a version; None: any may have changed.

    What an attempt leaves without a row, or with one under another day, is told by the number of rows.
    """
    state = f"{table.database}.state"
    changed = f"where table_name = {literal(table.full_name)} and version > {since}"
    all_are_named = warehouse.value(
        f"select (select count(distinct version) from {state}.changes {changed}) "
        f"= (select count(distinct version) from {state}.changed_keys {changed})"
    )
    if not all_are_named:
        return None
    by = identifier(table.contract.files_by or "")
    rows = warehouse.rows(
        f"select distinct cast({by} as date) from {table.relation} "
        f"where attempt_id in (select key from {state}.changed_keys {changed})"
    )
    return {day for (day,) in rows}


def _write_database(warehouse: Warehouse, target: Path, tables_told: dict[str, Any]) -> None:
    """Copies the checkpointed file, and leaves in the copy what is for readers, as it was signed."""
    progress.started("publishing capacity.duckdb")
    warehouse.connection.execute("checkpoint capacity")
    copy_file(warehouse.site.work / "capacity.duckdb", target)
    connection = duckdb.connect(str(target))
    try:
        connection.execute("drop schema state cascade")
        for name, told in tables_told.items():
            put_what_was_signed(connection, warehouse.site.published, name, told["restated_months"])
        connection.execute((assets_folder() / "published" / "macros.sql").read_text(encoding="utf-8"))
        connection.execute("checkpoint")
    finally:
        connection.close()


def _check_results(warehouse: Warehouse) -> list[dict[str, Any]]:
    return [
        {
            "table": table,
            "check": check.name,
            "blocking": check.is_blocking,
            "passed": check.has_passed,
            "failed_rows": check.failed_rows,
        }
        for table, check in warehouse.all_checks()
    ]


def _readme(catalogue: Catalogue, manifest: dict[str, Any]) -> str:
    as_of = ", ".join(f"{cluster} {at or 'never'}" for cluster, at in manifest["as_of"].items())
    tables = "\n".join(
        f"| `{table.full_name}` | {table.contract.first_line} | {manifest['tables'][table.full_name]['rows']:,} |"
        for table in catalogue
        if table.is_published
    )
    plots = "".join(f"![{name}](plots/{name})\n\n" for name in manifest["plots"])
    queries = "\n".join(_told_query(file) for file in sorted((assets_folder() / "published" / "queries").glob("*.sql")))
    return f"""# Capacity mart, version {manifest["version"]}

- **As of**: {as_of}. Times are UTC; days are the site's reporting days.
- **Trust**: {manifest["trust"]}.
- Made by capacity-dagster {manifest["code_version"]}; what it was made from is in `{MANIFEST}`.

This folder never changes. `capacity.duckdb` (DuckDB 1.4 or later) holds the schemas `mart` and `report`, with a
comment on each table and column (`select * from duckdb_columns()`); `parquet/<schema>/<table>/` holds the same, one
file a month, a day of a large month, or a table: read all of a folder. `focus/` has what owned capacity cost as bills
in the terms of FOCUS, for other tools. `data_docs/index.html` says what was expected of the data, and what was found.
Months in `report.closed_months` stay as they were signed. Open what the link
`current` points to, resolved once: `duckdb -readonly "$(readlink -f current)/capacity.duckdb"`.

Never average a rate: `report.efficiency('month')`, `report.team_efficiency('month')`, `report.cost_per_hour('month')`
and `report.fleet('month')` divide sums. They take 'day', 'week', 'month', 'quarter', 'year' or 'all'.

## Tables

| table | one row | rows |
|---|---|---|
{tables}

{plots}## Questions

{queries}"""


def _told_query(file: Path) -> str:
    first, _, body = file.read_text(encoding="utf-8").partition("\n")
    return f"### {first.removeprefix('--').strip()}\n\n```sql\n{body.strip()}\n```\n"


def _finished(versions: Path) -> list[Path]:
    return sorted(folder for folder in versions.iterdir() if folder.name.isdigit())


def _remove_unfinished(versions: Path) -> None:
    """What a killed publisher left; the write lock says that no other is at work."""
    for folder in versions.glob("*.unfinished"):
        shutil.rmtree(folder)


def prune_versions(versions: Path, keep_versions: int, keep_days: int) -> None:
    """Removes all but the newest versions, and the last one of each of the days before that of the newest."""
    finished = _finished(versions)
    last_of_day = {day: folder for folder in finished if (day := _published_on(folder))}
    newest = max(last_of_day, default=date.min)
    of_days = [folder for day, folder in last_of_day.items() if (newest - day).days <= keep_days]
    kept = {*finished[-keep_versions:], *of_days}
    for folder in finished:
        if folder not in kept:
            shutil.rmtree(folder)


def _published_on(folder: Path) -> date | None:
    """The day, of UTC, on which a version was published; None where its manifest does not say."""
    publication = read_publication(folder)
    try:
        return datetime.fromisoformat(publication.manifest["published_at"]).date() if publication else None
    except (KeyError, TypeError, ValueError):
        return None
