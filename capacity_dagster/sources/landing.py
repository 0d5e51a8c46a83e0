"""The landing: which files are delivered, as what, and with which content.

What belongs here: finding files, fingerprints and declared collection times. What does not: reading records, what came
since somebody looked last (`arrival`), objects of a store (`object_store`).
"""

import contextlib
import hashlib
import json
import os
import re
import stat
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from fnmatch import fnmatchcase
from pathlib import Path, PurePosixPath
from typing import Any

from capacity_dagster.durable import write_whole
from capacity_dagster.errors import SourceError
from capacity_dagster.site_file import Site
from capacity_dagster.site_sections import Source
from capacity_dagster.wording import counted, shown

AS_OF_FILE = "as_of.txt"
"""A file of this name declares when the files beside it were collected."""

TEMPORARY_ENDINGS = (".part", ".partial", ".filepart", ".crdownload", ".tmp", ".temp", "._copying_", "~")
"""How the names of files end that a program is still writing."""

CHANGED_WHILE_READ = (
    "changed while it was read; expected a whole file. Deliver it under a name that begins with '.' or ends with "
    "'.part', and rename it when it is whole; the next build reads it again"
)

SPECIAL = {
    stat.S_ISFIFO: "a pipe",
    stat.S_ISSOCK: "a socket",
    stat.S_ISCHR: "a device",
    stat.S_ISBLK: "a device",
}
"""What is no regular file."""


@dataclass(frozen=True)
class Delivery:
    """One delivered file, as one kind of source.

    Attributes:
        path: relative to the landing, with forward slashes.
        collected_at: when the file says that it was collected, UTC; never its modification time.
        modified_ns: only tells whether the file is still the one that was fingerprinted.
    """

    kind: str
    path: str
    file: Path
    source: Source
    size_bytes: int
    content_sha256: str
    collected_at: datetime | None
    modified_ns: int

    @property
    def has_changed(self) -> bool:
        """Whether the file is another one than when it was fingerprinted, or gone."""
        try:
            status = self.file.stat()
        except OSError:
            return True
        return (status.st_size, status.st_mtime_ns) != (self.size_bytes, self.modified_ns)

    @property
    def shown(self) -> str:
        """Its path in messages."""
        return shown(self.path)


def is_temporary(path: str) -> bool:
    """Whether a path relative to the landing is by its name one of a file that is still being written.

    Such files are no deliveries, whatever matches them: hidden ones, and those with the ending of a transfer.
    """
    return "/." in f"/{path}" or path.lower().endswith(TEMPORARY_ENDINGS)


def matches(pattern: str, path: str) -> bool:
    """Whether a path is one that a source's pattern finds in a landing folder."""
    return _parts_match(PurePosixPath(pattern).parts, tuple(path.split("/")))


def _parts_match(patterns: tuple[str, ...], parts: tuple[str, ...]) -> bool:
    if not patterns:
        return not parts
    if patterns[0] == "**":
        return any(_parts_match(patterns[1:], parts[skipped:]) for skipped in range(len(parts)))
    return bool(parts) and fnmatchcase(parts[0], patterns[0]) and _parts_match(patterns[1:], parts[1:])


def files_of(site: Site, source: Source) -> Iterator[Path]:
    """The regular files that match a source's pattern, those under temporary names too, in no order."""
    return (file for file in site.landing.glob(source.files) if file.is_file())


