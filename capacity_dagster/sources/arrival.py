"""What came since somebody looked last: files that are new, late, delivered again, changed, shrunk or gone.

What belongs here: comparing the landing with what was there, and whether a build is due. What does not: Dagster's
sensor (`defs.arrival`), what is stale (`staleness`): a build judges that anew, whatever is said here.
"""

import contextlib
import hashlib
import json
import os
import re
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from datetime import date, datetime, timedelta
from pathlib import Path
from typing import Any

from capacity_dagster.durable import write_whole
from capacity_dagster.errors import SourceError
from capacity_dagster.site_file import Site
from capacity_dagster.site_sections import Source
from capacity_dagster.sources.landing import AS_OF_FILE, Fingerprints, files_of, is_temporary, require_landing
from capacity_dagster.wording import counted

NEW, LATE, AGAIN, CHANGED, SHRUNK, GONE = "new", "late", "delivered again", "changed", "shrunk", "vanished"
UNFINISHED = "half-written"
HASHED_AT_MOST_BYTES = 2 << 30
"""By one look; the build hashes what is left."""

KEPT_MEMORIES = 8

DAY = re.compile(r"(?<!\d)(20\d\d)[-_/.]?(0[1-9]|1[0-2])[-_/.]?(0[1-9]|[12]\d|3[01])(?!\d)")
"""A day in a path, such as 2026-11-07, 20261107 or 2026/11/07."""


@dataclass(frozen=True)
class Seen:
    """A file as it lay in the landing.

    Attributes:
        kinds: the kinds of sources that it matches.
        sha256: of its content, where that is known.
        day: the day that its name says it is about.
    """

    size_bytes: int
    modified_ns: int
    kinds: tuple[str, ...] = ()
    sha256: str | None = None
    day: date | None = None

    def is_like(self, other: "Seen") -> bool:
        """Whether nobody wrote the file in between."""
        return (self.size_bytes, self.modified_ns) == (other.size_bytes, other.modified_ns)


@dataclass(frozen=True)
class Unfinished:
    """A file that is being written.

    Attributes:
        found_at: when it was seen first, in seconds since 1970.
        as_now_since: when it was seen first with the size and time that it has now.
    """

    seen: Seen
    found_at: float
    as_now_since: float


@dataclass(frozen=True)
class Change:
    """What happened to a file.

    Attributes:
        what: one of the words above.
        size_bytes: what it has now; of a vanished one, what it had.
        is_late: its day is long past.
        needs_build: whether a build could find anything in it that it does not know.
        note: what else is known, in words.
    """

    path: str
    what: str
    size_bytes: int
    kinds: tuple[str, ...]
    day: date | None = None
    is_late: bool = False
    needs_build: bool = True
    note: str = ""


@dataclass
class Memory:
    """What was seen last, and what no build was requested for yet.

    Attributes:
        unbuilt: how many files were new, changed, … since the last request.
        unbuilt_since: when the first of them was seen, in seconds since 1970.
    """

    files: dict[str, Seen] = field(default_factory=dict)
    unfinished: dict[str, Unfinished] = field(default_factory=dict)
    unbuilt: dict[str, int] = field(default_factory=dict)
    unbuilt_since: float = 0.0


@dataclass(frozen=True)
class Arrival:
    """What one look at the landing found.

    Attributes:
        memory: what the next look compares with.
        unfinished: files that are being written; they are told when they are whole.
        due: of how many files, by what happened to them, a build is to be requested now; empty: none is.
        told: all of this in a line.
    """

    changes: list[Change]
    unfinished: list[Change]
    memory: Memory
    due: dict[str, int]
    told: str

    @property
    def is_build_due(self) -> bool:
        """Whether a build is to be requested now."""
        return bool(self.due)

    def of_kind(self, kind: str) -> list[Change]:
        """What happened to the files of one kind, with those that are being written."""
        return [change for change in [*self.changes, *self.unfinished] if kind in change.kinds]

    @property
    def kinds(self) -> list[str]:
        """The kinds of which files changed."""
        return sorted({kind for change in self.changes for kind in change.kinds})


