"""Answers of Slurm in JSON: one object with an array of records beside what else it says.

What belongs here: turning the text of an answer into the relation `records`, one row per element of its array. What
does not: what an element means.
"""

import codecs
import json
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from json import JSONDecodeError
from typing import Any, BinaryIO

import duckdb
import pyarrow as pa

from capacity_dagster.errors import SourceError

ANSWERS = {
    "slurm_jobs": (
        "jobs",
        "one answer of `sacct --json`, `scontrol show job --json` or slurmrestd's /slurmdb/…/jobs or /slurm/…/jobs",
    ),
    "slurm_nodes": (
        "nodes",
        "one answer of `scontrol show node --json`, `sinfo --json` or slurmrestd's /slurm/…/nodes",
    ),
    "slurm_reservations": (
        "reservations",
        "one answer of `scontrol show reservation --json` or slurmrestd's /slurm/…/reservations",
    ),
}
"""The kinds that may be delivered as JSON: the name of the array of their records, and what writes it."""

UNDECODABLE = "escaped-backslashreplace"
"""How an undecodable byte is shown in JSON: `\\xNN`, with its backslash escaped."""

BATCH = 4096
RECORDS = pa.schema([("position", pa.int64()), ("text", pa.string())])


@dataclass
class _Answer:
    """What an answer holds.

    Attributes:
        keys: its keys, in their order.
        spans: where each element of the array begins and ends; None: it has no such array.
        errors: what it reports as errors.
    """

    keys: list[str] = field(default_factory=list)
    spans: list[tuple[int, int]] | None = None
    errors: Any = None


def create_records(connection: duckdb.DuckDBPyConnection, kind: str, stream: BinaryIO) -> None:
    """Creates the temporary table `records`: `position` in the array from 1, and either `record`, a JSON object, or
    `unusable_text`, an element that is none.

    Raises:
        SourceError: it is not one JSON document, has no such array, or is an answer that reports errors.
    """
    array, expected = ANSWERS[kind]
    text = stream.read().decode("utf-8-sig", errors=UNDECODABLE)
    try:
        answer = _scanned(text, array)
    except JSONDecodeError as error:
        several = " (are there several documents in one file?)" if error.msg == "Extra data" else ""
        raise SourceError(f"is not JSON: {error}{several}; expected {expected}") from error
    except (ValueError, RecursionError) as error:
        raise SourceError(f"cannot be read as JSON: {error}; expected {expected}") from error
    if answer.spans is None:
        found = f"the keys {', '.join(answer.keys)}"[:300] if answer.keys else f"{text.strip()[:40]!r}"
        raise SourceError(f"has no array '{array}'; found {found}; expected {expected}", found)
    if answer.errors:
        reported = json.dumps(answer.errors)[:300]
        raise SourceError(f"is an answer that reports errors: {reported}; expected {expected} without errors", reported)
    connection.register("answer", pa.RecordBatchReader.from_batches(RECORDS, _batches(text, answer.spans)))
    connection.execute(
        """
        create temp table records as
        select
            position,
            case when json_type(record) = 'OBJECT' then record end as record,
            case when coalesce(json_type(record), '') <> 'OBJECT' then text end as unusable_text
        from (select position, text, try_cast(text as json) as record from answer)
        """
    )
    connection.unregister("answer")


def _scanned(text: str, array: str) -> _Answer:
    """Walks over the members of the outermost object; of the array's elements, only where they are is kept."""
    answer = _Answer()
    decode = json.JSONDecoder().raw_decode
    position = _after_space(text, 0)
    if text[position : position + 1] != "{":
        json.loads(text)
        return answer
    position = _after_space(text, position + 1)
    if text[position : position + 1] == "}":
        position += 1
    else:
        while True:
            key, position = decode(text, position)
            if not isinstance(key, str):
                raise JSONDecodeError("Expecting property name enclosed in double quotes", text, position)
            answer.keys.append(key)
            position = _after_space(text, _after_mark(text, _after_space(text, position), ":"))
            if key == array and text[position : position + 1] == "[":
                answer.spans = answer.spans or []
                position = _elements(text, position + 1, answer.spans)
            else:
                value, position = decode(text, position)
                answer.errors = value if key == "errors" else answer.errors
            position = _after_space(text, position)
            if text[position : position + 1] == "}":
                position += 1
                break
            position = _after_space(text, _after_mark(text, position, ","))
    if _after_space(text, position) != len(text):
        raise JSONDecodeError("Extra data", text, position)
    return answer


def _elements(text: str, position: int, spans: list[tuple[int, int]]) -> int:
    """Adds where each element of an array begins and ends, from behind its bracket; returns what is behind it."""
    decode = json.JSONDecoder().raw_decode
    position = _after_space(text, position)
    if text[position : position + 1] == "]":
        return position + 1
    while True:
        _, end = decode(text, position)
        spans.append((position, end))
        position = _after_space(text, end)
        if text[position : position + 1] == "]":
            return position + 1
        position = _after_space(text, _after_mark(text, position, ","))


def _after_space(text: str, position: int, space: re.Pattern[str] = re.compile(r"[ \t\n\r]*")) -> int:
    match = space.match(text, position)
    return match.end() if match else position


def _after_mark(text: str, position: int, mark: str) -> int:
    if text[position : position + 1] != mark:
        raise JSONDecodeError(f"Expecting {mark!r} delimiter", text, position)
    return position + 1


def _batches(text: str, spans: list[tuple[int, int]]) -> Iterator[pa.RecordBatch]:
    for first in range(0, len(spans), BATCH):
        texts = [text[begin:end] for begin, end in spans[first : first + BATCH]]
        positions = pa.array(range(first + 1, first + 1 + len(texts)), pa.int64())
        yield pa.record_batch([positions, pa.array(texts, pa.string())], schema=RECORDS)


def _escaped(error: UnicodeError) -> tuple[str, int]:
    shown, position = codecs.backslashreplace_errors(error)
    return str(shown).replace("\\", "\\\\"), position


codecs.register_error(UNDECODABLE, _escaped)
