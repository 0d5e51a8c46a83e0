"""Reads one delivered file into immutable Parquet: typed records, those that are rejected with their reason.

What belongs here: choosing how a file is read, running its SQL, writing the Parquet file of a load.
"""

import errno
import hashlib
import io
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
from capacity_dagster.sources.answers import ANSWERS, create_records
from capacity_dagster.sources.delimited import (
    create_delivered,
    create_delivered_csv,
    create_delivered_well_formed_csv,
    create_lines,
    csv_header,
    drop_relations,
    resolve_columns,
    unused_columns,
)
from capacity_dagster.sources.key_value import create_delivered_key_value, is_key_value
from capacity_dagster.sources.landing import AS_OF_FILE, CHANGED_WHILE_READ, Delivery
from capacity_dagster.tables.catalogue import LOAD_COLUMNS, Table, assets_folder
from capacity_dagster.tables.quoting import identifier, literal, parquet

READER_VERSION = 6
"""Changes when reading in Python changes meaning, so that every file is read again."""

SPREADSHEETS = frozenset(
    {"inventory", "org_mapping", "entitlements", "purchase_lots", "flat_costs", "power_rates", "exchange_rates"}
)
"""Kinds that people keep as CSV with quoting, or as Parquet."""

BILLS = frozenset({"focus_charges"})
"""Kinds that billing systems write as CSV with quoting or as Parquet, large, and in UTC."""

REPORTS = {
    "slurm_account_usage": "sreport -P -t seconds cluster AccountUtilizationByUser",
    "slurm_cluster_usage": "sreport -P -t seconds cluster Utilization",
}
"""Kinds that sreport prints, below a title that holds their window; and the command."""

KEY_VALUE_KEYS = {"slurm_jobs": frozenset({"JobIDRaw", "JobID"})}
"""The kinds whose records may be cells `Key=value`, and the keys of which the first record must have one."""

REPORT_TITLE = re.compile(r"Utilization (\S+) - (\S+?)(?: \(\d+ secs\))?$")
REPORT_UNIT = re.compile(r"reported in (?:\S+ )?Seconds$")
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
                self._resolve_bill(connection, delivery, found, parameters)
            if self.table.name in BILLS and found.form == "text":
                file, found = _clean(delivery.file, found, Path(scratch))
                create_delivered_well_formed_csv(connection, self.table, delivery.source, file, found)
                whole_lines = found.lines - (0 if delivery.source.columns else 1)
                try:
                    if self._copy(connection, delivery, typed, parameters, records, whole_lines):
                        return
                except duckdb.InvalidInputException:
                    pass  # it is not well-formed: its records are taken one by one
                drop_relations(connection)
            self._deliver(connection, delivery, found, Path(scratch), parameters)
            self._copy(connection, delivery, typed, parameters, records)

    def _resolve_bill(
        self,
        connection: duckdb.DuckDBPyConnection,
        delivery: Delivery,
        found: file_bytes.Probe,
        parameters: dict[str, Any],
    ) -> None:
        """Tells the query which of FOCUS's columns a bill has not, and which it has that are none."""
        if found.form == "parquet":
            names = list(_parquet_columns(connection, delivery.file))
        else:
            names = csv_header(delivery.source, found)
        positions = resolve_columns(self.table, names, "its header")
        delivered = self.table.contract.delivered
        parameters["absent_columns"] = [name for name, each in delivered.items() if positions[each.column] is None]
        parameters["unknown_columns"] = unused_columns(self.table, names)

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

    def _deliver(
        self,
        connection: duckdb.DuckDBPyConnection,
        delivery: Delivery,
        found: file_bytes.Probe,
        scratch: Path,
        parameters: dict[str, Any],
    ) -> None:
        """Creates the relation `delivered` from whatever form the file has."""
        file = delivery.file
        if found.form == "parquet":
            self._deliver_parquet(connection, file)
            return
        if found.form == "json":
            file_bytes.refuse_much(found)
            self._deliver_json(connection, file)
            return
        if self.table.name in SPREADSHEETS or self.table.name in BILLS:
            with file_bytes.opened(file) as stream:
                lines = io.TextIOWrapper(stream, encoding="utf-8-sig", errors="backslashreplace", newline="")
                has_comments = self.table.name in SPREADSHEETS
                create_delivered_csv(connection, self.table, delivery.source, lines, has_comments)
            return
        file, found = _clean(file, found, scratch)
        if not delivery.source.columns and is_key_value(found.head, KEY_VALUE_KEYS.get(self.table.name, frozenset())):
            file_bytes.refuse_much(found)
            with file_bytes.opened(file) as stream:
                text = stream.read().decode("utf-8")
            create_delivered_key_value(connection, self.table, text, found.is_terminated)
            return
        if command := REPORTS.get(self.table.name):
            file, found = _without_title(file, found, command, scratch, parameters)
        if "scontrol" in self.table.formats:
            create_lines(connection, file, found)
            if not re.search(r"(^|\n)NodeName=", found.head):
                line = repr(found.head.splitlines()[0][:80])
                raise SourceError(
                    f"line 1 is {line}; expected the text of `scontrol show node` or the JSON of `sinfo --json`", line
                )
            connection.execute(f"create temp view delivered as {self.table.formats['scontrol']}")
            return
        create_delivered(connection, self.table, delivery.source, file, found)

    def _deliver_json(self, connection: duckdb.DuckDBPyConnection, file: Path) -> None:
        if self.table.name not in ANSWERS:
            raise SourceError(f"is JSON; expected {self.table.name} as delimited text")
        with file_bytes.opened(file) as stream:
            create_records(connection, self.table.name, stream)
        connection.execute(f"create temp view delivered as {self.table.formats['json']}")

    def _deliver_parquet(self, connection: duckdb.DuckDBPyConnection, file: Path) -> None:
        source = parquet([file], ", file_row_number = true")
        types = _parquet_columns(connection, file)
        names = list(types)
        positions = resolve_columns(self.table, names, "its schema")
        columns = ", ".join(
            f"{_as_text(names[position - 1], types[names[position - 1]])} as {identifier(column)}"
            if position
            else f"null::varchar as {identifier(column)}"
            for column, position in positions.items()
        )
        connection.execute(
            "create temp view delivered as select file_row_number + 1 as source_line, "
            "to_json(given_row)::varchar as record_text, null::varchar as problem, "
            f"{columns} from {source} as given_row"
        )

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


