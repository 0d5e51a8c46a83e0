"""Suites that are written by hand: what SQL sums up, and what Great Expectations is to expect of it.

What belongs here: reading `assets_sql/suites`, and judging one batch. What does not: rules of single rows as delivered,
which contracts state; identities and rules that return the rows that break them, which are `checks/*.sql`; when a suite
is to be judged (`judging`).

A suite is a folder: `query.sql` returns a small aggregate, one row per what its key says; `suite.yaml` expects
something of it, in Great Expectations' words; `examples.sql`, where it is there, returns what to look at when something
is not as expected. All of the aggregate is judged, never a sample of it.
"""

import hashlib
import math
from dataclasses import dataclass
from decimal import Decimal
from functools import cache, cached_property
from pathlib import Path
from typing import Any

import duckdb
from pydantic import BaseModel, ConfigDict, Field

from capacity_dagster.errors import ContractError
from capacity_dagster.tables.catalogue import SUITES, assets_folder, is_history, read_by, read_yaml, shared_sql
from capacity_dagster.tables.checks import (
    NOTHING_TO_JUDGE,
    SAMPLE_ROWS,
    CheckOutcome,
    PlannedCheck,
    sample_rows,
    suite_outcome,
)
from capacity_dagster.tables.contract import SEVERITIES, Severity
from capacity_dagster.tables.judge import Verdict, judge
from capacity_dagster.tables.quoting import identifier

LARGEST_BATCH = 20_000
"""Rows of an aggregate that is small. Great Expectations holds all of it in memory, as Python objects."""


