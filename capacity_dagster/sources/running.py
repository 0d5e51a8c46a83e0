"""Runs a command of another program: never through a shell, with a time limit, its output straight into a file.

What belongs here: processes, and what to say of one that failed. What does not: which commands, and what they mean.
"""

import os
import re
import shlex
import signal
import subprocess
import tempfile
from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import IO

from capacity_dagster.errors import CollectionError

SHOWN_LINES = 5
SHOWN_WIDTH = 300


class Runner:
    """Runs commands one after the other.

    Attributes:
        timeout_seconds: after which a command is ended.
        without: variables of our own environment that commands are not given.
    """

    def __init__(self, timeout_seconds: float, without: re.Pattern[str] | None = None) -> None:
        self.timeout_seconds = timeout_seconds
        self.environment = {name: text for name, text in os.environ.items() if not (without and without.match(name))}

    def run(self, command: Sequence[str], output: IO[bytes], environment: Mapping[str, str] | None = None) -> str:
        """Runs a command to its end, and returns what it had to complain about.

        Raises:
            CollectionError: it cannot be started, ends with another code than 0, or takes too long.
        """
        with tempfile.TemporaryFile() as complaints:
            try:
                process = subprocess.Popen(
                    command,
                    stdin=subprocess.DEVNULL,
                    stdout=output,
                    stderr=complaints,
                    env={**self.environment, **(environment or {})},
                    start_new_session=True,  # so that what it started itself ends with it
                )
            except OSError as error:
                raise CollectionError(f"`{shlex.join(command)}` cannot be started: {error.strerror}") from error
            try:
                code = process.wait(self.timeout_seconds)
            except subprocess.TimeoutExpired:
                raise CollectionError(
                    f"`{shlex.join(command)}` did not end within {self.timeout_seconds:g} seconds and was stopped"
                    f"{_told(complaints)}"
                ) from None
            finally:
                if process.poll() is None:
                    with suppress(ProcessLookupError):
                        os.killpg(process.pid, signal.SIGKILL)
                    process.wait()
            if code:
                how = f"was ended by signal {-code}" if code < 0 else f"ended with {code}"
                raise CollectionError(f"`{shlex.join(command)}` {how}{_told(complaints)}")
            return _told(complaints)

    def lines(self, command: Sequence[str], environment: Mapping[str, str] | None = None) -> list[str]:
        """The lines of a short answer, without empty ones.

        Raises:
            CollectionError: as `run`.
        """
        with tempfile.TemporaryFile() as output:
            self.run(command, output, environment)
            output.seek(0)
            return [line.strip() for line in output.read().decode(errors="replace").splitlines() if line.strip()]


def _told(complaints: IO[bytes]) -> str:
    """The first lines of stderr, as the end of a message; nothing in them can steer a terminal."""
    complaints.seek(0)
    lines = [line.strip() for line in complaints.read(20_000).decode(errors="replace").splitlines() if line.strip()]
    shown = ["".join(each if each.isprintable() else "·" for each in line)[:SHOWN_WIDTH] for line in lines]
    more = ["…"] if len(shown) > SHOWN_LINES else []
    return "".join(f"\n  {line}" for line in [*shown[:SHOWN_LINES], *more])
