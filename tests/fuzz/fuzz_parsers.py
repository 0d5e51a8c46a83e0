"""Coverage-guided fuzzing of what takes delivered bytes apart: `make fuzz`.

Atheris is no dependency of the project: `.venv/bin/python -m pip install atheris`.

What belongs here: the targets, and what must hold of each. What does not: tests that hypothesis runs
(`tests/unit/test_fuzz_sources.py`), to which an input that breaks something goes as a case.
"""

import importlib
import io
import sys
import tempfile
from pathlib import Path
from typing import Any

import atheris
import duckdb

INSTRUMENTED = [
    "capacity_dagster.sources.bytes",
    "capacity_dagster.sources.delimited",
    "capacity_dagster.sources.quoted",
    "capacity_dagster.sources.key_value",
    "capacity_dagster.sources.answers",
]

with atheris.instrument_imports(include=INSTRUMENTED):
    modules = [importlib.import_module(name) for name in INSTRUMENTED]

file_bytes, delimited, quoted, key_value, answers = modules

from capacity_dagster.errors import SourceError  # noqa: E402  (what is instrumented comes first)
from capacity_dagster.site_sections import Source  # noqa: E402
from capacity_dagster.tables.catalogue import load_catalogue  # noqa: E402

FOLDER = Path(tempfile.mkdtemp(prefix="fuzz-"))
CONNECTION = duckdb.connect()
CATALOGUE = load_catalogue()
SEEDS = {
    "bytes": [b"\xef\xbb\xbfa|b\r\nc|\xff\n", b"\x1f\x8b", b'{"a": 1}', b"a\rb\0c\x01"],
    "delimited": [b"alpha|r|n[1-2]|1767225600|1767229200\nalpha|q\nalpha|s|n1|Unknown|1767229200|x\n"],
    "csv": [b'alpha,a,,"te""am",1767225600,\n# a comment\n"two\nlines",,,,,\n'],
    "key_value": [b'JobIDRaw=2,"AllocTRES=cpu=4,gres/gpu=2",=x\n\nJobIDRaw=3,JobIDRaw=4'],
    "json": [b'{"job_id": 1, "tres": [{"a": null}]}, 7, "x"], "errors": [], "meta": {"k": 1e4}}'],
}
"""What each parser begins with."""


def bytes_of(content: bytes) -> None:
    """A clean copy has as many lines as the file, and needs no cleaning again."""
    found, file = probed(content)
    if found is None or found.form == "parquet":
        return
    clean = FOLDER / "clean"
    file_bytes.write_clean(file, clean)
    if not clean.read_bytes().strip():
        return
    again = file_bytes.probe(clean)
    assert again.lines == found.lines, (again.lines, found.lines)
    assert not again.needs_cleaning
    assert again.is_terminated == found.is_terminated


def delimited_of(content: bytes) -> None:
    """Each line but the first is in one record."""
    found, file = probed(b"Cluster|Name|NodeName|TimeStart|TimeEnd\n" + content)
    if found is None or found.form != "text":
        return
    if found.needs_cleaning:
        file_bytes.write_clean(file, FOLDER / "clean")
        file = FOLDER / "clean"
        found = file_bytes.probe(file)
    delimited.drop_relations(CONNECTION)
    delimited.create_delivered(
        CONNECTION, CATALOGUE["raw.slurm_reservations"], source("slurm_reservations"), file, found
    )
    records = CONNECTION.execute("select record_text from delivered").fetchall()
    lines = [line for line in file.read_text(encoding="utf-8").split("\n")[1:] if line.strip()]
    kept = [line for (text,) in records for line in text.split("\n") if line.strip()]
    assert sorted(kept) == sorted(lines), (kept, lines)


def csv_of(content: bytes) -> None:
    """A spreadsheet is read, or refused with a message."""
    text = content.decode("utf-8", errors="backslashreplace")
    lines = io.StringIO("cluster,account,user,team,valid_from,valid_to\n" + text, newline="")
    delimited.drop_relations(CONNECTION)
    quoted.create_delivered_csv(CONNECTION, CATALOGUE["raw.org_mapping"], source("org_mapping"), lines)


def key_value_of(content: bytes) -> None:
    """Each row of cells is a record."""
    text = "JobIDRaw=1,State=COMPLETED\n" + content.decode("utf-8", errors="backslashreplace").replace("\r", "")
    delimited.drop_relations(CONNECTION)
    key_value.create_delivered_key_value(CONNECTION, CATALOGUE["raw.slurm_jobs"], text, text.endswith("\n"))
    assert CONNECTION.execute("select min(source_line) from delivered").fetchall() == [(1,)]


def json_of(content: bytes) -> None:
    """Each element of the array is a record."""
    delimited.drop_relations(CONNECTION)
    answers.create_records(CONNECTION, "slurm_jobs", io.BytesIO(b'{"jobs": [' + content))
    rows = CONNECTION.execute("select count(*), count(record) + count(unusable_text) from records").fetchall()
    assert rows[0][0] == rows[0][1], rows


def probed(content: bytes) -> tuple[Any, Path]:
    """What a file of these bytes is, and the file."""
    file = FOLDER / "delivered"
    file.write_bytes(content)
    try:
        return file_bytes.probe(file), file
    except SourceError:
        return None, file


def source(kind: str) -> Source:
    """A source of the site file."""
    return Source.model_validate({"kind": kind, "files": "*", "cluster": "alpha"})


def one_input(data: bytes) -> None:
    """The first byte says which parser takes the rest."""
    if not data:
        return
    target = (bytes_of, delimited_of, csv_of, key_value_of, json_of)[data[0] % len(SEEDS)]
    try:
        target(data[1:])
    except SourceError as error:
        if "expected" not in str(error):
            raise AssertionError(f"a message without what was expected: {error}") from error


if __name__ == "__main__":
    corpus = Path(sys.argv[-1])
    for number, seeds in enumerate(SEEDS.values() if corpus.is_dir() else ()):  # not where one input is tried again
        for position, seed in enumerate(seeds):
            (corpus / f"seed-{number}-{position}").write_bytes(bytes([number]) + seed)
    atheris.Setup(sys.argv, one_input)
    atheris.Fuzz()
