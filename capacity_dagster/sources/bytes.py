"""A delivered file's bytes: compression, encoding and the characters that break line-wise reading.

What belongs here: telling what a file is from its bytes, and making a clean copy where it needs one.
"""

import codecs
import gzip
import io
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, Literal, cast

import zstandard

from capacity_dagster.errors import SourceError

BLOCK = 4 << 20
HEAD = 1 << 20
Form = Literal["text", "json", "parquet"]

SEPARATOR = "\x01"
"""Never in clean text: DuckDB's CSV reader is told that it separates columns, so that a line is one column."""

CONTROLS = bytes([*range(0x09), *range(0x0E, 0x1C)])
"""Bytes that text hardly has."""

SHOWN_CR = "\N{SYMBOL FOR CARRIAGE RETURN}"
SHOWN_NUL = "\N{SYMBOL FOR NULL}"
SHOWN_SEPARATOR = "\N{SYMBOL FOR START OF HEADING}"


@dataclass(frozen=True)
class Probe:
    """What a file's bytes tell.

    Attributes:
        form: what kind of content it is.
        compression: how DuckDB must be told to read it.
        needs_cleaning: it has a CR, a NUL, the separator, a byte-order mark or invalid UTF-8.
        is_terminated: its last line ends with a line break.
        lines: how many lines it has.
        head: its first characters.
    """

    form: Form
    compression: Literal["none", "gzip", "zstd"]
    needs_cleaning: bool
    is_terminated: bool
    lines: int
    head: str


class _ZstdFile(io.RawIOBase):
    """The content of a zst file; unlike zstandard's own reader it says so when the file ends inside a frame."""

    def __init__(self, compressed: BinaryIO) -> None:
        self._compressed = compressed
        self._frame: zstandard.ZstdDecompressionObj | None = None
        self._unread = b""
        self._content = b""

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        while not self._content:
            self._unread = self._unread or self._compressed.read(1 << 16)
            if not self._unread:
                if self._frame is not None:
                    raise EOFError("it ends inside a frame")
                return 0
            self._frame = self._frame or zstandard.ZstdDecompressor().decompressobj()
            self._content = self._frame.decompress(self._unread)
            self._unread = self._frame.unused_data
            if self._frame.eof:
                self._frame = None
        size = min(len(buffer), len(self._content))
        buffer[:size] = self._content[:size]
        self._content = self._content[size:]
        return size


@contextmanager
def opened(file: Path) -> Iterator[BinaryIO]:
    """The file's bytes, decompressed."""
    with file.open("rb") as raw:
        magic = raw.read(4)
        raw.seek(0)
        if magic[:2] == b"\x1f\x8b":
            yield cast(BinaryIO, gzip.GzipFile(fileobj=raw))
        elif magic == b"\x28\xb5\x2f\xfd":
            yield cast(BinaryIO, io.BufferedReader(_ZstdFile(raw)))
        else:
            yield raw


def probe(file: Path) -> Probe:
    """Reads a file once and says what it is.

    Raises:
        SourceError: it is empty, is cut off inside its compression, or is not text, JSON or Parquet.
    """
    try:
        return _probe(file)
    except (EOFError, gzip.BadGzipFile, zlib.error, zstandard.ZstdError) as error:
        raise SourceError(f"its compression is broken or cut off ({error}); expected a whole gz or zst file") from error


def _probe(file: Path) -> Probe:
    with file.open("rb") as raw:
        magic = raw.read(4)
    if magic == b"PAR1":
        return Probe("parquet", "none", False, True, 0, "")
    compression: Literal["none", "gzip", "zstd"] = "none"
    if magic[:2] == b"\x1f\x8b":
        compression = "gzip"
    elif magic == b"\x28\xb5\x2f\xfd":
        compression = "zstd"
    decoder = codecs.getincrementaldecoder("utf-8")()
    head = b""
    needs_cleaning = False
    lines = 0
    last = b"\n"
    is_ascii = True
    with opened(file) as stream:
        while block := stream.read(BLOCK):
            lines += block.count(b"\n")
            head += block[: HEAD - len(head)]
            needs_cleaning = needs_cleaning or any(mark in block for mark in (b"\r", b"\0", SEPARATOR.encode()))
            is_ascii = is_ascii and block.isascii()
            if not (needs_cleaning or is_ascii):
                try:
                    decoder.decode(block)
                except UnicodeDecodeError:
                    needs_cleaning = True
            last = block[-1:]
    lines += last != b"\n"
    if not head.strip():
        raise SourceError("is empty; expected at least a header or one record")
    if len(head) - len(head.translate(None, CONTROLS)) > len(head) // 20:
        raise SourceError(
            "is not text (its beginning has more than one control character in twenty bytes); expected delimited text"
        )
    if not needs_cleaning:
        try:
            decoder.decode(b"", final=True)
        except UnicodeDecodeError:
            needs_cleaning = True
    needs_cleaning = needs_cleaning or head.startswith(codecs.BOM_UTF8)
    text = head.removeprefix(codecs.BOM_UTF8).decode("utf-8", errors="replace")
    form: Form = "json" if text.lstrip()[:1] in ("{", "[") else "text"
    return Probe(form, compression, needs_cleaning, last == b"\n", lines, text)


def write_clean(file: Path, target: Path) -> None:
    """Copies a file as UTF-8 text that can be read line by line; no line is added or lost.

    CR LF becomes LF; a lone CR, a NUL and the separator become their visible symbols, an undecodable byte `\\xNN`.
    """
    decoder = codecs.getincrementaldecoder("utf-8-sig")(errors="backslashreplace")
    with opened(file) as stream, target.open("w", encoding="utf-8", newline="") as out:
        kept = ""
        while block := stream.read(BLOCK):
            text = kept + decoder.decode(block)
            kept = "\r" if text.endswith("\r") else ""
            out.write(_cleaned(text.removesuffix(kept)))
        out.write(_cleaned(kept + decoder.decode(b"", final=True)))


def _cleaned(text: str) -> str:
    text = text.replace("\r\n", "\n").replace("\r", SHOWN_CR)
    return text.replace("\0", SHOWN_NUL).replace(SEPARATOR, SHOWN_SEPARATOR)
