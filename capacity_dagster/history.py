"""What was published last, and the months that are closed, as relations that queries read.

What belongs here: the schemas `published` and `closed`. What does not: publishing (`publish`), closing (`closing`).

They say what numbers were, not what they are, so that no table is stale because of them: a table that reads them has
the same rows before it is published and after.
"""

import re
from collections.abc import Iterable, Sequence
from datetime import datetime
from pathlib import Path

from capacity_dagster.closing import archived_files, closing_tables, rows_of
from capacity_dagster.errors import WorkError
from capacity_dagster.site_file import Site
from capacity_dagster.tables.catalogue import CLOSED, PUBLISHED_TABLES, Catalogue, Table
from capacity_dagster.versions import CURRENT, MANIFEST, Publication, code_version, current
from capacity_dagster.warehouse import Warehouse, naive

CHANGED_FILES = """
select
    coalesce(now.source_file, before.source_file) as source_file,
    coalesce(now.cluster, before.cluster) as cluster,
    case
        when before.source_file is null then 'new'
        when now.source_file is null then 'gone'
        else 'changed'
    end as change
from (select distinct source_file, cluster, content_sha256 from pipeline.landing.deliveries) as now
full outer join history.published.files as before
    on now.source_file = before.source_file and now.content_sha256 = before.content_sha256
where now.source_file is null or before.source_file is null
"""

CHANGED_SPANS = """
select distinct
    changes.source_file,
    files.cluster,
    coalesce(changes.changed_from, timestamp '1900-01-01') as changed_from,
    coalesce(changes.changed_to, timestamp '9999-01-01') as changed_to
from pipeline.state.changes as changes
inner join history.published.states as states
    on changes.table_name = states.table_name and changes.version > states.version
left join (select distinct source_file, cluster from pipeline.landing.deliveries) as files
    on changes.source_file = files.source_file
where changes.source_file is not null
    and changes.changed_from < changes.changed_to
    and changes.table_name <> 'core.bills'
"""
"""Of which time a file changed something. What a table that is built anew changed is not told.

A bill is filed by its billing period, whatever days its charges are for: its changes say nothing of days.
"""

VIEWS = {"published.changed_files": CHANGED_FILES, "published.changed_spans": CHANGED_SPANS}
"""What is asked of the state of the tables when a query runs, and not when the warehouse is opened."""


def write_history(warehouse: Warehouse, catalogue: Catalogue) -> None:
    """Makes the relations of what is published now, as it is when the warehouse is opened."""
    site = warehouse.site
    published = current(site.published)
    _refuse_incomplete(site, published)
    _write_version(warehouse, site, published)
    read = {name for table in catalogue for name in table.history}
    signed = {f"{CLOSED}.{table.name}" for table in closing_tables(catalogue)}
    for name in sorted((read | signed) - PUBLISHED_TABLES.keys()):
        schema, _, short = name.partition(".")
        table = catalogue[f"report.{short}"]
        files = archived_files(site.published, table) if schema == CLOSED else _published_files(published, table)
        query = rows_of(warehouse.connection, table, files)
        warehouse.connection.execute(f"create or replace view history.{name} as {query}")


def _write_version(warehouse: Warehouse, site: Site, published: Publication | None) -> None:
    manifest = published.manifest if published else {}
    as_of = manifest.get("as_of", {})
    execute = warehouse.connection.execute
    for name, columns in PUBLISHED_TABLES.items():
        if name not in VIEWS:
            execute(f"create or replace table history.{name} ({columns})")
    execute(
        "insert into history.published.versions select ?, ?, ? where ? is not null",
        [
            manifest.get("version"),
            manifest.get("code_version") != code_version(),
            manifest.get("site_sha256") != site.sha256,
            manifest.get("version"),
        ],
    )
    _insert(
        warehouse,
        "published.clusters",
        ((name, at and naive(datetime.fromisoformat(at))) for name, at in as_of.items()),
    )
    _insert(warehouse, "published.closed_months", ((month,) for month in manifest.get("closed_months", [])))
    files = {(each["file"], each.get("cluster"), each["sha256"]) for each in manifest.get("inputs", [])}
    _insert(warehouse, "published.files", files)
    states: list[tuple[str, int]] = []
    for name, told in manifest.get("core_state", {}).items():
        file_id, _, number = told.partition(" ")
        version = warehouse.version(name)
        if version is not None and version.file_id == file_id:
            states.append((name, int(number)))
    _insert(warehouse, "published.states", states)
    for name, query in VIEWS.items():
        execute(f"create or replace view history.{name} as {query}")


def _insert(warehouse: Warehouse, name: str, rows: Iterable[Sequence[object]]) -> None:
    """Inserts at once: one by one takes a millisecond each."""
    values = [list(column) for column in zip(*rows, strict=True)]
    if values:
        columns = re.findall(r"(\w+) (\w+)", PUBLISHED_TABLES[name])
        unnested = ", ".join(f"unnest(cast(? as {kind}[]))" for _, kind in columns)
        warehouse.connection.execute(f"insert into history.{name} select {unnested}", values)


def _refuse_incomplete(site: Site, published: Publication | None) -> None:
    """Refuses a published version that lacks files: what changed since could not be told."""
    if published is None:
        return
    names = (name for table in published.manifest["tables"].values() for name in table.get("files", {}))
    gone = next((name for name in names if not (published.folder / name).exists()), None)
    if gone is not None:
        raise WorkError(
            f"{published.folder}: lacks {gone}; expected all files that its {MANIFEST} names. Put it back, or remove "
            f"the link {site.published / CURRENT}: the next build then publishes everything anew, and compares it with "
            "nothing"
        )


def _published_files(published: Publication | None, table: Table) -> list[Path]:
    if published is None:
        return []
    return [published.folder / name for name in published.manifest["tables"].get(table.full_name, {}).get("files", {})]
