"""What a file's bytes tell, and its clean copy, wherever the borders of the blocks fall that it is read in."""

import gzip
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import zstandard
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from capacity_dagster.errors import SourceError
from capacity_dagster.sources import bytes as file_bytes
from capacity_dagster.sources.bytes import probe, write_clean


def written(tmp_path: Path, content: bytes) -> Path:
    file = tmp_path / "delivered"
    file.write_bytes(content)
    return file


def cleaned(file: Path) -> str:
    target = file.with_suffix(".clean")
    write_clean(file, target)
    return target.read_bytes().decode("utf-8")


def compressed_zst(content: bytes) -> bytes:
    return zstandard.ZstdCompressor().compress(content)


@pytest.fixture(params=[1, 2, 3, 5, 4 << 20], ids=lambda size: f"blocks of {size}")
def block(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> int:
    monkeypatch.setattr(file_bytes, "BLOCK", request.param)
    return int(request.param)


@pytest.mark.parametrize(
    ("content", "needs_cleaning", "is_terminated", "text"),
    [
        pytest.param(b"a|b\nc|d\n", False, True, "a|b\nc|d\n", id="plain"),
        pytest.param(b"a|b\nc|d", False, False, "a|b\nc|d", id="unterminated"),
        pytest.param("å|日本\n🦆|é\n".encode(), False, True, "å|日本\n🦆|é\n", id="unicode"),
        pytest.param(b"\xef\xbb\xbfa|b\n", True, True, "a|b\n", id="byte-order mark"),
        pytest.param(b"a\r\nb\r\n", True, True, "a\nb\n", id="CR LF"),
        pytest.param(b"a\r\nb\nc\r\n", True, True, "a\nb\nc\n", id="CR LF and LF"),
        pytest.param(b"a\rb\n", True, True, "a␍b\n", id="lone CR"),
        pytest.param(b"a\r\r\nb\n", True, True, "a␍\nb\n", id="CR before CR LF"),
        pytest.param(b"a\nb\r", True, False, "a\nb␍", id="CR at the end"),
        pytest.param(b"name|" * 9 + b"a\0b\n", True, True, "name|" * 9 + "a␀b\n", id="NUL"),
        pytest.param(b"name|" * 9 + b"a\x01b\n", True, True, "name|" * 9 + "a␁b\n", id="the separator"),
        pytest.param(b"a\xffb\nc\n", True, True, "a\\xffb\nc\n", id="a byte that is not UTF-8"),
        pytest.param(b"a\xe6\x97\nc\n", True, True, "a\\xe6\\x97\nc\n", id="a character cut off inside"),
        pytest.param(b"abc\xe6\x97", True, False, "abc\\xe6\\x97", id="a character cut off at the end"),
        pytest.param(b"\n\na\n", False, True, "\n\na\n", id="blank lines first"),
    ],
)
@pytest.mark.parametrize("compress", [bytes, gzip.compress, compressed_zst], ids=["plain", "gz", "zst"])
def test_text(
    tmp_path: Path, block: int, content: bytes, needs_cleaning: bool, is_terminated: bool, text: str, compress
) -> None:
    file = written(tmp_path, compress(content))
    found = probe(file)
    assert found.form == "text"
    assert found.needs_cleaning == needs_cleaning
    assert found.is_terminated == is_terminated
    assert found.compression == {bytes: "none", gzip.compress: "gzip", compressed_zst: "zstd"}[compress]
    assert cleaned(file) == text


def test_the_head_is_read_across_blocks(tmp_path: Path, block: int) -> None:
    assert probe(written(tmp_path, b"JobID|State\n1|RUNNING\n")).head == "JobID|State\n1|RUNNING\n"


def test_the_head_has_no_byte_order_mark(tmp_path: Path, block: int) -> None:
    assert probe(written(tmp_path, b"\xef\xbb\xbfJobID\n")).head == "JobID\n"


def test_the_head_is_read_across_the_parts_of_a_compressed_file(tmp_path: Path) -> None:
    for compress in (gzip.compress, compressed_zst):
        file = written(tmp_path, compress(b"JobID|") + compress(b"State\n") + compress(b"1|RUNNING\n"))
        assert probe(file).head == "JobID|State\n1|RUNNING\n"
        assert cleaned(file) == "JobID|State\n1|RUNNING\n"


@pytest.mark.parametrize("content", [b'{"nodes": []}', b' \n[{"a": 1}]', b'\xef\xbb\xbf{"a": 1}'])
def test_json_is_told_by_its_first_character(tmp_path: Path, block: int, content: bytes) -> None:
    assert probe(written(tmp_path, content)).form == "json"


def test_parquet_is_told_by_its_first_bytes(tmp_path: Path, block: int) -> None:
    pq.write_table(pa.table({"a": [1]}), tmp_path / "delivered")
    assert probe(tmp_path / "delivered").form == "parquet"


@pytest.mark.parametrize("compress", [bytes, gzip.compress, compressed_zst], ids=["plain", "gz", "zst"])
@pytest.mark.parametrize("content", [b"", b"\n", b" \n\t\n"])
def test_an_empty_file_is_refused(tmp_path: Path, content: bytes, compress) -> None:
    with pytest.raises(SourceError, match="is empty; expected at least a header or one record"):
        probe(written(tmp_path, compress(content)))


@pytest.mark.parametrize("compress", [gzip.compress, compressed_zst], ids=["gz", "zst"])
@pytest.mark.parametrize("kept", [0.1, 0.5, 0.99])
def test_a_compressed_file_that_is_cut_off_is_refused(tmp_path: Path, compress, kept: float) -> None:
    whole = compress("".join(f"{number * 7919 % 10007}|RUNNING\n" for number in range(20_000)).encode())
    with pytest.raises(SourceError, match="compression is broken or cut off"):
        probe(written(tmp_path, whole[: int(len(whole) * kept)]))


@pytest.mark.parametrize("compress", [gzip.compress, compressed_zst], ids=["gz", "zst"])
def test_a_compressed_file_that_is_damaged_is_refused(tmp_path: Path, compress) -> None:
    whole = bytearray(compress("".join(f"{number * 7919 % 10007}|RUNNING\n" for number in range(20_000)).encode()))
    for position in range(len(whole) // 2, len(whole) // 2 + 40):
        whole[position] ^= 0xFF
    with pytest.raises(SourceError, match="compression is broken or cut off"):
        probe(written(tmp_path, bytes(whole)))


@pytest.mark.parametrize(
    "content",
    [bytes(range(256)) * 8, b"\x7fELF\x02\x01\x01" + bytes(64), "JobID|State\n1|RUNNING\n".encode("utf-16")],
    ids=["every byte", "a program", "UTF-16"],
)
def test_what_is_not_text_is_refused(tmp_path: Path, block: int, content: bytes) -> None:
    with pytest.raises(SourceError, match=r"is not text .* expected delimited text"):
        probe(written(tmp_path, content))


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    content=st.lists(
        st.sampled_from([b"a", b"\r", b"\n", b"\r\n", b"\0", b"\x01", b"\xc3", b"\xa9", "é".encode(), "🦆".encode()]),
        min_size=1,
        max_size=30,
    ).map(b"".join),
    size=st.integers(1, 9),
)
def test_a_clean_copy_is_the_same_whatever_the_blocks(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, content: bytes, size: int
) -> None:
    """The expectation is the whole content decoded at once; lines are as many as LFs, and none needs cleaning again."""
    file = written(tmp_path, content)
    expected = content.decode("utf-8-sig", errors="backslashreplace").replace("\r\n", "\n")
    for control, shown in (("\r", "␍"), ("\0", "␀"), ("\x01", "␁")):
        expected = expected.replace(control, shown)
    with monkeypatch.context() as patched:
        patched.setattr(file_bytes, "BLOCK", size)
        assert cleaned(file) == expected
    assert expected.count("\n") == content.count(b"\n")
