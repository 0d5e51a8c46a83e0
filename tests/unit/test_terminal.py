"""What is printed can be read, whatever it is part of, and is obeyed by no terminal."""

import io
import logging

import pytest
from rich.logging import RichHandler
from rich.table import Table
from rich.text import Text

from capacity_dagster.errors import SourceError
from capacity_dagster.terminal import Terminal
from capacity_dagster.wording import printable, shown

HOSTILE = "a\x1b]0;owned\x07b\u202ec\u200bd\x9b31m\udcff"
READABLE = "a\\x1b]0;owned\\x07b\\u202ec\\u200bd\\x9b31m\\udcff"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("plain, Zürich 東京 €", "plain, Zürich 東京 €"),
        (HOSTILE, READABLE),
        ("two\nlines\tand\rone", "two\nlines\tand\\rone"),
        ("already \\x1b", "already \\x1b"),
        ("", ""),
    ],
)
def test_what_cannot_be_seen_is_shown(text: str, expected: str) -> None:
    assert printable(text) == expected
    assert printable(expected) == expected


def test_a_name_is_in_one_line() -> None:
    assert shown("a\nb\tc") == "a\\nb\\tc"


def test_messages_and_what_they_quote_can_be_printed() -> None:
    error = SourceError(f"line 1 is {HOSTILE}", HOSTILE)
    assert str(error) == f"line 1 is {READABLE}"
    assert error.delivered == (READABLE,)


@pytest.mark.parametrize("is_terminal", [True, False])
def test_texts_tables_and_logs_are_escaped_and_colours_stay(is_terminal: bool) -> None:
    stream = io.StringIO()
    terminal = Terminal(
        file=stream, force_terminal=is_terminal, color_system="standard" if is_terminal else None, width=200
    )
    terminal.print(HOSTILE, markup=False, style="red")
    table = Table(box=None)
    table.add_column(Text("name"))
    table.add_row(Text(HOSTILE))
    terminal.print(table)
    log = logging.Logger("a test")
    log.addHandler(RichHandler(console=terminal, show_path=False, show_time=False))
    log.warning("waiting for %s", HOSTILE)
    with terminal.status(HOSTILE):
        pass
    printed = stream.getvalue()
    assert printed.count(";ownedb\\u") == (4 if is_terminal else 3)
    assert "\x1b]0;" not in printed
    assert "\u202e" not in printed
    assert "\x9b" not in printed
    assert ("\x1b[31m" in printed) == is_terminal
