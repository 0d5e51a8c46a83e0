"""Who may use a site's work folder now. The locks are the kernel's (flock), which releases them when a holder dies.

What belongs here: taking locks, waiting for them and saying who holds them. What does not: what is done meanwhile.
"""

import fcntl
import json
import logging
import math
import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import TextIO

from capacity_dagster.site_file import Site

log = logging.getLogger("capacity_dagster")

WAIT_SECONDS = 0.2


@contextmanager
def locked(site: Site, purpose: str) -> Iterator[None]:
    """Holds the write lock of a site, after waiting for whoever holds it now."""
    with _opened(site.write_lock) as file:
        _wait(file, math.inf, lambda: log.warning("waiting for %s", _holder(site.write_lock)))
        _name_holder(file, purpose)
        yield


@contextmanager
def while_no_build_runs(site: Site, purpose: str) -> Iterator[bool]:
    """Holds builds off, if none runs; says whether."""
    with _opened(site.write_lock) as file:
        is_free = _take(file, fcntl.LOCK_EX)
        if is_free:
            _name_holder(file, purpose)
        yield is_free


@contextmanager
def reading(site: Site, purpose: str) -> Iterator[str | None]:
    """Keeps writers out while the databases are read, without waiting; else says who writes them now.

    A build that starts meanwhile waits, as it cannot open a database that somebody reads.
    """
    path = site.write_lock
    try:
        file = path.open("a+", encoding="utf-8")
    except OSError:
        try:
            file = path.open(encoding="utf-8")  # of a site that one may only read
        except OSError:
            yield "nothing was built"
            return
    with file:
        if not _take(file, fcntl.LOCK_SH):
            yield _holder(path)
            return
        if file.writable():
            _name_holder(file, purpose)
        yield None


@contextmanager
def alone(path: Path, patience_seconds: float) -> Iterator[None]:
    """Holds a lock of its own, such as that of a small file that two processes change.

    Raises:
        BlockingIOError: somebody else held it for longer than one has patience.
    """
    with _opened(path) as file:
        _wait(file, patience_seconds)
        yield


def _opened(path: Path) -> TextIO:
    path.parent.mkdir(parents=True, exist_ok=True)
    return path.open("a+", encoding="utf-8")


def _take(file: TextIO, how: int) -> bool:
    try:
        fcntl.flock(file, how | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _wait(file: TextIO, patience_seconds: float, tell: Callable[[], None] = lambda: None) -> None:
    """Takes a lock when it is free, and tells once that it is not."""
    patience_ends = time.monotonic() + patience_seconds
    if _take(file, fcntl.LOCK_EX):
        return
    tell()
    while not _take(file, fcntl.LOCK_EX):
        if time.monotonic() > patience_ends:
            raise BlockingIOError(f"{file.name}: another process holds this lock")
        time.sleep(WAIT_SECONDS)


def _name_holder(lock: TextIO, purpose: str) -> None:
    """Writes into the lock's file who holds it, for those who wait."""
    lock.seek(0)
    lock.truncate()
    json.dump({"purpose": purpose, "pid": os.getpid(), "since": datetime.now(UTC).isoformat("T", "seconds")}, lock)
    lock.flush()


def _holder(path: Path) -> str:
    try:
        holder = json.loads(path.read_text(encoding="utf-8"))
        return f"{holder['purpose']} (process {holder['pid']}, writing since {holder['since']})"
    except (OSError, ValueError, KeyError):
        return "another build that is just starting"
