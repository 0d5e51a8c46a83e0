"""A landing that is a prefix of an object store (S3 and what speaks like it): its objects, copied to local files.

What belongs here: listing objects, fetching those that are new or changed, removing those that are gone. What does not:
anything that reads records: that reads local files, as it always does.

A copy becomes another in one go: objects are fetched beside it first, and take their places when all are there. Where
one cannot be fetched, the copy stays as it was, and what was fetched is not asked for again.
"""

import hashlib
import json
import os
import shutil
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path, PurePosixPath
from typing import Any
from urllib.parse import urlsplit

from capacity_dagster.durable import write_whole
from capacity_dagster.errors import SourceError
from capacity_dagster.site_file import Site
from capacity_dagster.sources.landing import AS_OF_FILE, is_temporary, matches
from capacity_dagster.wording import counted

AT_ONCE = 8
BLOCK = 8 << 20
LONGEST_NAME = 255
"""Bytes of one part of a path, on every file system that matters."""
CERTAIN_AFTER_SECONDS = 3
"""Stores tell modification times in whole seconds: an object that was younger when it was fetched may differ since."""


@dataclass(frozen=True)
class Listed:
    """An object as the store lists it."""

    key: str
    size_bytes: int
    modified_ns: int


@dataclass(frozen=True)
class Copied:
    """An object as it was fetched.

    Attributes:
        etag: names its content, by a method of the store's own.
        is_certain: whether another content would have another modification time.
    """

    size_bytes: int
    modified_ns: int
    etag: str
    is_certain: bool


@dataclass(frozen=True)
class Mirrored:
    """What was done to the copy, by path."""

    fetched: list[str] = field(default_factory=list)
    removed: list[str] = field(default_factory=list)


def mirror(
    site: Site,
    tell: Callable[[str], None] = lambda _: None,
    at_most_seconds: float | None = None,
    at: datetime | None = None,
) -> Mirrored:
    """Makes the copy of a site's landing what the store has; does nothing where the landing is a folder.

    Nobody may read the copy meanwhile: whoever calls this holds the write lock.

    Args:
        tell: hears of each object.
        at_most_seconds: no further object is begun after as many; the next call goes on.
        at: what time it is; by default, now.

    Raises:
        SourceError: the store cannot be reached, an object cannot be fetched, or a name is none for a local file.
    """
    if site.landing_url is None:
        return Mirrored()
    now = (at or datetime.now(UTC)).timestamp()
    deadline = time.monotonic() + at_most_seconds if at_most_seconds is not None else None
    store = _Store(site)
    listed = store.listed()
    known = _known(site)
    if not listed and known:
        raise SourceError(
            f"{site.landing_url}: nothing is left of {counted(len(known), 'object')} that the sources of {site.path} "
            "name; expected at least one. What was read stays in the numbers"
        )
    fetching = _Fetching(site, store, known, now, deadline, tell)
    copied = fetching.fetch_all(listed)
    return _put_in_place(site, copied, known, fetching.incoming)