class _Model(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Expectation(_Model):
    """One rule of a suite.

    Attributes:
        type: Great Expectations' name of the expectation.
        kwargs: its arguments, as Great Expectations takes them.
        meaning: what it means that the rule is broken, and what to do.
    """

    type: str = Field(pattern="expect_[a-z_]+")
    kwargs: dict[str, Any]
    severity: Severity
    meaning: str


class Suite(_Model):
    """What `suite.yaml` says.

    Attributes:
        key: columns of the aggregate that identify one of its rows.
        expectations: by the rule's name, which says what holds.
    """

    description: str
    key: tuple[str, ...]
    expectations: dict[str, Expectation] = Field(min_length=1)


@dataclass(frozen=True)
class WrittenSuite:
    """One suite: a folder of `assets_sql/suites`."""

    name: str
    folder: Path
    sql: str
    examples: str | None
    content: Suite

    @property
    def full_name(self) -> str:
        return f"{SUITES}.{self.name}"

    @property
    def severities(self) -> list[Severity]:
        """Those of its rules, the gravest first."""
        found = {each.severity for each in self.content.expectations.values()}
        return [severity for severity in SEVERITIES if severity in found]

    @cached_property
    def inputs(self) -> tuple[str, ...]:
        """The relations that its queries read, as `schema.table`, sorted."""
        read = read_by(self.sql) | (read_by(self.examples) if self.examples else set())
        return tuple(sorted(name for name in read if not is_history(name)))

    @cached_property
    def code_hash(self) -> str:
        """Changes when its queries or what it expects of them change."""
        parts = (self.sql, self.examples or "", self.content.model_dump_json(), shared_sql())
        return hashlib.sha256("\0".join(parts).encode()).hexdigest()[:16]


@cache
def load_suites() -> tuple[WrittenSuite, ...]:
    """Reads every suite of `assets_sql/suites`, by name.

    Raises:
        ContractError: a `suite.yaml` is not one.
    """
    return tuple(map(read_suite, sorted((assets_folder() / SUITES).iterdir())))


def read_suite(folder: Path) -> WrittenSuite:
    """Reads one suite.

    Raises:
        ContractError: its `suite.yaml` is not one.
    """
    file = folder / "suite.yaml"
    try:
        content = Suite.model_validate(read_yaml(file))
    except ValueError as error:
        raise ContractError(f"{file}: {error}") from error
    examples = folder / "examples.sql"
    return WrittenSuite(
        name=folder.name,
        folder=folder,
        sql=(folder / "query.sql").read_text(encoding="utf-8"),
        examples=examples.read_text(encoding="utf-8") if examples.exists() else None,
        content=content,
    )


def planned_suite_checks(suite: WrittenSuite) -> list[PlannedCheck]:
    """The checks of a suite, one for each severity, known from its files alone."""
    return [
        PlannedCheck(_check_name(suite, severity), severity == "critical", suite.content.description.strip())
        for severity in suite.severities
    ]


def judge_suite(connection: duckdb.DuckDBPyConnection, suite: WrittenSuite) -> list[CheckOutcome]:
    """One outcome for each severity of a suite.

    Raises:
        ContractError: its query returns too much or not one row a key, or an expectation could not be evaluated: a
            defect of the suite, never of the data.
    """
    names, rows = _batch(connection, suite)
    rules = suite.content.expectations
    verdicts: dict[str, Verdict] = {}
    if rows:
        import pandas as pd

        batch = pd.DataFrame(rows, columns=names, dtype=object)
        verdicts = judge(suite.full_name, batch, [asked_of(name, rule) for name, rule in rules.items()])
    if broken := [f"{name}: {verdict.problem}" for name, verdict in verdicts.items() if verdict.problem]:
        raise ContractError(
            f"{suite.folder / 'suite.yaml'}: an expectation could not be evaluated, a defect of the suite, not of the "
            f"data. {'; '.join(broken)}"
        )
    outcomes = []
    for severity in suite.severities:
        chosen = {name: rule for name, rule in rules.items() if rule.severity == severity}
        told = [_told(name, rule, len(rows), verdicts.get(name)) for name, rule in chosen.items()]
        sample: list[dict[str, Any]] = []
        if broken_rules := [each["rule"] for each in told if not each["holds"]]:
            places = sorted({place for name in broken_rules for place in verdicts[name].places}) or range(len(rows))
            sample = [dict(zip(names, rows[place], strict=True)) for place in places[:SAMPLE_ROWS]]
            if suite.examples:
                sample = sample_rows(connection, suite.examples)
        outcomes.append(
            suite_outcome(
                _check_name(suite, severity),
                severity,
                suite.content.description.strip(),
                told,
                sample,
                [_validated(name, rule, verdicts.get(name)) for name, rule in chosen.items()],
            )
        )
    return outcomes


def asked_of(name: str, rule: Expectation) -> dict[str, Any]:
    """A rule as Great Expectations' configuration of one expectation."""
    return {"type": rule.type, "kwargs": rule.kwargs, "meta": {"rule": name}, "severity": rule.severity}


def expected(rule: Expectation) -> str:
    """What a rule expects, in words where they are short."""
    kwargs = dict(rule.kwargs)
    column, mostly = kwargs.pop("column", None), kwargs.pop("mostly", None)
    lowest, highest = kwargs.pop("min_value", None), kwargs.pop("max_value", None)
    words = [rule.type.removeprefix("expect_").removeprefix("column_values_to_").replace("_", " ")]
    if lowest is not None or highest is not None:
        bounds = [
            f"at least {lowest}" if lowest is not None else "",
            f"at most {highest}" if highest is not None else "",
        ]
        subject = words[0].removesuffix("to be between").removesuffix("be between").strip()
        words = [subject, " and ".join(filter(None, bounds))]
    words += [f"{name} {value}" for name, value in kwargs.items()]
    share = f", in {mostly:.0%} of what is known" if mostly is not None else ""
    return " ".join(filter(None, [column or "", *words])) + share


def _check_name(suite: WrittenSuite, severity: Severity) -> str:
    return f"{suite.name}_{severity}"


def _batch(connection: duckdb.DuckDBPyConnection, suite: WrittenSuite) -> tuple[list[str], list[list[Any]]]:
    """(column names, all rows of the aggregate in the order of its key)."""
    key = ", ".join(map(identifier, suite.content.key))
    cursor = connection.execute(f"select * from ({suite.sql}) order by {key} limit {LARGEST_BATCH + 1}")
    names = [column[0] for column in cursor.description or ()]
    rows = [[_plain(value) for value in row] for row in cursor.fetchall()]
    if len(rows) > LARGEST_BATCH:
        raise ContractError(
            f"{suite.folder / 'query.sql'}: returns more than {LARGEST_BATCH:,} rows, which Great Expectations would "
            "hold in memory; expected a small aggregate: group by less"
        )
    places = [names.index(name) for name in suite.content.key]
    if len({tuple(row[place] for place in places) for row in rows}) < len(rows):
        raise ContractError(f"{suite.folder / 'query.sql'}: returns several rows for one key; expected one row a {key}")
    return names, rows


def _plain(value: Any) -> Any:
    """A value as JSON and Python's comparisons take it."""
    if isinstance(value, Decimal):
        return float(value)
    # DuckDB takes NaN for the greatest number, pandas for null.
    if isinstance(value, float) and math.isnan(value):
        return math.inf
    return value if isinstance(value, str | int | float | bool | None) else str(value)


def _told(name: str, rule: Expectation, row_count: int, verdict: Verdict | None) -> dict[str, Any]:
    result = verdict.result if verdict else {}
    failed = int(result.get("unexpected_count", 0) if "element_count" in result else 0)
    holds = verdict.passes if verdict else True
    if verdict is None:
        observed = NOTHING_TO_JUDGE
    elif "observed_value" in result:
        observed = str(result["observed_value"])
    else:
        known = row_count - int(result.get("missing_count", 0))
        shown = ", ".join(_short(value) for value in result.get("partial_unexpected_list", ()))
        told = f"{failed:,} of {known:,} break it: {shown}" if failed else f"all of {known:,} keep it"
        observed = told if known else NOTHING_TO_JUDGE
    return {
        "rule": name,
        "column": str(rule.kwargs.get("column", "")),
        "expected": expected(rule),
        "observed": observed,
        "rows": row_count,
        # A rule about the whole is broken once.
        "failed_rows": failed or int(not holds),
        "holds": holds,
        "meaning": rule.meaning,
    }


def _short(value: Any) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def _validated(name: str, rule: Expectation, verdict: Verdict | None) -> dict[str, Any]:
    """A rule as it was asked and what was said of it; nothing to judge is no success of anything, but no failure."""
    result = verdict.result if verdict else {"observed_value": NOTHING_TO_JUDGE}
    return {
        **asked_of(name, rule),
        "meaning": rule.meaning,
        "success": verdict.passes if verdict else True,
        "result": result,
    }
