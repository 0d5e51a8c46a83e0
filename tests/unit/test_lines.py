"""The very line of a delivered file, whatever became of the file."""

import gzip
import os
from pathlib import Path

import pytest
import zstandard

from capacity_dagster.explain.number import shown
from capacity_dagster.sources import lines
from capacity_dagster.sources.lines import LONGEST_LINE, lines_of

TEXT = b"a|b\r\none|1\nzw\xc3\xb6lf|12\nbad \xff|\x1b[31m\x00\nlast|4"
SPLIT = {1: "a|b", 2: "one|1", 3: "zwölf|12", 4: "bad \\xff|\x1b[31m\x00", 5: "last|4"}


@pytest.mark.parametrize(
    ("name", "content"),
    [("a.psv", TEXT), ("a.psv.gz", gzip.compress(TEXT)), ("a.psv.zst", zstandard.ZstdCompressor().compress(TEXT))],
    ids=["plain", "gz", "zst"],
)
def test_lines_are_counted_from_one_whatever_the_compression(tmp_path: Path, name: str, content: bytes) -> None:
    (tmp_path / name).write_bytes(content)
    assert lines_of(tmp_path, name, [1, 2, 3, 4, 5]) == SPLIT
    assert lines_of(tmp_path, name, [5, 2]) == {2: "one|1", 5: "last|4"}
    assert lines_of(tmp_path, name, [6]) == "has no line 6 any more"


def test_an_endless_line_is_cut_and_those_after_it_are_found(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"x" * (LONGEST_LINE * 40) + b"\nnext\n")
    found = lines_of(tmp_path, "a", [1, 2])
    assert found == {1: "x" * LONGEST_LINE + "…", 2: "next"}


def test_no_more_is_read_than_up_to_the_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lines, "READ_AT_MOST", 1 << 20)
    (tmp_path / "a.gz").write_bytes(gzip.compress(b"first\n" + b"0123456789\n" * 500_000))
    assert lines_of(tmp_path, "a.gz", [1]) == {1: "first"}
    assert lines_of(tmp_path, "a.gz", [400_000]) == (
        "is longer than 1 MB before that line: look at it with `sed -n 400000p`"
    )


def test_what_is_no_text_of_the_landing_is_not_read(tmp_path: Path) -> None:
    landing = tmp_path / "landing"
    landing.mkdir()
    (tmp_path / "secret").write_text("secret\n", encoding="utf-8")
    os.mkfifo(landing / "pipe")
    (landing / "rows.parquet").write_bytes(b"PAR1....")
    (landing / "jobs.json").write_bytes(b'\xef\xbb\xbf\n {"jobs": []}')
    (landing / "cut.gz").write_bytes(gzip.compress(os.urandom(1 << 20))[: 1 << 19])
    for path in ("../secret", str(tmp_path / "secret"), "a/../../secret"):
        assert lines_of(landing, path, [1]) == "is not a path inside the landing"
    assert lines_of(landing, "pipe", [1]) == "is no regular file any more"
    assert lines_of(landing, "gone", [1]) == "is not in the landing any more"
    assert lines_of(landing, "rows.parquet", [1]) == "is Parquet: source_line is the number of the row"
    assert lines_of(landing, "jobs.json", [1]) == "is JSON: source_line is the position of the record"
    assert str(lines_of(landing, "cut.gz", [1_000_000])).startswith("cannot be read to that line (")


def test_what_does_not_print_is_escaped() -> None:
    assert shown("zwölf|\x1b[31m\x00\u202e") == "zwölf|\\x1b[31m\\x00\\u202e"