def _without_title(
    file: Path, found: file_bytes.Probe, command: str, scratch: Path, parameters: dict[str, Any]
) -> tuple[Path, file_bytes.Probe]:
    """sreport writes a title before its header: takes the window from it, and blanks it so that line numbers hold."""
    file_bytes.refuse_much(found)
    with file_bytes.opened(file) as stream:
        lines = stream.read().decode("utf-8").split("\n")
    header = next((number for number, line in enumerate(lines) if "|" in line), None)
    titles = [line.rstrip() for line in lines[: header or 0]]
    title = next((match for line in titles if (match := REPORT_TITLE.search(line))), None)
    if header is None or title is None:
        raise SourceError(f"has no title with a window above a header; expected what `{command}` prints")
    if not any(REPORT_UNIT.search(line) for line in titles):
        said = next((line for line in titles if " reported in " in line), None)
        shown = repr(said) if said else ""
        raise SourceError(f"is not in seconds{shown and f' ({shown})'}; expected `sreport -t seconds`", shown)
    parameters["window_start"], parameters["window_end"] = title.group(1), title.group(2)
    body = scratch / "body.psv"
    body.write_text("\n".join([lines[header], *[""] * header, *lines[header + 1 :]]), encoding="utf-8")
    return body, file_bytes.probe(body)


def _clean(file: Path, found: file_bytes.Probe, scratch: Path) -> tuple[Path, file_bytes.Probe]:
    """The file itself, or a copy of it that can be read line by line."""
    if not found.needs_cleaning:
        return file, found
    clean = scratch / "clean.txt"
    file_bytes.write_clean(file, clean)
    return clean, file_bytes.probe(clean)


def _parquet_columns(connection: duckdb.DuckDBPyConnection, file: Path) -> dict[str, str]:
    """The columns of a Parquet file with their types, in order."""
    rows = connection.execute(f"describe select * from {parquet([file])}").fetchall()
    return {row[0]: row[1] for row in rows}


def _as_text(name: str, kind: str) -> str:
    """A Parquet column as the text that a delivery in text would have; what holds more than one value is JSON."""
    if kind.startswith(("MAP", "STRUCT")) or kind.endswith("[]"):
        return f"to_json({identifier(name)})::varchar"
    if kind == "TIMESTAMP WITH TIME ZONE":
        return f"replace(cast(timezone('UTC', {identifier(name)}) as varchar), ' ', 'T') || 'Z'"
    return f"cast({identifier(name)} as varchar)"


def _shared_sql_hash() -> str:
    digest = hashlib.sha256()
    for name in ("macros", "short_lines", "assembled_lines"):
        digest.update((assets_folder() / "raw" / f"{name}.sql").read_bytes())
    return digest.hexdigest()


def _made(folder: Path) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    return folder
