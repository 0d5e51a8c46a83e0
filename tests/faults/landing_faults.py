"""The table of what may be wrong with a landing: what lies in it that is no file, or not what it was.

What belongs here: a line for each, with how it is made and what must be said. What does not: contents (`file_faults`).
"""

import os
import socket
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from fault_files import JOBS, T0, job

GOOD = f"{JOBS}\n{job(1)}\n"


@dataclass(frozen=True)
class LandingFault:
    """Something wrong in a landing that has the good file `a/jobs.psv`.

    Attributes:
        id: names it, in words.
        what: what is wrong, for the page.
        spoil: makes it so, in a landing.
        said: a part of the message; None: it is no matter.
        found: the files that are delivered, where nothing is said.
        needs_root: it cannot be made by others.
        as_nobody: it is looked at by a user without rights.
    """

    id: str
    what: str
    spoil: Callable[[Path], object]
    said: str | None = None
    found: tuple[str, ...] = ("a/jobs.psv",)
    needs_root: bool = False
    as_nobody: bool = False


def write(name: str, content: str | bytes = GOOD) -> Callable[[Path], object]:
    """Writes a file."""

    def spoil(landing: Path) -> None:
        file = landing / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(content.encode() if isinstance(content, str) else content)

    return spoil


def bind(landing: Path) -> None:
    """Makes a socket; its path may be longer than a socket's may be."""
    here = Path.cwd()
    os.chdir(landing / "a")
    try:
        with socket.socket(socket.AF_UNIX) as bound:
            bound.bind("jobs-2.psv")
    finally:
        os.chdir(here)


def outside(landing: Path) -> None:
    """Links to a file that lies elsewhere."""
    (landing.parent / "elsewhere.psv").write_text(GOOD, encoding="utf-8")
    (landing / "a/jobs-2.psv").symlink_to(landing.parent / "elsewhere.psv")


def loop(landing: Path) -> None:
    """Links two names to each other."""
    (landing / "a/jobs-2.psv").symlink_to("jobs-3.psv")
    (landing / "a/jobs-3.psv").symlink_to("jobs-2.psv")


def closed_folder(landing: Path) -> None:
    """A folder that nobody but its owner may list."""
    write("b/jobs.psv")(landing)
    (landing / "b").chmod(0o700)


def closed_file(landing: Path) -> None:
    """A file that nobody but its owner may read."""
    write("a/jobs-2.psv")(landing)
    (landing / "a/jobs-2.psv").chmod(0o600)


def as_of(text: str) -> Callable[[Path], object]:
    """Declares a collection time."""
    return write("a/as_of.txt", text)


LANDINGS = [
    LandingFault(
        "pipe",
        "a pipe (FIFO)",
        lambda landing: os.mkfifo(landing / "a/jobs-2.psv"),
        "a/jobs-2.psv: is a pipe; expected a regular file",
    ),
    LandingFault("socket", "a socket", bind, "a/jobs-2.psv: is a socket; expected a regular file"),
    LandingFault(
        "device",
        "a device",
        lambda landing: os.mknod(landing / "a/jobs-2.psv", 0o20666, os.makedev(1, 5)),
        "a/jobs-2.psv: is a device; expected a regular file",
        needs_root=True,
    ),
    LandingFault(
        "link_to_device",
        "a link to /dev/zero",
        lambda landing: (landing / "a/jobs-2.psv").symlink_to("/dev/zero"),
        "a/jobs-2.psv: is a device; expected a regular file",
    ),
    LandingFault(
        "dangling_link",
        "a link that leads nowhere",
        lambda landing: (landing / "a/jobs-2.psv").symlink_to("gone"),
        "a/jobs-2.psv: is a link that leads nowhere",
    ),
    LandingFault("link_loop", "links that lead to each other", loop, "a/jobs-2.psv: is a link that leads nowhere"),
    LandingFault(
        "folder_loop",
        "a folder that links to the one it is in",
        lambda landing: (landing / "a/b").symlink_to(landing / "a"),
    ),
    LandingFault(
        "link_outside",
        "a link to a file outside the landing is what it leads to",
        outside,
        found=("a/jobs-2.psv", "a/jobs.psv"),
    ),
    LandingFault("folder", "a folder that is named like a file", lambda landing: (landing / "a/jobs-2.psv").mkdir()),
    LandingFault(
        "same_name",
        "two files of one name in two folders are two files",
        write("b/jobs.psv", GOOD + job(2) + "\n"),
        found=("a/jobs.psv", "b/jobs.psv"),
    ),
    LandingFault(
        "odd_names",
        "file names with quotes, line breaks and HTML",
        lambda landing: [write(f"a/jobs{odd}.psv")(landing) for odd in ("'; --", "\n", "<b>")],
        found=("a/jobs\n.psv", "a/jobs'; --.psv", "a/jobs.psv", "a/jobs<b>.psv"),
    ),
    LandingFault(
        "name_not_utf8",
        "a file name that is not UTF-8",
        lambda landing: Path(os.fsdecode(os.fsencode(landing) + b"/a/jobs-\xff.psv")).write_text(GOOD, "utf-8"),
        "has a name that is not UTF-8; expected another name",
    ),
    LandingFault(
        "closed_file",
        "a file that this user may not read",
        closed_file,
        "a/jobs-2.psv: Permission denied; expected a readable file",
        needs_root=True,
        as_nobody=True,
    ),
    LandingFault(
        "closed_folder",
        "a folder that this user may not list",
        closed_folder,
        "b: this user may not list this folder, in which '*/jobs*.psv' may match",
        needs_root=True,
        as_nobody=True,
    ),
    LandingFault(
        "other_mtime",
        "modification times in the future and in 1970",
        lambda landing: os.utime(landing / "a/jobs.psv", (0, 4_102_444_800)),
    ),
    LandingFault(
        "collected_year_1",
        "a collection time in the year 1",
        as_of("0001-01-01T00:00:00+05:00"),
        "declares '0001-01-01T00:00:00+05:00' as the collection time; expected an instant",
    ),
    LandingFault(
        "collected_9999",
        "a collection time in the year 9999",
        as_of("9999-12-31T23:59:59-05:00"),
        "declares '9999-12-31T23:59:59-05:00' as the collection time; expected an instant",
    ),
    LandingFault(
        "collected_day_9999",
        "a collection day in the year 9999",
        as_of("99991231"),
        "declares '99991231' as the collection time; expected an instant",
    ),
    LandingFault(
        "collected_binary",
        "a collection time that is no text",
        as_of("\0\1\2"),
        "as the collection time; expected an instant",
    ),
    LandingFault(
        "collected_pipe", "a pipe in place of the collection time", lambda landing: os.mkfifo(landing / "a/as_of.txt")
    ),
    LandingFault(
        "fingerprints_damaged",
        "fingerprints of an earlier build that are cut off",
        lambda landing: write("../work/fingerprints.json", '{"/landing')(landing),
    ),
    LandingFault(
        "fingerprints_other",
        "fingerprints that are something else",
        lambda landing: write("../work/fingerprints.json", '[{"a": 1}]')(landing),
    ),
    LandingFault(
        "fingerprints_partial",
        "fingerprints without their sizes",
        lambda landing: write("../work/fingerprints.json", f'{{"{landing}/a/jobs.psv": {{"sha256": "{T0}"}}}}')(
            landing
        ),
    ),
]
