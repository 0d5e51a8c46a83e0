"""Checks of a table: its contract's rules in one scan, its key, and the rules across rows in `checks/*.sql`.

What belongs here: running checks in SQL and saying what failed, with samples. What does not: Great Expectations.
"""

import json
from dataclasses import asdict, dataclass, field, replace
from datetime import date, datetime
from decimal import Decimal
from typing import Any

import duckdb

from capacity_dagster.privacy import concealed
from capacity_dagster.tables.catalogue import SqlCheck, Table
from capacity_dagster.tables.contract import SEVERITIES, Rules, Severity
from capacity_dagster.tables.quoting import identifier, literal

SAMPLE_ROWS = 10
CONTRACT_CHECK = "contract"
DELIVERIES_CHECK = "deliveries_are_readable"
DELIVERIES_PROMISE = "Every delivered file could be used, and none takes away most of what is known."
"""The check of what is delivered of one kind."""
NOTHING_TO_JUDGE = "nothing to judge"
"""What a suite observes where there is no row, or no row of which anything is known."""


@dataclass(frozen=True)
class Rule:
    """One rule of a column, as the SQL predicate that a row which breaks it fulfils."""

    name: str
    column: str
    expected: str
    violation: str
    severity: Severity


@dataclass(frozen=True)
class CheckOutcome:
    """What a check found.

    Attributes:
        rules: for checks of many rules, one entry each: rule, column, expected, observed, rows, failed rows.
        sample: rows that break it, at most ten.
        validations: what Great Expectations was asked and said, one entry a rule, as `data_docs` shows it.
        cpu_seconds: what judging a table's suites took, without importing Great Expectations; on the first of them.
    """

    name: str
    is_blocking: bool
    has_passed: bool
    failed_rows: int
    description: str
    rules: list[dict[str, Any]] = field(default_factory=list)
    sample: list[dict[str, Any]] = field(default_factory=list)
    validations: list[dict[str, Any]] = field(default_factory=list)
    cpu_seconds: float = 0.0

    def to_json(self) -> str:
        return json.dumps(asdict(self), default=str)

    @classmethod
    def from_json(cls, text: str) -> "CheckOutcome":
        return cls(**json.loads(text))


def suite_outcome(
    name: str,
    severity: Severity,
    description: str,
    rules: list[dict[str, Any]],
    sample: list[dict[str, Any]],
    validations: list[dict[str, Any]],
) -> CheckOutcome:
    """What a suite's rules of one severity came to.

    Rules that are only told pass as a check, with a note: a warning that asks nobody to do anything teaches people to
    overlook warnings.

    Args:
        rules: an entry each, in which `holds` says whether the rule does.
    """
    broken = [rule["rule"] for rule in rules if not rule["holds"]]
    note = f" To note: {', '.join(broken)}." if broken and severity == "info" else ""
    return CheckOutcome(
        name,
        is_blocking=severity == "critical",
        has_passed=severity == "info" or not broken,
        failed_rows=sum(rule["failed_rows"] for rule in rules),
        description=f"{description}{note}",
        rules=rules,
        sample=sample,
        validations=validations,
    )


def column_rules(table: Table) -> list[Rule]:
    """The rules of a contract's columns, as predicates."""
    return [rule for column, rules in table.contract.columns.items() for rule in _rules(column, rules)]


def _rules(column: str, rules: Rules) -> list[Rule]:
    name = identifier(column)
    found: list[tuple[str, str, str]] = []
    if rules.not_null:
        found.append(("not_null", "not null", f"{name} is null"))
    if rules.values is not None:
        listed = ", ".join(literal(value) for value in rules.values)
        found.append(("values", f"one of {', '.join(rules.values)}", f"{name} not in ({listed})"))
    if rules.minimum is not None:
        found.append(("minimum", f"at least {rules.minimum:g}", f"{name} < {rules.minimum!r}"))
    if rules.maximum is not None:
        found.append(("maximum", f"at most {rules.maximum:g}", f"{name} > {rules.maximum!r}"))
    if rules.pattern is not None:
        found.append(
            ("pattern", f"matches {rules.pattern}", f"not regexp_full_match({name}, {literal(rules.pattern)})")
        )
    return [Rule(f"{column}_{kind}", column, expected, sql, rules.severity) for kind, expected, sql in found]