class _Store:
    """The objects below a prefix."""

    def __init__(self, site: Site) -> None:
        import pyarrow.fs

        settings, environment = site.content.landing, os.environ
        endpoint = settings.endpoint or environment.get("AWS_ENDPOINT_URL_S3") or environment.get("AWS_ENDPOINT_URL")
        region = settings.region or environment.get("AWS_REGION") or environment.get("AWS_DEFAULT_REGION")
        options: dict[str, Any] = {"region": region or ("us-east-1" if endpoint else None)}
        if endpoint:
            options |= {"scheme": urlsplit(endpoint).scheme, "endpoint_override": urlsplit(endpoint).netloc}
        self.site = site
        self.url = str(site.landing_url)
        self.prefix = self.url.removeprefix("s3://")
        self.selector = pyarrow.fs.FileSelector(self.prefix, recursive=True)
        self.objects = pyarrow.fs.S3FileSystem(connect_timeout=10, request_timeout=60, **options)

    def listed(self) -> dict[str, Listed]:
        """The objects that a source names, and what says when they were collected, by path below the prefix."""
        try:
            found = self.objects.get_file_info(self.selector)
        except OSError as error:
            raise SourceError(
                f"{self.url}: cannot be listed: {_first_line(error)}; expected a prefix with objects. Are endpoint and "
                f"region right ([landing] in {self.site.path}), and are AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY "
                "set? The copy stays as it was"
            ) from error
        objects = {
            info.path.removeprefix(f"{self.prefix}/"): Listed(info.path, info.size, info.mtime_ns)
            for info in found
            if info.is_file
        }
        patterns = [source.files for source in self.site.content.sources]
        wanted = {
            path for path in objects if not is_temporary(path) and any(matches(pattern, path) for pattern in patterns)
        }
        folders = {path.rpartition("/")[0] for path in wanted}
        wanted |= {
            path for path in objects if path.rpartition("/")[2] == AS_OF_FILE and path.rpartition("/")[0] in folders
        }
        self._require_names(wanted)
        return {path: objects[path] for path in sorted(wanted)}

    def _require_names(self, paths: set[str]) -> None:
        """Refuses what cannot be the name of a local file. (Parts such as `..` are hidden, as all that begin so.)"""
        for path in sorted(paths):
            parts = path.split("/")
            if "" in parts:
                raise SourceError(f"{self.url}/{path}: has an empty part in its name; expected none")
            if any(len(part.encode()) > LONGEST_NAME for part in parts):
                raise SourceError(f"{self.url}/{path}: has too long a name; expected at most {LONGEST_NAME} bytes")
            for folder in PurePosixPath(path).parents:
                if str(folder) in paths:
                    raise SourceError(
                        f"{self.url}/{path}: cannot lie below {folder}, which is an object too; expected one of them"
                    )

    def etag(self, key: str) -> str:
        """What names an object's content now."""
        with self.objects.open_input_stream(key, compression=None) as stream:
            return _etag_of(stream)

    def fetch(self, listed: Listed, etag: str, target: Path) -> None:
        """Writes an object to a file, under a temporary name first.

        Raises:
            SourceError: it was replaced meanwhile.
        """
        temporary = target.with_suffix(f".{os.getpid()}.{threading.get_ident()}")
        try:
            with temporary.open("wb") as out, self.objects.open_input_stream(listed.key, compression=None) as stream:
                first_etag = _etag_of(stream)
                shutil.copyfileobj(stream, out, BLOCK)
            if temporary.stat().st_size != listed.size_bytes or {first_etag, self.etag(listed.key)} != {etag}:
                raise SourceError("was replaced while it was fetched; the next build fetches it again")
            temporary.replace(target)
        finally:
            temporary.unlink(missing_ok=True)


