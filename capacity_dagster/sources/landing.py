"""The landing: which files are delivered, as what, and with which content.

What belongs here: finding files, fingerprints and declared collection times. What does not: reading records.
"""

import contextlib
import hashlib
import json
import os
import re
import stat
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from capacity_dagster.errors import SourceError
from capacity_dagster.site_file import Site
from capacity_dagster.site_sections import Source

AS_OF_FILE = "as_of.txt"
"""A file of this name declares when the files beside it were collected."""

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
    """

    kind: str
    path: str
    file: Path
    source: Source
    size_bytes: int
    content_sha256: str
    collected_at: datetime | None


def scan(site: Site, kind: str | None = None, progress: Callable[[str], None] = lambda _: None) -> list[Delivery]:
    """The files that the site's sources name, each fingerprinted, in the order of their paths.

    A file is hashed again only when its size or modification time changed since it was hashed last.

    Raises:
        SourceError: the landing is missing; a pattern matches no regular file, or something that is none; two sources
            of one kind name the same file; a declared collection time is unreadable. One message for all of them.
    """
    if not site.landing.is_dir():
        raise SourceError(f"{site.landing}: is not a folder; expected the landing folder that {site.path} names")
    fingerprints = _Fingerprints(site.work / "fingerprints.json")
    problems: list[str] = []
    found: dict[tuple[str, str], Delivery] = {}
    for source in site.content.sources:
        if kind not in (None, source.kind):
            continue
        files, unusable = _matching(site.landing, source.files)
        problems.extend(unusable)
        if not files and not unusable:
            problems.append(
                f"{site.path}: source '{source.kind}': no file in {site.landing} matches '{source.files}'; "
                "expected at least one delivered file"
            )
        for file in files:
            path = file.relative_to(site.landing).as_posix()
            if (source.kind, path) in found:
                problems.append(f"{site.path}: two sources of kind '{source.kind}' name {path}; expected one")
                continue
            progress(path)
            try:
                status = file.stat()
                sha256 = fingerprints.of(file, status)
                collected_at = _collected_at(file, source)
            except OSError as error:
                problems.append(f"{path}: {error.strerror}; expected a readable file")
                continue
            except SourceError as error:
                problems.append(f"{path}: {error}")
                continue
            found[source.kind, path] = Delivery(source.kind, path, file, source, status.st_size, sha256, collected_at)
    fingerprints.save()
    if problems:
        raise SourceError("\n".join(problems))
    return [found[name] for name in sorted(found)]


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
            problems.append(f"{name}: {what} ({error.strerror}); expected a readable file, or none")
        else:
            if stat.S_ISREG(mode):
                files.append(file)
            elif not stat.S_ISDIR(mode):  # opening a pipe would wait for whoever writes it
                what = next((what for is_so, what in SPECIAL.items() if is_so(mode)), "no file")
                problems.append(f"{name}: is {what}; expected a regular file")
    problems.extend(
        f"{folder.relative_to(landing).as_posix()}: this user may not list this folder, in which '{pattern}' may "
        "match; expected a folder that may be read"
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


class _Fingerprints:
    """The sha256 of files by path, size and modification time, kept between runs."""

    def __init__(self, store: Path) -> None:
        self.store = store
        self.kept: dict[str, dict[str, Any]] = {}
        # Absent, or damaged by a crash: everything is hashed again.
        with contextlib.suppress(OSError, ValueError, TypeError, KeyError, AttributeError):
            kept = json.loads(store.read_text(encoding="utf-8"))
            self.kept = {
                path: {name: each[name] for name in ("size", "mtime_ns", "sha256")} for path, each in kept.items()
            }
        self.seen: dict[str, dict[str, Any]] = {}

    def of(self, file: Path, status: os.stat_result) -> str:
        known = self.kept.get(str(file))
        if known and (known["size"], known["mtime_ns"]) == (status.st_size, status.st_mtime_ns):
            sha256 = known["sha256"]
        else:
            with file.open("rb") as stream:
                sha256 = hashlib.file_digest(stream, "sha256").hexdigest()
        self.seen[str(file)] = {"size": status.st_size, "mtime_ns": status.st_mtime_ns, "sha256": sha256}
        return str(sha256)

    def save(self) -> None:
        merged = {**self.kept, **self.seen}
        if merged == self.kept:
            return
        self.store.parent.mkdir(parents=True, exist_ok=True)
        temporary = self.store.with_suffix(f".{os.getpid()}.tmp")
        temporary.write_text(json.dumps(merged), encoding="utf-8")
        temporary.replace(self.store)
