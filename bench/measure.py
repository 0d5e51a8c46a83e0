"""Runs a command and says what it used: `python bench/measure.py COMMAND …`.

CPU seconds are those of the process and of all its children that it waited for; the peak of memory is the largest sum
of the resident memory of the process and its descendants, looked up 20 times a second.
"""

import argparse
import json
import os
import subprocess
import sys
import time
from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import asdict, dataclass
from pathlib import Path

INTERVAL = 0.05
PAGE = os.sysconf("SC_PAGE_SIZE")


@dataclass(frozen=True)
class Usage:
    """What a command used.

    Attributes:
        peak_bytes: of the whole tree of processes, as sampled.
        largest_process_bytes: of the process with the highest peak, as the kernel counts it.
    """

    cpu_seconds: float
    wall_seconds: float
    peak_bytes: int
    largest_process_bytes: int
    exit_code: int


def measure(
    command: Sequence[str], output: Path | None, label: str = "", environment: dict[str, str] | None = None
) -> Usage:
    """Runs a command to its end; what it says goes to a file, or where this process writes.

    Args:
        label: what to call it on a terminal while it runs.
    """
    started = time.monotonic()
    peak = 0
    with output.open("wb") if output else nullcontext() as file:
        process = subprocess.Popen(
            command, stdout=file, stderr=subprocess.STDOUT, env={**os.environ, **(environment or {})}
        )
        try:
            while True:
                ended, status, used = os.wait4(process.pid, os.WNOHANG)
                if ended:
                    break
                peak = max(peak, resident_bytes(process.pid))
                _tell(label, time.monotonic() - started, peak)
                time.sleep(INTERVAL)
        except BaseException:
            process.kill()
            raise
    process.returncode = os.waitstatus_to_exitcode(status)
    if label and sys.stderr.isatty():
        print("\r\x1b[K", end="", file=sys.stderr, flush=True)
    largest = used.ru_maxrss * 1024
    return Usage(
        cpu_seconds=round(used.ru_utime + used.ru_stime, 3),
        wall_seconds=round(time.monotonic() - started, 3),
        peak_bytes=max(peak, largest),
        largest_process_bytes=largest,
        exit_code=process.returncode,
    )


def resident_bytes(root: int) -> int:
    """Resident memory of a process and its descendants, from /proc; what has just ended counts as nothing."""
    total, waiting = 0, [root]
    while waiting:
        process = Path("/proc") / str(waiting.pop())
        try:
            total += int((process / "statm").read_text().split()[1]) * PAGE
            for task in (process / "task").iterdir():
                waiting += map(int, (task / "children").read_text().split())
        except (OSError, ValueError, IndexError):
            continue
    return total


def _tell(label: str, seconds: float, peak: int) -> None:
    if label and sys.stderr.isatty():
        print(f"\r\x1b[K{label}: {seconds:,.0f} s, {peak / 1e6:,.0f} MB", end="", file=sys.stderr, flush=True)


def main() -> int:
    """Runs the command line's command, and ends with its exit code."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("command", nargs=argparse.REMAINDER)
    given = parser.parse_args()
    usage = measure(given.command, None, "running")
    print(json.dumps(asdict(usage)))
    return usage.exit_code


if __name__ == "__main__":
    sys.exit(main())