@dataclass(frozen=True)
class _Fetching:
    """Fetches what is new or changed, several objects at once, beside the copy."""

    site: Site
    store: _Store
    known: dict[str, Copied]
    now: float
    deadline: float | None
    tell: Callable[[str], None]
    failures: list[str] = field(default_factory=list)

    @property
    def incoming(self) -> Path:
        return self.site.work / "landing.incoming"

    def fetch_all(self, listed: dict[str, Listed]) -> dict[str, tuple[Copied, Path | None]]:
        """Each object as it is to be, with the file that has it, unless that is in its place already."""
        self.incoming.mkdir(parents=True, exist_ok=True)
        asked = {path: each for path, each in listed.items() if not self._is_same(path, each)}
        copied: dict[str, tuple[Copied, Path | None]] = {
            path: (self.known[path], None) for path in listed.keys() - asked.keys()
        }
        with ThreadPoolExecutor(AT_ONCE, "fetch") as pool:
            running = {path: pool.submit(self._begin, path, each) for path, each in asked.items()}
        copied |= {path: found for path, future in running.items() if (found := future.result())}
        missing = len(listed) - len(copied)
        if missing:
            reasons = self.failures or [f"{self.store.url}: more is to be fetched; the next look goes on"]
            fetched = f"{len(asked) - missing:,} of {counted(len(asked), 'object')} fetched"
            raise SourceError("\n".join([*reasons, f"{fetched}; the copy stays as it was until all are"]))
        return copied

    def _begin(self, path: str, listed: Listed) -> tuple[Copied, Path | None] | None:
        """Fetches an object, unless another one failed or no time is left."""
        if self.failures or (self.deadline is not None and time.monotonic() >= self.deadline):
            return None
        self.tell(f"fetching {path}")
        try:
            return self._fetch(path, listed)
        except (SourceError, OSError, ValueError) as error:  # Arrow's errors are of both
            self.failures.append(f"{self.store.url}/{path}: {_first_line(error)}")
            return None

    def _is_same(self, path: str, listed: Listed) -> bool:
        known = self.known.get(path)
        return (
            known is not None
            and known.is_certain
            and (known.size_bytes, known.modified_ns) == (listed.size_bytes, listed.modified_ns)
        )

    def _fetch(self, path: str, listed: Listed) -> tuple[Copied, Path | None]:
        etag = self.store.etag(listed.key)
        is_certain = self.now - listed.modified_ns / 1e9 >= CERTAIN_AFTER_SECONDS
        copied = Copied(listed.size_bytes, listed.modified_ns, etag, is_certain)
        known = self.known.get(path)
        if known and (known.etag, known.size_bytes) == (etag, listed.size_bytes):
            return copied, None
        target = self.incoming / hashlib.sha256(f"{path}\n{etag}".encode()).hexdigest()
        if not (target.is_file() and target.stat().st_size == listed.size_bytes):
            self.store.fetch(listed, etag, target)
        return copied, target


def _known(site: Site) -> dict[str, Copied]:
    """The objects that the copy has, as they were fetched; what somebody changed in the copy is none of them."""
    try:
        told = json.loads(_index(site).read_text(encoding="utf-8"))
        if told["url"] != site.landing_url:
            return {}
        known = {path: Copied(*each) for path, each in told["objects"].items()}
    except (OSError, ValueError, KeyError, TypeError):  # absent, or cut off by a crash: everything is fetched again
        return {}
    return {path: each for path, each in known.items() if _lies_there(site.landing / path, each)}


def _lies_there(file: Path, copied: Copied) -> bool:
    try:
        status = file.stat()
    except OSError:
        return False
    return (status.st_size, status.st_mtime_ns) == (copied.size_bytes, copied.modified_ns)


def _put_in_place(
    site: Site, copied: dict[str, tuple[Copied, Path | None]], known: dict[str, Copied], incoming: Path
) -> Mirrored:
    """Makes the copy what was fetched: removes what is gone, renames what is new, and writes down what there is."""
    site.landing.mkdir(parents=True, exist_ok=True)
    removed = []
    for file in sorted(site.landing.rglob("*"), reverse=True):  # what a folder holds comes before the folder
        path = file.relative_to(site.landing).as_posix()
        if file.is_dir() and not file.is_symlink():
            with suppress(OSError):  # it is not empty
                file.rmdir()
        elif path not in copied:
            file.unlink()
            removed.append(path)
    fetched = []
    for path, (each, source) in copied.items():
        target = site.landing / path
        if source is not None:
            target.parent.mkdir(parents=True, exist_ok=True)
            os.utime(source, ns=(each.modified_ns, each.modified_ns))
            source.replace(target)
            fetched.append(path)
        elif known[path].modified_ns != each.modified_ns:
            os.utime(target, ns=(each.modified_ns, each.modified_ns))
    objects = {path: list(vars(each).values()) for path, (each, _) in copied.items()}
    write_whole(_index(site), json.dumps({"url": site.landing_url, "objects": objects}))
    shutil.rmtree(incoming, ignore_errors=True)
    return Mirrored(sorted(fetched), sorted(removed))


def _index(site: Site) -> Path:
    return site.work / "landing.json"


def _etag_of(stream: Any) -> str:
    metadata = stream.metadata() or {}
    return str(metadata.get("ETag", b"").decode("ascii", errors="replace"))


def _first_line(error: Exception) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0]
