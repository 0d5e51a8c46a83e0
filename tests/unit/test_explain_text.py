"""What was delivered does nothing where an explanation is printed."""

import io
import json
from datetime import date
from decimal import Decimal

from rich.console import Console

from capacity_dagster.explain.changes import Changes, Restated, TableChange
from capacity_dagster.explain.explanation import Explanation, Proof, SourceLine, Step
from capacity_dagster.explain.text import as_json, print_explanation

HOSTILE = "[red]x[/red]\x1b[31m\r\u202e</script>"
ESCAPED = "[red]x[/red]\\x1b[31m\\r\\u202e</script>"


def explanation() -> Explanation:
    step = Step(
        table="mart.attempts",
        what="One row per attempt.",
        read_by=None,
        depth=0,
        columns=["held_seconds"],
        query="assets_sql/mart/attempts/query.sql",
        expressions=("held_seconds = x[0]",),
        rows=2,
        rows_are="summands",
        restricted_by=["attempt_id"],
        totals={"held_seconds": Decimal(7200)},
        proof=Proof("held_seconds", Decimal(7200), "seconds", "mart.x.wall_hours", Decimal("2.000000"), "hours"),
        sample_columns=["attempt_id", "held_seconds"],
        sample=[(HOSTILE, 7200)],
        lines=[SourceLine(HOSTILE, 7, HOSTILE), SourceLine(HOSTILE, 8, None, "is not in the landing any more")],
    )
    return Explanation(
        table="mart.attempts",
        column="held_seconds",
        description="Seconds from start to end.",
        unit=HOSTILE,
        keys={"team": HOSTILE, "usage_date": date(2026, 3, 2)},
        rows=2,
        unknown_rows=1,
        value=Decimal("7200.500000"),
        divided=None,
        published_version=3,
        known_now=None,
        is_known_now=False,
        not_read_because=HOSTILE,
        steps=[step],
        changes=Changes(
            restated=Restated(3, "2026-03-03T00:00:00+00:00", True, HOSTILE, [HOSTILE]),
            journal_columns=["because"],
            journal=[(HOSTILE,)],
            tables=[TableChange("mart.attempts", 4, [(HOSTILE, 2)])],
        ),
    )


def test_nothing_delivered_acts_on_the_terminal() -> None:
    out = io.StringIO()
    print_explanation(explanation(), Console(file=out, width=400, highlight=False, soft_wrap=True))
    told = out.getvalue()
    assert not [sign for sign in told if not (sign.isprintable() or sign == "\n")]
    # unit, key, not read, row, file of two lines, text, before, version's file, journal, table's file
    assert told.count(ESCAPED) == 11
    assert "7,200.5" in told
    assert "1 of them are unknown (NULL) and not in the sum" in told
    assert "held_seconds sums to 7,200 seconds, and mart.x.wall_hours is 2 hours: the same." in told


def test_a_machine_reads_back_what_was_delivered() -> None:
    told = as_json(explanation())
    assert told.isascii()
    back = json.loads(told)
    assert back["keys"] == {"team": HOSTILE, "usage_date": "2026-03-02"}
    assert (back["value"], back["steps"][0]["proof"]["above_total"]) == ("7200.500000", "2.000000")
    assert back["steps"][0]["lines"][0]["text"] == HOSTILE