def scan(site: Site, kind: str | None = None, progress: Callable[[str], None] = lambda _: None) -> list[Delivery]:
    """The files that the site's sources name, each fingerprinted, in the order of their paths.

    A file is hashed again only when its size or modification time changed since it was hashed last. Files under
    temporary names are left out.

    Raises:
        SourceError: the landing is missing; a pattern matches no regular file, or something that is none; two sources
            of one kind name the same file; a file changed while it was hashed; a declared collection time is
            unreadable. One message for all of them.
    """
    require_landing(site)
    fingerprints = Fingerprints(site)
    problems: list[str] = []
    found: dict[tuple[str, str], Delivery] = {}
    for source in site.content.sources:
        if kind not in (None, source.kind):
            continue
        matching, unusable = _matching(site.landing, source.files)
        problems.extend(unusable)
        files = [file for file in matching if not is_temporary(file.relative_to(site.landing).as_posix())]
        if not files and not unusable:
            unfinished = f" ({counted(len(matching), 'file')} under a temporary name)" if matching else ""
            problems.append(
                f"{site.path}: source '{source.kind}': no file in {site.landing} matches '{source.files}'{unfinished}; "
                "expected at least one delivered file"
            )
        for file in files:
            path = file.relative_to(site.landing).as_posix()
            if (source.kind, path) in found:
                problems.append(f"{site.path}: two sources of kind '{source.kind}' name {shown(path)}; expected one")
                continue
            progress(path)
            try:
                status = file.stat()
                sha256 = fingerprints.of(file, status)
                collected_at = _collected_at(file, source)
            except OSError as error:
                problems.append(f"{shown(path)}: {error.strerror}; expected a readable file")
                continue
            except SourceError as error:
                problems.append(f"{shown(path)}: {error}")
                continue
            found[source.kind, path] = Delivery(
                source.kind, path, file, source, status.st_size, sha256, collected_at, status.st_mtime_ns
            )
    fingerprints.save()
    if problems:
        raise SourceError("\n".join(problems))
    return [found[name] for name in sorted(found)]


def require_landing(site: Site) -> None:
    """Raises SourceError where the landing is missing."""
    if not site.landing.is_dir():
        raise SourceError(f"{site.landing}: is not a folder; expected the landing folder that {site.path} names")


def _matching(landing: Path, pattern: str) -> tuple[list[Path], list[str]]:
    """The files that a pattern matches, and what is wrong with what it matches beside them; folders do not count."""
    files: list[Path] = []
    problems: list[str] = []
    for file in sorted(landing.glob(pattern)):
        name = file.relative_to(landing).as_posix()
        try:
            name.encode()
            mode = file.stat().st_mode
        except UnicodeEncodeError:
            problems.append(f"{os.fsencode(name)!r}: has a name that is not UTF-8; expected another name")
        except OSError as error:
            what = "is a link that leads nowhere" if file.is_symlink() else "cannot be looked at"
            problems.append(f"{shown(name)}: {what} ({error.strerror}); expected a readable file, or none")
        else:
            if stat.S_ISREG(mode):
                files.append(file)
            elif not stat.S_ISDIR(mode):  # opening a pipe would wait for whoever writes it
                what = next((what for is_so, what in SPECIAL.items() if is_so(mode)), "no file")
                problems.append(f"{shown(name)}: is {what}; expected a regular file")
    problems.extend(
        f"{shown(folder.relative_to(landing).as_posix())}: this user may not list this folder, in which '{pattern}' "
        "may match; expected a folder that may be read"
        for folder in _closed_folders(landing, Path(pattern).parts[:-1])
    )
    return files, problems


def _closed_folders(folder: Path, parts: tuple[str, ...]) -> list[Path]:
    """The folders on the way of a pattern that this user may not list, whose files a glob leaves out silently."""
    try:
        os.scandir(folder).close()
    except PermissionError:
        return [folder]
    if not parts or parts[0] == "**":
        return []
    inner = (each for each in folder.glob(parts[0]) if each.is_dir() and each.name != "lost+found")
    return [closed for each in inner for closed in _closed_folders(each, parts[1:])]


def fingerprint(deliveries: list[Delivery]) -> str:
    """A digest of what is delivered: contents, kinds and declared times, whatever the files are called."""
    parts = sorted(f"{each.kind} {each.content_sha256} {each.collected_at} {each.source}" for each in deliveries)
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()


