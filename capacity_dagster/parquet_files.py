"""The published Parquet of a table: into which files its rows go, and writing them.

What belongs here: anything that decides the bytes of a Parquet file. What does not: versions, what is published when.

Which files there are, and each file's bytes, are a function of the rows in the table alone: never of the order or the
grouping in which they came, of what was there before, or of the number of threads. Hence every file has a total order,
and it is not written with DuckDB's COPY: how that encodes a column without nulls depends on whether it ever had some.
"""

import hashlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import date, timedelta
from functools import cache
from importlib.metadata import version as package_version
from itertools import groupby
from pathlib import Path
from typing import Any

import numpy as np

from capacity_dagster.tables.catalogue import Table
from capacity_dagster.tables.quoting import identifier, literal
from capacity_dagster.warehouse import Warehouse

MONTH_VALUES = 6_000_000
"""Of a month with more values (rows times columns), each day has a file of its own."""
BATCH_VALUES = 8_000_000
"""How many values are read at once, unless a file alone has more."""
ROW_GROUP = 122_880
"""Rows of a Parquet row group."""
MICROSECONDS_PER_DAY = 86_400_000_000


@dataclass(frozen=True)
class ParquetFile:
    """One file of a table.

    Attributes:
        name: `2026-11.parquet`, `2026-11-21.parquet`, or the table's name where its rows are not told apart by time.
        position: where it comes among the table's files, in time.
        first_day: the first day it has rows of; None where they are not told apart by time.
        last_day: the last day it has rows of.
    """

    name: str
    position: int
    rows: int
    first_day: date | None = None
    last_day: date | None = None

    def days(self) -> Iterator[date | None]:
        """The days whose rows it has; None stands for all of them where they are not told apart by time."""
        if self.first_day is None or self.last_day is None:
            yield None
        else:
            yield from (self.first_day + timedelta(days=n) for n in range((self.last_day - self.first_day).days + 1))


@cache
def writer_version() -> str:
    """What else decides the bytes of a file than its rows and this code."""
    return f"pyarrow {package_version('pyarrow')}"


def planned_files(warehouse: Warehouse, table: Table, relation: str) -> list[ParquetFile]:
    """The files that a table's rows go into, in time: one a month, or one a day in months that are too large.

    A table without rows is one file without rows, which has its columns.

    Args:
        relation: what has the rows that are published of the table.
    """
    by = table.contract.files_by
    if by is None:
        return [ParquetFile(f"{table.name}.parquet", 0, warehouse.row_count(relation))]
    days: list[tuple[date, int]] = warehouse.rows(
        f"select cast({identifier(by)} as date) as day, count(*) from {relation} group by day order by day"
    )
    files: list[ParquetFile] = []
    for month, group in groupby(days, key=lambda each: f"{each[0]:%Y-%m}"):
        of_month = list(group)
        rows = sum(count for _, count in of_month)
        if rows * len(table.columns) <= MONTH_VALUES:
            files.append(ParquetFile(f"{month}.parquet", len(files), rows, of_month[0][0], of_month[-1][0]))
        else:
            for day, count in of_month:
                files.append(ParquetFile(f"{day}.parquet", len(files), count, day, day))
    return files or [ParquetFile(f"{table.name}.parquet", 0, 0)]