def look(site: Site, memory: Memory, at: datetime, is_building: bool = False) -> Arrival:
    """Compares the landing with what was there.

    A file is hashed only where its size or modification time changed. One that was touched within `settle_seconds`, or
    has a temporary name, is still being written: it is told once it is whole, and holds the request for a build back,
    but no longer than `longest_wait_seconds`. While a build is queued or running none is requested; what arrived
    meanwhile is remembered.

    Raises:
        SourceError: the landing is missing, or everything in it is gone at once.
    """
    require_landing(site)
    settings, now = site.content.landing, at.timestamp()
    try:
        found = _found(site, memory.files)
    except OSError as error:
        raise SourceError(f"{error.filename}: {error.strerror}; expected a landing that can be read") from error
    if memory.files and not found:
        raise SourceError(
            f"{site.landing}: nothing is left of {counted(len(memory.files), 'file')} that the sources of {site.path} "
            "name; expected a landing with files. Is it mounted? What was read stays in the numbers"
        )
    unfinished = _unfinished(found, memory, now, settings.settle_seconds, settings.longest_wait_seconds)
    whole = {path: seen for path, seen in found.items() if path not in unfinished and not is_temporary(path)}
    kept = {path: seen for path, seen in memory.files.items() if path in unfinished}
    changes, files = _compare(site, memory.files, whole, kept)
    unbuilt = Counter(memory.unbuilt)
    unbuilt.update(change.what for change in changes if change.needs_build)
    unbuilt_since = memory.unbuilt_since if memory.unbuilt else now
    is_held = is_building or (bool(unfinished) and now - unbuilt_since < settings.longest_wait_seconds)
    if unbuilt and is_held:
        after = Memory(files, unfinished, dict(unbuilt), unbuilt_since)
    else:
        after = Memory(files, unfinished)
    waiting = [
        Change(path, UNFINISHED, each.seen.size_bytes, each.seen.kinds, each.seen.day)
        for path, each in sorted(unfinished.items())
    ]
    told = _told(unbuilt, len(files), len(unfinished), is_building)
    return Arrival(changes, waiting, after, {} if is_held else dict(unbuilt), told)


def _found(site: Site, before: dict[str, Seen]) -> dict[str, Seen]:
    """The files that match a source, by their paths in the landing, with what `as_of.txt` beside them says."""
    found: dict[str, Seen] = {}
    landing = f"{site.landing}{os.sep}"  # thousands of files are looked at each minute: as text, which is cheap

    def add(file: str, source: Source) -> None:
        with contextlib.suppress(FileNotFoundError):  # gone since it was listed
            status = os.stat(file)  # noqa: PTH116
            path = file.removeprefix(landing)
            known = found.get(path)
            kinds = tuple(sorted({*known.kinds, source.kind})) if known else (source.kind,)
            day = before[path].day if path in before else _day_of(path, source)
            found[path] = Seen(status.st_size, status.st_mtime_ns, kinds, day=day)

    for source in site.content.sources:
        folders: set[Path] = set()
        for file in files_of(site, source):
            add(str(file), source)
            if not source.collected_at:
                folders.add(file.parent)
        for folder in folders:
            if (folder / AS_OF_FILE).is_file():
                add(str(folder / AS_OF_FILE), source)
    return found


def _day_of(path: str, source: Source) -> date | None:
    """The day that a path names, preferably another than that of its collection."""
    folder, name = path.rpartition("/")[::2]
    collected = re.search(source.collected_at, name) if source.collected_at else None
    at = name
    if collected and collected["at"] is not None:
        name = name[: collected.start("at")] + " " + name[collected.end("at") :]
    for text in (f"{folder}/{name}", at):
        for match in DAY.finditer(text):
            with contextlib.suppress(ValueError):  # such as the 31st of November
                return date(*map(int, match.groups()))
    return None


def _unfinished(
    found: dict[str, Seen], memory: Memory, now: float, settle_seconds: float, longest_wait_seconds: float
) -> dict[str, Unfinished]:
    """The files that are being written: those that were touched just now, or grew since the last look."""
    unfinished: dict[str, Unfinished] = {}
    for path, seen in found.items():
        known = memory.files.get(path)
        if known and known.is_like(seen):
            continue
        before = memory.unfinished.get(path)
        has_grown = before is not None and not before.seen.is_like(seen)
        found_at = before.found_at if before else now
        as_now_since = now if before is None or has_grown else before.as_now_since
        is_old = not has_grown and now - seen.modified_ns / 1e9 >= settle_seconds
        if is_old or now - as_now_since >= settle_seconds or now - found_at >= longest_wait_seconds:
            continue
        unfinished[path] = Unfinished(seen, found_at, as_now_since)
    return unfinished


def _compare(
    site: Site, before: dict[str, Seen], now: dict[str, Seen], kept: dict[str, Seen]
) -> tuple[list[Change], dict[str, Seen]]:
    """(what happened to each file, the files as they are to be remembered)."""
    same = {path: seen for path, seen in now.items() if path in before and before[path].is_like(seen)}
    others = {path: seen for path, seen in sorted(now.items()) if path not in same}
    if not before:  # nobody knows what lies there: the build hashes it
        return [Change(path, NEW, seen.size_bytes, seen.kinds, seen.day) for path, seen in others.items()], others
    if others:
        fingerprints = Fingerprints(site)
        before = _hashed(site, fingerprints, before, may_read=False)
        others = _hashed(site, fingerprints, others)
        fingerprints.save()
    files = {path: replace(seen, sha256=before[path].sha256) for path, seen in same.items()} | kept | others
    newest = _newest_days(files.values())
    contents = {seen.sha256: path for path, seen in sorted(before.items()) if seen.sha256}
    limit = timedelta(days=site.content.landing.late_after_days)
    changes = [
        Change(path, GONE, seen.size_bytes, seen.kinds, seen.day) for path, seen in before.items() if path not in files
    ]
    for path, seen in others.items():
        known = before.get(path)
        twin = contents.get(seen.sha256) if seen.sha256 else None
        is_late = seen.day is not None and any(seen.day < newest[kind] - limit for kind in seen.kinds)
        needs_build, note = True, ""
        if known is None:
            what = AGAIN if twin else LATE if is_late else NEW
            note = f"the content of {twin}" if twin else ""
        elif known.sha256 and known.sha256 == seen.sha256:
            what, needs_build = AGAIN, False
        else:
            what = SHRUNK if seen.size_bytes < known.size_bytes else CHANGED
            note = f"{known.size_bytes:,} bytes before"
        changes.append(Change(path, what, seen.size_bytes, seen.kinds, seen.day, is_late, needs_build, note))
    return sorted(changes, key=lambda change: change.path), files


