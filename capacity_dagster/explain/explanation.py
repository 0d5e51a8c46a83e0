"""An explanation as data: a number, the tables that it goes through, and the lines that it ends in.

What belongs here: what is told. What does not: finding it out (`chain`), wording it (`text`).
"""

from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any, Literal

from capacity_dagster.explain.changes import Changes


@dataclass(frozen=True)
class SourceLine:
    """A line of a delivered file.

    Attributes:
        text: the line; None where it cannot be shown.
        why_not: why it cannot.
    """

    file: str
    line: int
    text: str | None
    why_not: str | None = None


@dataclass(frozen=True)
class Proof:
    """That rows sum to what the table above has.

    Attributes:
        column: the column that was summed, and `total`, in `unit`, what came out.
        above: what it is the same as: a column of a table, and its `above_total` in `above_unit`.
    """

    column: str
    total: Decimal
    unit: str
    above: str
    above_total: Decimal
    above_unit: str


@dataclass
class Step:
    """A table that a number goes through.

    Attributes:
        read_by: the table above that is made of it.
        columns: its columns that become the number.
        query: the file of its SQL; expressions: what that computes on the way.
        rows: how many rows; None: they cannot be read now.
        rows_are: what they are to the rows above: what sums to them, the records that they are of, or all that they can
            have come from, judged by the columns that both have.
        restricted_by: these columns; "days" are the number's.
        totals: what they sum to.
        only: what the query asks of its rows besides, as SQL.
        proof: that these rows sum to what the table above has.
        sample: the rows with the largest amounts, in `sample_columns`.
        parts: how much of the number each of these rows is, in its unit, where that is known.
        lines: the delivered lines of these rows.
        decides: inputs that are not followed: they decide about rows or shares.
        empty: inputs that have no row for this.
        counts: inputs of which rows are counted, where no column of theirs becomes the number.
    """

    table: str
    what: str
    read_by: str | None
    depth: int
    columns: list[str]
    query: str
    expressions: tuple[str, ...]
    rows: int | None
    rows_are: Literal["the number", "summands", "records", "candidates", "not read"]
    restricted_by: list[str]
    totals: dict[str, Decimal]
    only: str | None = None
    proof: Proof | None = None
    sample_columns: list[str] = field(default_factory=list)
    sample: list[Any] = field(default_factory=list)
    parts: list[Decimal | None] = field(default_factory=list)
    lines: list[SourceLine] = field(default_factory=list)
    decides: list[str] = field(default_factory=list)
    empty: list[str] = field(default_factory=list)
    counts: list[str] = field(default_factory=list)


@dataclass
class Explanation:
    """One number, what it is made of, and what changed it last."""

    table: str
    column: str
    description: str
    unit: str | None
    keys: dict[str, Any]
    rows: int
    unknown_rows: int
    value: Any
    divided: tuple[str, str] | None
    published_version: int | None
    known_now: Any
    is_known_now: bool
    """Whether the working tables could be read; `known_now` is then what they say."""
    not_read_because: str | None
    steps: list[Step]
    changes: Changes