def write_files(
    warehouse: Warehouse, table: Table, relation: str, files: Iterable[ParquetFile], folder: Path
) -> Iterator[tuple[ParquetFile, str]]:
    """Writes files of a table into a folder, and tells each with its sha256."""
    columns = ", ".join(map(identifier, table.contract.columns))
    for batch in _batches(files, most_rows=BATCH_VALUES // len(table.columns)):
        query = f"select {columns} from {relation}{_where(table, batch)}"
        rows = _SortedRows(warehouse.connection.sql(query).to_arrow_reader(ROW_GROUP), table, batch)
        first = 0
        for file in batch:
            content = rows.as_parquet(first, first + file.rows)
            first += file.rows
            (folder / file.name).write_bytes(content)
            yield file, hashlib.sha256(content).hexdigest()
        del rows, content  # before the next are read


class _SortedRows:
    """Rows of one or several files, file by file and sorted by key."""

    def __init__(self, reader: Any, table: Table, files: list[ParquetFile]) -> None:
        import pyarrow as pa

        self.columns: dict[str, Any] = {}
        rows = reader.read_all()
        for field in rows.schema:
            column = rows[field.name]
            rows = rows.drop_columns([field.name])  # so that its memory is free as soon as it is numbers
            repeats = pa.types.is_string(field.type) and table.contract.key != (field.name,)
            self.columns[field.name] = _Text(column) if repeats else column.combine_chunks()
        del column
        keys = [_sortable(self.columns[name]) for name in table.contract.key]
        if len(files) > 1:
            beginnings = np.array([file.first_day for file in files], dtype="datetime64[D]")
            days = self.columns[table.contract.files_by or ""].to_numpy(zero_copy_only=False).astype("datetime64[D]")
            keys.insert(0, np.searchsorted(beginnings, days, side="right").astype(np.uint16))
        order = np.lexsort(keys[::-1])
        taken = pa.array(order)
        for name, column in self.columns.items():
            self.columns[name] = column.taken(order) if isinstance(column, _Text) else column.take(taken)

    def as_parquet(self, first: int, end: int) -> Any:
        """Some of the rows as a Parquet file.

        Dictionaries serve text that repeats; times are differences to the one before. Without statistics of text: they
        take longer than all else of it, and hardly help a reader.
        """
        import pyarrow as pa
        import pyarrow.parquet as pq

        columns = {
            name: column.slice(first, end) if isinstance(column, _Text) else column.slice(first, end - first)
            for name, column in self.columns.items()
        }
        plain = [name for name, column in columns.items() if pa.types.is_string(column.type)]
        times = [name for name, column in columns.items() if pa.types.is_temporal(column.type)]
        sink = pa.BufferOutputStream()
        pq.write_table(
            pa.table(columns),
            sink,
            row_group_size=ROW_GROUP,
            compression="zstd",
            store_schema=False,
            use_dictionary=[name for name in columns if name not in (*plain, *times)],
            column_encoding=dict.fromkeys(times, "DELTA_BINARY_PACKED"),
            write_statistics=[name for name, column in columns.items() if not pa.types.is_dictionary(column.type)],
        )
        return sink.getvalue()


class _Text:
    """A column of text as numbers, which sort as the text does; null comes last."""

    def __init__(self, column: Any) -> None:
        import pyarrow as pa
        import pyarrow.compute as pc

        encoded = column.dictionary_encode()
        values = encoded.chunk(0).dictionary if encoded.num_chunks else pa.array([], column.type)
        order = pc.array_sort_indices(values)
        self.values = values.take(order)
        self.null = len(values)
        rank = np.empty(self.null + 1, np.min_scalar_type(self.null))
        rank[order.to_numpy()] = np.arange(self.null)
        rank[self.null] = self.null
        chunks = [chunk.indices.fill_null(self.null).to_numpy() for chunk in encoded.chunks]
        self.codes = rank[np.concatenate(chunks)] if chunks else rank[:0]

    def taken(self, order: Any) -> "_Text":
        """The column in another order."""
        self.codes = self.codes[order]
        return self

    def slice(self, first: int, end: int) -> Any:
        """Some of the column's rows: a dictionary of what they hold, or plain text where hardly anything repeats."""
        import pyarrow as pa

        codes = self.codes[first:end]
        is_used = np.zeros(self.null + 1, bool)
        is_used[codes] = True
        used = np.flatnonzero(is_used[:-1])
        renumbered = np.zeros(self.null + 1, self.codes.dtype)
        renumbered[used] = np.arange(len(used))
        nulls = codes == self.null if is_used[-1] else None
        column = pa.DictionaryArray.from_arrays(
            pa.array(renumbered[codes], mask=nulls), self.values.take(pa.array(used))
        )
        return column if len(used) <= len(codes) // 2 else column.dictionary_decode()


def _sortable(column: Any) -> Any:
    """A key column as numbers of few bits, for which sorting is quickest."""
    import pyarrow as pa
    import pyarrow.compute as pc

    if isinstance(column, _Text):
        return column.codes
    if pa.types.is_string(column.type):
        rank = np.empty(len(column), np.uint32)
        rank[pc.array_sort_indices(column).to_numpy()] = np.arange(len(column))
        return rank
    numbers = column.to_numpy(zero_copy_only=False)
    if numbers.dtype.kind not in "iM" or not len(numbers):
        return numbers
    above_least = (numbers - numbers.min()).view(np.int64 if numbers.dtype.itemsize == 8 else np.int32)
    return above_least.astype(np.min_scalar_type(above_least.max()))


def _batches(files: Iterable[ParquetFile], most_rows: int) -> Iterator[list[ParquetFile]]:
    """Files that follow each other in the table, as many at a time as have so many rows together."""
    batch: list[ParquetFile] = []
    for file in files:
        is_next = bool(batch) and file.position == batch[-1].position + 1
        if batch and not (is_next and sum(each.rows for each in batch) + file.rows <= most_rows):
            yield batch
            batch = []
        batch.append(file)
    if batch:
        yield batch


def _where(table: Table, files: list[ParquetFile]) -> str:
    """SQL that keeps the rows of files that follow each other."""
    by, first, last = table.contract.files_by, files[0].first_day, files[-1].last_day
    if by is None or first is None or last is None:
        return ""
    return f" where {identifier(by)} >= {literal(first)} and {identifier(by)} < {literal(last + timedelta(days=1))}"
