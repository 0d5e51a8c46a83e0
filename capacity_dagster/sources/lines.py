"""The very line of a delivered file that a record came from.

What belongs here: finding it without reading more than is needed. What does not: what it means (`reader`).
"""

import stat
import zlib
from collections.abc import Iterable
from pathlib import Path, PurePosixPath

import zstandard

from capacity_dagster.sources import bytes as file_bytes

LONGEST_LINE = 4096
"""How much of a line is shown."""
READ_AT_MOST = 256 << 20
"""How far into a file, decompressed, a line is looked for."""
BLOCK = 1 << 16


def lines_of(landing: Path, path: str, numbers: Iterable[int]) -> dict[int, str] | str:
    """Lines of a delivered file by their number, counted from 1, as text; or why they cannot be shown.

    Args:
        path: relative to the landing, as `source_file` has it.
    """
    pure = PurePosixPath(path)
    if pure.is_absolute() or ".." in pure.parts:
        return "is not a path inside the landing"
    file = landing / path
    try:
        if not stat.S_ISREG(file.stat().st_mode):
            return "is no regular file any more"
        with file_bytes.opened(file) as stream:
            head = stream.read(BLOCK)
        if head[:4] == b"PAR1":
            return "is Parquet: source_line is the number of the row"
        if head.removeprefix(b"\xef\xbb\xbf").lstrip()[:1] in (b"{", b"["):
            return "is JSON: source_line is the position of the record"
        return _read(file, set(numbers))
    except FileNotFoundError:
        return "is not in the landing any more"
    except OSError as error:
        return f"cannot be read ({error.strerror or error})"
    except (EOFError, zlib.error, zstandard.ZstdError) as error:
        return f"cannot be read to that line ({error})"


def _read(file: Path, wanted: set[int]) -> dict[int, str] | str:
    """Reads up to the last wanted line; a line that is endless costs no memory."""
    found: dict[int, str] = {}
    last, number, read = max(wanted, default=0), 1, 0
    with file_bytes.opened(file) as stream:
        while number <= last:
            piece = stream.readline(LONGEST_LINE)
            if not piece:
                break
            read += len(piece)
            if number in wanted:
                shown = piece.removesuffix(b"\n").removesuffix(b"\r").decode("utf-8", errors="backslashreplace")
                found[number] = shown + ("" if piece.endswith(b"\n") or len(piece) < LONGEST_LINE else "…")
            while piece and not piece.endswith(b"\n"):
                piece = stream.readline(BLOCK)
                read += len(piece)
            number += 1
            if read > READ_AT_MOST and number <= last:
                return f"is longer than {READ_AT_MOST >> 20} MB before that line: look at it with `sed -n {last}p`"
    missing = sorted(wanted - found.keys())
    return f"has no line {missing[0]:,} any more" if missing and not found else found
