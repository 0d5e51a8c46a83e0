"""A delivered file's bytes: compression, encoding and the characters that break line-wise reading.

What belongs here: telling what a file is from its bytes, and making a clean copy where it needs one.
"""

import codecs
import gzip
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Literal, cast

import zstandard

from capacity_dagster.errors import SourceError

BLOCK = 4 << 20
Form = Literal["text", "json", "parquet"]

SHOWN_CR = "\N{SYMBOL FOR CARRIAGE RETURN}"
SHOWN_NUL = "\N{SYMBOL FOR NULL}"


@dataclass(frozen=True)
class Probe:
    """What a file's bytes tell.

    Attributes:
        form: what kind of content it is.
        compression: how DuckDB must be told to read it.
        needs_cleaning: it has a lone CR, a NUL, a byte-order mark or invalid UTF-8.
        is_terminated: its last line ends with a line break.
        head: its first characters.
    """

    form: Form
    compression: Literal["none", "gzip", "zstd"]
    needs_cleaning: bool
    is_terminated: bool
    head: str


@contextmanager
def opened(file: Path) -> Iterator[BinaryIO]:
    """The file's bytes, decompressed."""
    with file.open("rb") as raw:
        magic = raw.read(4)
        raw.seek(0)
        if magic[:2] == b"\x1f\x8b":
            yield cast(BinaryIO, gzip.GzipFile(fileobj=raw))
        elif magic == b"\x28\xb5\x2f\xfd":
            with zstandard.ZstdDecompressor().stream_reader(raw, read_across_frames=True) as stream:
                yield cast(BinaryIO, stream)
        else:
            yield raw


def probe(file: Path) -> Probe:
    """Reads a file once and says what it is.

    Raises:
        SourceError: it is empty, is cut off inside its compression, or is not text, JSON or Parquet.
    """
    try:
        return _probe(file)
    except (EOFError, gzip.BadGzipFile, zstandard.ZstdError) as error:
        raise SourceError(f"its compression is broken or cut off ({error}); expected a whole gz or zst file") from error


def _probe(file: Path) -> Probe:
    with file.open("rb") as raw:
        magic = raw.read(4)
    compression: Literal["none", "gzip", "zstd"] = "none"
    if magic[:2] == b"\x1f\x8b":
        compression = "gzip"
    elif magic == b"\x28\xb5\x2f\xfd":
        compression = "zstd"
    decoder = codecs.getincrementaldecoder("utf-8")()
    head = b""
    needs_cleaning = False
    controls = size = 0
    last = b""
    with opened(file) as stream:
        while block := stream.read(BLOCK):
            if not size:
                head = block[: 1 << 20]
                if head.startswith(b"PAR1"):
                    return Probe("parquet", "none", False, True, "")
            size += len(block)
            joined = last + block
            controls += len(re.findall(rb"[\x00-\x08\x0e-\x1f]", block))
            if not needs_cleaning:
                needs_cleaning = b"\0" in block or re.search(rb"\r(?!\n)(?=[\s\S])", joined) is not None
            if not needs_cleaning:
                try:
                    decoder.decode(block)
                except UnicodeDecodeError:
                    needs_cleaning = True
            last = block[-1:]
    if not size or not head.strip():
        raise SourceError("is empty; expected at least a header or one record")
    if controls > size // 20:
        raise SourceError("is not text (more than one byte in twenty is a control character); expected delimited text")
    if not needs_cleaning:
        try:
            decoder.decode(b"", final=True)
        except UnicodeDecodeError:
            needs_cleaning = True
    needs_cleaning = needs_cleaning or last == b"\r" or head.startswith(codecs.BOM_UTF8)
    text = head.removeprefix(codecs.BOM_UTF8).decode("utf-8", errors="replace")
    form: Form = "json" if text.lstrip()[:1] in ("{", "[") else "text"
    return Probe(form, compression, needs_cleaning, last == b"\n", text)


def write_clean(file: Path, target: Path) -> None:
    """Copies a file as UTF-8 text that can be read line by line; no line is added or lost.

    A lone CR and a NUL become their visible symbols, an undecodable byte becomes `\\xNN`.
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
    return text.replace("\0", SHOWN_NUL)