def merged(before: list[CheckOutcome], later: list[CheckOutcome]) -> list[CheckOutcome]:
    """What the same checks found on other rows, as one outcome each."""
    if not before:
        return later
    return [
        replace(
            one,
            has_passed=one.has_passed and other.has_passed,
            failed_rows=one.failed_rows + other.failed_rows,
            rules=[
                {**rule, "failed_rows": rule["failed_rows"] + again["failed_rows"]}
                for rule, again in zip(one.rules, other.rules, strict=True)
            ],
            sample=(one.sample + other.sample)[:SAMPLE_ROWS],
        )
        for one, other in zip(before, later, strict=True)
    ]


def check_contract(connection: duckdb.DuckDBPyConnection, table: Table, relation: str) -> CheckOutcome:
    """Every rule of the contract in one scan of a relation with the table's columns, and the key's uniqueness."""
    rules = column_rules(table)
    key = ", ".join(identifier(column) for column in table.contract.key)
    # Rows with as many hashes have as many keys; only where they have fewer, keys are compared.
    sums = [
        *(f"count(case when {rule.violation} then 1 end)" for rule in rules),
        f"count(*) - count(distinct hash({key}))",
    ]
    *counts, fewer_hashes = connection.execute(f"select {', '.join(sums)} from {relation}").fetchall()[0]
    duplicates = f"select {key}, count(*) as row_count from {relation} group by {key} having count(*) > 1"
    duplicate_count = 0
    if fewer_hashes:
        duplicate_count = connection.execute(f"select count(*) from ({duplicates})").fetchall()[0][0]
    entries = [
        {"rule": rule.name, "column": rule.column, "expected": rule.expected, "failed_rows": failed}
        for rule, failed in zip(rules, counts, strict=True)
    ]
    entries.append(
        {
            "rule": "key_is_unique",
            "column": ", ".join(table.contract.key),
            "expected": "one row",
            "failed_rows": duplicate_count,
        }
    )
    sample: list[dict[str, Any]] = []
    broken = [rule.violation for rule, failed in zip(rules, counts, strict=True) if failed]
    if broken:
        sample = sample_rows(connection, f"select * from {relation} where {' or '.join(broken)}")
    elif duplicate_count:
        sample = sample_rows(connection, duplicates)
    failed_rows = sum(counts) + duplicate_count
    return CheckOutcome(
        CONTRACT_CHECK,
        is_blocking=True,
        has_passed=failed_rows == 0,
        failed_rows=failed_rows,
        description="Column rules of the contract, and one row a key.",
        rules=entries,
        sample=sample,
    )


def check_sql(connection: duckdb.DuckDBPyConnection, check: SqlCheck) -> CheckOutcome:
    """A rule across rows or tables: passes when its query returns nothing."""
    failed = connection.execute(f"select count(*) from ({check.sql})").fetchall()[0][0]
    return CheckOutcome(
        check.name,
        is_blocking=check.blocking,
        has_passed=failed == 0,
        failed_rows=failed,
        description=check.description,
        sample=sample_rows(connection, f"select * from ({check.sql})") if failed else [],
    )


def sample_rows(connection: duckdb.DuckDBPyConnection, sql: str) -> list[dict[str, Any]]:
    """The first rows of a query, as plain values that may be shown."""
    cursor = connection.execute(f"select * from ({sql}) limit {SAMPLE_ROWS}")
    names = [column[0] for column in cursor.description or ()]
    return concealed(connection, [dict(zip(names, map(_plain, row), strict=True)) for row in cursor.fetchall()])


def _plain(value: Any) -> Any:
    if isinstance(value, datetime | date | Decimal):
        return str(value)
    return value if isinstance(value, str | int | float | bool | None) else str(value)


@dataclass(frozen=True)
class PlannedCheck:
    """A check that a table will have, before it is run."""

    name: str
    is_blocking: bool
    description: str


def planned_checks(table: Table) -> list[PlannedCheck]:
    """The checks of a table, known from its files alone."""
    if table.is_raw:
        found = {rules.severity for rules in table.contract.columns.values() if _rules("", rules)} | {"critical"}
        return [
            PlannedCheck(DELIVERIES_CHECK, True, DELIVERIES_PROMISE),
            PlannedCheck("nothing_is_rejected", False, "Every record could be understood."),
            *(
                PlannedCheck(
                    f"expectations_{severity}",
                    severity == "critical",
                    f"Great Expectations suite of the contract's {severity} rules, on what was accepted.",
                )
                for severity in SEVERITIES
                if severity in found
            ),
        ]
    return [
        PlannedCheck(CONTRACT_CHECK, True, "Column rules of the contract, and one row a key."),
        *(PlannedCheck(check.name, check.blocking, check.description) for check in table.checks),
    ]
