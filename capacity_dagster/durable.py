"""Files that must be there after a crash, whole: copying, linking, bringing to the disk, swapping a link.

What belongs here: the file system. What does not: what the files are.
"""

import errno
import fcntl
import mmap
import os
import shutil
from pathlib import Path

COPIED_AT_ONCE = 8 << 20
FICLONE = 0x40049409
"""Linux's ioctl that makes a file share the blocks of another."""


def copy_file(source: Path, target: Path) -> None:
    """Copies a large file: by sharing its blocks (XFS, Btrfs), or past the page cache, for a tenth of the CPU time."""
    for copy in (_share_blocks, _copy_directly):
        try:
            copy(source, target)
        except (AttributeError, OSError):  # not every system can, nor every file system
            continue
        return
    shutil.copyfile(source, target)


def _share_blocks(source: Path, target: Path) -> None:
    with source.open("rb") as read, target.open("wb") as written:
        fcntl.ioctl(written.fileno(), FICLONE, read.fileno())


def _copy_directly(source: Path, target: Path) -> None:
    buffer = mmap.mmap(-1, COPIED_AT_ONCE)  # begins at a page, as O_DIRECT wants it
    read = os.open(source, os.O_RDONLY | os.O_DIRECT)
    try:
        written = os.open(target, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_DIRECT, 0o644)
        try:
            while count := os.readv(read, [buffer]):
                if os.write(written, memoryview(buffer)[:count]) < count:
                    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), target.name)
        finally:
            os.close(written)
    finally:
        os.close(read)


def link_or_copy(source: Path, target: Path) -> None:
    """Gives a file that never changes another name, or copies it where that cannot be."""
    try:
        os.link(source, target)
    except OSError:  # a file system without links, or one that has too many
        shutil.copy2(source, target)


def make_durable(folder: Path) -> None:
    """Makes a folder's files read-only, and brings all of it to the disk before anything points to it.

    A file that has another link is of another folder, and was brought there with it.
    """
    paths = sorted(folder.rglob("*"), reverse=True)
    written = [path for path in paths if path.is_file() and path.stat().st_nlink == 1]
    for path in written:
        path.chmod(0o444)
    for path in [*written, *(path for path in paths if path.is_dir()), folder, folder.parent]:
        handle = os.open(path, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)


def write_whole(file: Path, content: str) -> None:
    """Writes a text file, and its folder where that is missing, in one step: a reader sees the old or the new."""
    file.parent.mkdir(parents=True, exist_ok=True)
    temporary = file.with_name(f".{file.name}.{os.getpid()}.tmp")
    temporary.write_text(content, encoding="utf-8")
    temporary.replace(file)


def point(link: Path, target: Path) -> None:
    """Swaps a link in one step: a reader sees the old version or the new one."""
    temporary = link.with_name(f".{link.name}.{os.getpid()}")
    temporary.unlink(missing_ok=True)
    temporary.symlink_to(target)
    temporary.replace(link)