def _hashed(site: Site, fingerprints: Fingerprints, files: dict[str, Seen], may_read: bool = True) -> dict[str, Seen]:
    """Files with their digests, as far as they are known or one look may read them."""
    landing, left = site.landing, HASHED_AT_MOST_BYTES if may_read else 0
    hashed = {}
    for path, seen in files.items():
        file = landing / path
        sha256 = seen.sha256 or fingerprints.known(file, seen.size_bytes, seen.modified_ns)
        if sha256 is None and 0 < seen.size_bytes <= left:
            left -= seen.size_bytes
            with contextlib.suppress(OSError, SourceError):  # the next look, or the build, says what is wrong with it
                status = file.stat()
                if (status.st_size, status.st_mtime_ns) == (seen.size_bytes, seen.modified_ns):
                    sha256 = fingerprints.of(file, status)
        hashed[path] = replace(seen, sha256=sha256)
    return hashed


def _newest_days(files: Iterable[Seen]) -> dict[str, date]:
    newest: dict[str, date] = {}
    for seen in files:
        for kind in seen.kinds if seen.day else ():
            newest[kind] = max(newest.get(kind, date.min), seen.day or date.min)
    return newest


def _told(unbuilt: Counter[str], files: int, unfinished: int, is_building: bool) -> str:
    told = summary(unbuilt) if unbuilt else f"nothing new: {counted(files, 'file')} as before"
    if unfinished:
        told += f"; {counted(unfinished, 'file')} still being written"
    if unbuilt and is_building:
        told += "; one more build follows the one that is queued or running"
    return told


def summary(unbuilt: dict[str, int]) -> str:
    """`2 new, 1 late`: how many files, by what happened to them."""
    return ", ".join(f"{count:,} {what}" for what, count in sorted(unbuilt.items()))


# What was seen, kept between looks.


def recall(site: Site, cursor: str | None) -> Memory:
    """What the look that gave this cursor saw; nothing where the cursor, or what it names, is lost."""
    if not cursor or not re.fullmatch("[0-9a-f]{64}", cursor):
        return Memory()
    try:
        told = json.loads(_memory_file(site, cursor).read_text(encoding="utf-8"))
        return Memory(
            {path: _seen(each) for path, each in told["files"].items()},
            {path: Unfinished(_seen(each), *times) for path, (each, *times) in told["unfinished"].items()},
            told["unbuilt"],
            told["unbuilt_since"],
        )
    except (OSError, ValueError, KeyError, TypeError):
        return Memory()


def remember(site: Site, memory: Memory, before: str | None) -> str:
    """Keeps what was seen and returns its name, to be the next cursor.

    What the cursor before names stays: until the new cursor is stored, it is the one that counts. So do the newest: two
    daemons may look at one landing.
    """
    told = {
        "files": {path: _listed(seen) for path, seen in memory.files.items()},
        "unfinished": {
            path: [_listed(each.seen), each.found_at, each.as_now_since] for path, each in memory.unfinished.items()
        },
        "unbuilt": memory.unbuilt,
        "unbuilt_since": memory.unbuilt_since,
    }
    content = json.dumps(told, sort_keys=True)
    cursor = hashlib.sha256(content.encode()).hexdigest()
    file = _memory_file(site, cursor)
    if not file.is_file():
        write_whole(file, content)
        with contextlib.suppress(FileNotFoundError):  # another daemon tidies up
            kept = sorted(file.parent.glob("*.json"), key=lambda each: each.stat().st_mtime_ns, reverse=True)
            for other in kept[KEPT_MEMORIES:]:
                if other.stem not in (cursor, before):
                    other.unlink()
    return cursor


def _memory_file(site: Site, cursor: str) -> Path:
    return site.work / "arrivals" / f"{cursor}.json"


def _listed(seen: Seen) -> list[Any]:
    return [seen.size_bytes, seen.modified_ns, seen.kinds, seen.sha256, seen.day and seen.day.isoformat()]


def _seen(told: list[Any]) -> Seen:
    size_bytes, modified_ns, kinds, sha256, day = told
    return Seen(size_bytes, modified_ns, tuple(kinds), sha256, date.fromisoformat(day) if day else None)
