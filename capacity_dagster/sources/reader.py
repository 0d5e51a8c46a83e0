"""Reads one delivered file into immutable Parquet: typed records, those that are rejected with their reason.

What belongs here: what a file's content is called, running its SQL, writing the Parquet file of a load. What does not:
the forms of files (`forms`).
"""

import errno
import hashlib
import json
import os
import re
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import duckdb

from capacity_dagster.errors import SourceError, WorkError
from capacity_dagster.site_file import Site
from capacity_dagster.site_sections import SNAPSHOT_SOURCES
from capacity_dagster.sources import bytes as file_bytes
from capacity_dagster.sources.delimited import drop_relations
from capacity_dagster.sources.forms import BILLS, cleaned, deliver, resolve_bill
from capacity_dagster.sources.landing import AS_OF_FILE, CHANGED_WHILE_READ, Delivery
from capacity_dagster.sources.quoted import create_delivered_well_formed_csv
from capacity_dagster.tables.catalogue import LOAD_COLUMNS, Table, assets_folder
from capacity_dagster.tables.quoting import literal, parquet

READER_VERSION = 6
"""Changes when reading in Python changes meaning, so that every file is read again."""

ROW_GROUP = 30_720
"""Rows of a Parquet row group: each thread holds as many, with their text, until it writes them."""
SHOWN_TEXT = 4000
"""How much of a rejected record's text is kept: enough to see it, not enough to fill a disk."""


@dataclass(frozen=True)
class Load:
    """A delivered file that was read.

    Attributes:
        records: Parquet of all its records; `reject_reason` is null in those that are accepted.
    """

    load_id: str
    delivery: Delivery
    accepted_rows: int
    rejected_rows: int
    records: Path


@dataclass(frozen=True)
class CheckedLoad(Load):
    """A delivered file that was read only to see what it holds.

    Attributes:
        reasons: why records were rejected, with counts.
    """

    reasons: str