def has_content(site: Site, path: str, sha256: str) -> bool:
    """Whether a file of the landing, if it is there, still has a content that was read once."""
    file = site.landing / path
    return not file.is_file() or Fingerprints(site).of(file, file.stat()) == sha256


def parse_instant(text: str) -> datetime:
    """An instant in ISO 8601 with an offset or Z, or in seconds since 1970; ValueError otherwise, or if it is none that
    records of ours can be about.
    """
    if re.fullmatch(r"[0-9]{9,11}", text):
        return _plausible(datetime.fromtimestamp(int(text), UTC))
    instant = datetime.fromisoformat(text)
    if instant.tzinfo is None:
        raise ValueError("expected an offset or Z")
    return _plausible(instant)


def _plausible(instant: datetime) -> datetime:
    if not 2001 < instant.year < 2199:  # before another zone makes it a year that no clock has
        raise ValueError("expected a year from 2002 to 2198")
    return instant.astimezone(UTC)


def _collected_at(file: Path, source: Source) -> datetime | None:
    if source.collected_at:
        match = re.search(source.collected_at, file.name)
        if match is None or match["at"] is None:
            return None
        return _declared(match["at"], f"the file's name by the pattern '{source.collected_at}'")
    beside = file.parent / AS_OF_FILE
    if beside.is_file():
        return _declared(beside.read_text(encoding="utf-8", errors="replace").strip(), str(beside))
    return None


def _declared(text: str, where: str) -> datetime:
    try:
        return parse_instant(text)
    except ValueError:
        pass
    for form in ("%Y%m%dT%H%M%SZ", "%Y-%m-%d", "%Y%m%d"):
        try:
            return _plausible(datetime.strptime(text, form).replace(tzinfo=UTC))
        except ValueError:
            continue
    raise SourceError(
        f"{where} declares '{text[:80]}' as the collection time; expected an instant such as "
        "2026-11-07T06:00:00Z, seconds since 1970, or a UTC day"
    )


class Fingerprints:
    """The sha256 of a site's delivered files by path, size and modification time, kept between runs."""

    def __init__(self, site: Site) -> None:
        self.store = site.work / "fingerprints.json"
        self.kept: dict[str, dict[str, Any]] = {}
        # Absent, or damaged by a crash: everything is hashed again.
        with contextlib.suppress(OSError, ValueError, TypeError, KeyError, AttributeError):
            kept = json.loads(self.store.read_text(encoding="utf-8"))
            self.kept = {
                path: {name: each[name] for name in ("size", "mtime_ns", "sha256")} for path, each in kept.items()
            }
        self.seen: dict[str, dict[str, Any]] = {}

    def known(self, file: Path, size_bytes: int, modified_ns: int) -> str | None:
        """The digest of a file with this size and modification time; None where it was not hashed."""
        known = self.seen.get(str(file)) or self.kept.get(str(file))
        if known and (known["size"], known["mtime_ns"]) == (size_bytes, modified_ns):
            return str(known["sha256"])
        return None

    def of(self, file: Path, status: os.stat_result) -> str:
        """The digest of a file, hashed where it must be.

        Raises:
            SourceError: it changed meanwhile.
        """
        sha256 = self.known(file, status.st_size, status.st_mtime_ns)
        if sha256 is None:
            with file.open("rb") as stream:
                sha256 = hashlib.file_digest(stream, "sha256").hexdigest()
            after = file.stat()
            if (after.st_size, after.st_mtime_ns) != (status.st_size, status.st_mtime_ns):
                raise SourceError(CHANGED_WHILE_READ)
        self.seen[str(file)] = {"size": status.st_size, "mtime_ns": status.st_mtime_ns, "sha256": sha256}
        return sha256

    def save(self) -> None:
        """Keeps what was hashed, beside what was kept before."""
        merged = {**self.kept, **self.seen}
        if merged == self.kept:
            return
        write_whole(self.store, json.dumps(merged))
