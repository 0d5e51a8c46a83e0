"""What became of a table when it was brought up to date."""

from dataclasses import dataclass, field
from datetime import date

from capacity_dagster.sources.reader import Load
from capacity_dagster.tables.catalogue import Table
from capacity_dagster.tables.checks import CheckOutcome
from capacity_dagster.warehouse import Change


@dataclass(frozen=True)
class Outcome:
    """What became of a table.

    Attributes:
        days: the days that were rebuilt; empty for tables without a partition column.
        reasons: why, each a clause of a sentence; empty: it was up to date.
        changes: what is different from before.
        problems: deliveries that could not be used at all, each with its message.
    """

    table: Table
    row_count: int
    days: list[date] = field(default_factory=list)
    reasons: list[str] = field(default_factory=list)
    changes: list[Change] = field(default_factory=list)
    checks: list[CheckOutcome] = field(default_factory=list)
    deliveries: list[Load] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)
    cpu_seconds: float = 0.0

    @property
    def was_up_to_date(self) -> bool:
        return not self.reasons