class Reader:
    """Reads the deliveries of one raw table, each content once."""

    def __init__(self, site: Site, table: Table) -> None:
        self.site = site
        self.table = table
        self._has_macros: duckdb.DuckDBPyConnection | None = None

    def load_id(self, delivery: Delivery) -> str:
        """Names what a file's content becomes: its sha256, the SQL that reads it and what the site file says of it."""
        parts = {
            "content": delivery.content_sha256,
            "reader": READER_VERSION,
            "sql": self.table.code_hash,
            "shared": _shared_sql_hash(),
            "zone": self._zone(delivery),
            "cluster": delivery.source.cluster,
            "clusters": sorted(self.site.content.clusters),
            "columns": delivery.source.columns,
            "delimiter": delivery.source.delimiter,
        }
        if delivery.kind in SNAPSHOT_SOURCES:  # the same content at another time is another snapshot
            parts["collected_at"] = str(delivery.collected_at)
        return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()[:20]

    def _zone(self, delivery: Delivery) -> str | None:
        """The zone of times without one: the source's, else its cluster's, else that of all with a scheduler."""
        source, clusters = delivery.source, self.site.content.clusters
        if delivery.kind in BILLS:
            return "UTC"
        if source.time_zone or source.cluster:
            return source.time_zone or clusters[source.cluster or ""].time_zone
        zones = {clusters[name].time_zone for name in self.site.slurm_clusters}
        return zones.pop() if len(zones) == 1 else None

    def has_read(self, load_id: str) -> bool:
        """Whether what a file's content became is still there."""
        return self.site.records_file(self.table.name, load_id).exists()

    def read(self, connection: duckdb.DuckDBPyConnection, delivery: Delivery) -> Load:
        """Reads a file, unless its content was read before.

        Raises:
            SourceError: the file cannot be used as a whole.
            WorkError: what was read cannot be written, or not be read again.
        """
        load_id = self.load_id(delivery)
        records = self.site.records_file(self.table.name, load_id)
        counts = _counted(connection, records)
        if counts is None:
            try:
                self._parse(connection, delivery, load_id, records)
            except (SourceError, duckdb.Error, OSError) as error:
                if not isinstance(error, SourceError):
                    self._refuse_work_folder(error)
                raise self._unusable(delivery, error) from error
            counts = _counted(connection, records)
            if counts is None:
                raise WorkError(f"{records}: cannot be read again after it was written; expected a disk that keeps it")
        rows, rejected_rows = counts
        self._refuse_undeclared_zone(connection, delivery, records, rejected_rows)
        self._refuse_timeless_snapshot(connection, delivery, records, rows - rejected_rows)
        return Load(load_id, delivery, rows - rejected_rows, rejected_rows, records)

    def _unusable(self, delivery: Delivery, error: SourceError | duckdb.Error | OSError) -> SourceError:
        """What went wrong with a file, by its name; of one that changed meanwhile, that."""
        if delivery.has_changed:
            return SourceError(f"{delivery.shown}: {CHANGED_WHILE_READ}")
        if isinstance(error, SourceError):
            return SourceError(f"{delivery.shown}: {error}", *error.delivered)
        told = _told(error)
        return SourceError(
            f"{delivery.shown}: cannot be read as {self.table.name} ({told}); expected a whole file of this kind that "
            f"stays while it is read, as docs/sources/{self.table.name}.md describes it",
            told,
        )

    def checked(self, connection: duckdb.DuckDBPyConnection, load: Load) -> CheckedLoad:
        """A load with the reasons for which its records were rejected."""
        rows = connection.execute(
            f"select reject_reason, count(*) from {parquet([load.records])} where reject_reason is not null "
            "group by all order by 2 desc, 1"
        ).fetchall()
        return CheckedLoad(**vars(load), reasons=", ".join(f"{count:,} {reason}" for reason, count in rows))

    def _parse(self, connection: duckdb.DuckDBPyConnection, delivery: Delivery, load_id: str, records: Path) -> None:
        parameters: dict[str, Any] = {
            "time_zone": self._zone(delivery),
            "cluster": delivery.source.cluster,
            "clusters": sorted(self.site.content.clusters),
            "collected_at": delivery.collected_at and delivery.collected_at.replace(tzinfo=None),
            "window_start": None,
            "window_end": None,
            "absent_columns": [],
            "unknown_columns": [],
        }
        if self._has_macros is not connection:
            connection.execute((assets_folder() / "raw" / "macros.sql").read_text(encoding="utf-8"))
            self._has_macros = connection
        drop_relations(connection)
        found = file_bytes.probe(delivery.file)
        columns = ", ".join(
            f"'{load_id}' as load_id" if name == "load_id" else f'"{name}"::{column.type} as "{name}"'
            for name, column in self.table.columns.items()
            if name not in LOAD_COLUMNS
        )
        with tempfile.TemporaryDirectory(prefix="read-", dir=_made(self.site.work / "tmp")) as scratch:
            typed = f"""
                select
                    {columns},
                    {"" if "cluster" in self.table.columns else "cluster,"}
                    reject_reason,
                    case when reject_reason is not null then left(record_text, {SHOWN_TEXT}) end as record_text,
                    case when reject_reason is not null then record_at end as record_at,
                    case when reject_reason is not null then record_accelerator_seconds end as accelerator_seconds
                from ({self.table.sql})
                """
            if self.table.name in BILLS and found.form != "json":
                resolve_bill(connection, self.table, delivery, found, parameters)
            if self.table.name in BILLS and found.form == "text":
                file, found = cleaned(delivery.file, found, Path(scratch))
                create_delivered_well_formed_csv(connection, self.table, delivery.source, file, found)
                whole_lines = found.lines - (0 if delivery.source.columns else 1)
                try:
                    if self._copy(connection, delivery, typed, parameters, records, whole_lines):
                        return
                except duckdb.InvalidInputException:
                    pass  # it is not well-formed: its records are taken one by one
                drop_relations(connection)
            deliver(connection, self.table, delivery, found, Path(scratch), parameters)
            self._copy(connection, delivery, typed, parameters, records)

    def _copy(
        self,
        connection: duckdb.DuckDBPyConnection,
        delivery: Delivery,
        typed: str,
        parameters: dict[str, Any],
        target: Path,
        expected_rows: int | None = None,
    ) -> bool:
        """Writes Parquet under a temporary name first, so that a killed run leaves no half file.

        Returns:
            whether it was written; not if it would have other than the expected number of rows.
        """
        used = {name: value for name, value in parameters.items() if re.search(rf"\${name}\b", typed)}
        temporary = _made(target.parent) / f"{target.name}.{os.getpid()}.tmp"
        try:
            rows = connection.execute(
                f"copy ({typed}) to {literal(temporary)} "
                f"(format parquet, parquet_version v2, compression zstd, row_group_size {ROW_GROUP})",
                used,
            ).fetchall()
            if expected_rows is not None and rows != [(expected_rows,)]:
                return False
            if delivery.has_changed:  # what was read may be half of each
                raise SourceError(CHANGED_WHILE_READ)
            temporary.replace(target)
            return True
        finally:
            temporary.unlink(missing_ok=True)

    def _refuse_work_folder(self, error: duckdb.Error | OSError) -> None:
        """Tells an error that no delivery can help from one of the file that was read."""
        work = str(self.site.work)
        is_of_work = isinstance(error, duckdb.OutOfMemoryException) or work in str(error)
        if is_of_work or (isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EROFS)):
            raise WorkError(
                f"{work}: cannot be used to read {self.table.name} ({_told(error)}); expected a folder that this user "
                "may write, with space for the databases, and the memory that the site file's "
                "'resources.memory_limit' grants"
            ) from error

    def _refuse_undeclared_zone(
        self, connection: duckdb.DuckDBPyConnection, delivery: Delivery, records: Path, rejected_rows: int
    ) -> None:
        if not rejected_rows:
            return
        lines = connection.execute(
            f"select min(source_line), arg_min(record_text, source_line) from {parquet([records])} "
            "where reject_reason = 'undeclared_time_zone'"
        ).fetchall()
        number, text = lines[0]
        if number is not None:
            shown = repr(text[:120])
            raise SourceError(
                f"{delivery.shown}: line {number} has a time without a zone ({shown}); expected, in the site file, a "
                f"key 'time_zone' of this {delivery.kind} source, or its 'cluster' and that cluster's 'time_zone'",
                shown,
            )

    def _refuse_timeless_snapshot(
        self, connection: duckdb.DuckDBPyConnection, delivery: Delivery, records: Path, accepted_rows: int
    ) -> None:
        """A snapshot says nothing, even if it is empty, when neither the file nor its lines say when it was taken."""
        if delivery.kind not in SNAPSHOT_SOURCES or delivery.collected_at or accepted_rows:
            return
        others = connection.execute(
            f"select count(*) from {parquet([records])} where reject_reason <> 'no_snapshot_time'"
        ).fetchall()
        if others == [(0,)]:
            raise SourceError(
                f"{delivery.shown}: does not say when it was collected; expected its time in its name, found by a key "
                f"'collected_at' of this {delivery.kind} source in the site file, or in {AS_OF_FILE} beside it, or a "
                "column TAKEN_AT"
            )


def _counted(connection: duckdb.DuckDBPyConnection, records: Path) -> tuple[int, int] | None:
    """How many records were read, and how many of them rejected; None: not yet, or what was written is damaged."""
    if not records.exists():
        return None
    try:
        rows, rejected_rows = connection.execute(
            f"select count(*), count(reject_reason) from {parquet([records])}"
        ).fetchall()[0]
    except duckdb.Error:
        return None
    return rows, rejected_rows


def _told(error: duckdb.Error | OSError) -> str:
    """The first line of what an error says: DuckDB goes on with the line, the query and advice for its users."""
    said = (isinstance(error, OSError) and error.strerror) or str(error).strip() or type(error).__name__
    return str(said).splitlines()[0][:300]


def _shared_sql_hash() -> str:
    digest = hashlib.sha256()
    for name in ("macros", "short_lines", "assembled_lines"):
        digest.update((assets_folder() / "raw" / f"{name}.sql").read_bytes())
    return digest.hexdigest()


def _made(folder: Path) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    return folder
