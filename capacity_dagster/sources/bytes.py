"""A delivered file's bytes: compression, encoding and the characters that break line-wise reading.

What belongs here: telling what a file is from its bytes, and making a clean copy where it needs one.
"""

import codecs
import gzip
import io
import re
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
LONGEST_LINE = 32 << 20
"""So long a line may be: a reader holds it as a whole."""

READ_AT_ONCE = 1 << 30
"""So much text may be in a file that a reader must hold as a whole."""

Form = Literal["text", "json", "parquet"]

SEPARATOR = "\x01"
"""Never in clean text: DuckDB's CSV reader is told that it separates columns, so that a line is one column."""

CONTROLS = bytes([*range(0x09), *range(0x0E, 0x1C)])
"""Bytes that text hardly has."""

FOREIGN = {
    b"\xff\xfe\0\0": "UTF-32",
    b"\0\0\xfe\xff": "UTF-32",
    b"\xff\xfe": "UTF-16",
    b"\xfe\xff": "UTF-16",
    b"PK\x03\x04": "a zip archive or a workbook",
    b"BZh": "a bz2 file",
    b"\xfd7zXZ\0": "an xz file",
    b"\x1f\x8b": "a gz file inside another compressed one",
    b"\x28\xb5\x2f\xfd": "a zst file inside another compressed one",
}
"""What files that are not read begin with, and what they are."""

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
        size: how many bytes it has, decompressed.
        head: its first characters.
    """

    form: Form
    compression: Literal["none", "gzip", "zstd"]
    needs_cleaning: bool
    is_terminated: bool
    lines: int
    size: int
    head: str

    @property
    def first_line(self) -> str:
        """Without its line break."""
        return self.head.split("\n", 1)[0].rstrip("\r")


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
        SourceError: it is empty, is cut off inside its compression, is not text, JSON or Parquet, or is text with a
            line that is too long.
    """
    try:
        return _probe(file)
    except (EOFError, gzip.BadGzipFile, zlib.error, zstandard.ZstdError) as error:
        raise SourceError(f"its compression is broken or cut off ({error}); expected a whole gz or zst file") from error


def _probe(file: Path) -> Probe:
    with file.open("rb") as raw:
        magic = raw.read(4)
    if magic == b"PAR1":
        return Probe("parquet", "none", False, True, 0, 0, "")
    compression: Literal["none", "gzip", "zstd"] = "none"
    if magic[:2] == b"\x1f\x8b":
        compression = "gzip"
    elif magic == b"\x28\xb5\x2f\xfd":
        compression = "zstd"
    decoder = codecs.getincrementaldecoder("utf-8")()
    head = b""
    needs_cleaning = _is_padded(file, compression)
    lines = size = 0
    unended = 0  # bytes since the last line break
    last = b"\n"
    is_ascii = True
    with opened(file) as stream:
        while block := stream.read(BLOCK):
            lines_before = lines
            lines += block.count(b"\n")
            size += len(block)
            head += block[: HEAD - len(head)]
            first_break = block.find(b"\n")
            unended += len(block) if first_break < 0 else first_break
            if unended > LONGEST_LINE and _form(_text(head)) == "text":
                _refuse_what_is_no_text(head)
                raise SourceError(
                    f"line {lines_before + 1} has more than {LONGEST_LINE >> 20} MiB; expected lines "
                    "that end with LF or CR LF"
                )
            if first_break >= 0:
                unended = len(block) - block.rfind(b"\n") - 1
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
    _refuse_what_is_no_text(head)
    if not needs_cleaning:
        try:
            decoder.decode(b"", final=True)
        except UnicodeDecodeError:
            needs_cleaning = True
    needs_cleaning = needs_cleaning or head.startswith(codecs.BOM_UTF8)
    text = _text(head)
    return Probe(_form(text), compression, needs_cleaning, last == b"\n", lines, size, text)


def refuse_much(found: Probe) -> None:
    """Refuses a file that a reader would have to hold as a whole, and that is too large for it.

    Raises:
        SourceError: it is.
    """
    if found.size > READ_AT_ONCE:
        raise SourceError(
            f"has {found.size / (1 << 30):.1f} GiB of text, which must be read at once; expected at most "
            f"{READ_AT_ONCE >> 30} GiB: deliver it in several files, or as delimited text"
        )


def refuse_lone_cr(header: str | None, found: Probe) -> None:
    """Refuses a file whose lines end with CR alone: all of it would be its header, or its only record.

    Raises:
        SourceError: they do.
    """
    line = header if header is not None else found.head if found.lines <= 1 else ""
    if re.search(f"[\r{SHOWN_CR}][^\r\n{SHOWN_CR}]", line):
        raise SourceError("line 1 has a CR inside; expected lines that end with LF or CR LF, not with CR alone")


def _text(head: bytes) -> str:
    return head.removeprefix(codecs.BOM_UTF8).decode("utf-8", errors="replace")


def _form(text: str) -> Form:
    return "json" if text.lstrip()[:1] in ("{", "[") else "text"


def _refuse_what_is_no_text(head: bytes) -> None:
    if len(head) - len(head.translate(None, CONTROLS)) > len(head) // 20 or head[:2] in (b"\xff\xfe", b"\xfe\xff"):
        why = "its beginning has more than one control character in twenty bytes"
        why = next((f"it is {what}" for beginning, what in FOREIGN.items() if head.startswith(beginning)), why)
        raise SourceError(f"is not text ({why}); expected delimited text in UTF-8")


def _is_padded(file: Path, compression: str) -> bool:
    """Whether a gz file ends with zeros, as tapes pad it, which DuckDB takes for another part of it."""
    with file.open("rb") as raw:
        size = raw.seek(0, io.SEEK_END)
        raw.seek(max(size - 8, 0))
        return compression == "gzip" and raw.read() == bytes(8)


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
