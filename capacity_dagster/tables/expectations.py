"""Great Expectations at the boundary: a raw table's contract as suites, one for each severity.

What belongs here: turning a contract's rules into expectations, and their results into check outcomes. What does not:
the rules, which only contracts state; their SQL, which is in `checks`; suites that are written by hand (`suites`).

DuckDB counts the rows that break each rule, exactly and in one scan. Great Expectations then runs a checkpoint on a
batch of the rows that break one and a sample of the others, and must say the same of every rule. The counts are exact
however large the table, and a rule whose SQL means something else than its expectation does not go unnoticed.
"""

import math
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import duckdb

from capacity_dagster.errors import ContractError
from capacity_dagster.tables.catalogue import Table
from capacity_dagster.tables.checks import (
    NOTHING_TO_JUDGE,
    CheckOutcome,
    Rule,
    column_rules,
    sample_rows,
    suite_outcome,
)
from capacity_dagster.tables.contract import SEVERITIES, Rules
from capacity_dagster.tables.judge import Verdict, judge
from capacity_dagster.tables.quoting import identifier

if TYPE_CHECKING:
    import pandas as pd

KEY_RULE = "key_is_unique"
VIOLATOR_ROWS = 1_000
SAMPLE_ROWS = 1_000

PASSES, FAILS = "that it passes", "that it fails"


def rule_counts(table: Table, condition: str = "true") -> list[str]:
    """SQL for the number of rows that break each rule of a table, among those that fulfil a condition."""
    rules = [*column_rules(table), _key_rule(table, condition)]
    return [f"count(case when {rule.violation} then 1 end)" for rule in rules]


def check_expectations(
    connection: duckdb.DuckDBPyConnection, table: Table, counted: list[int] | None = None
) -> list[CheckOutcome]:
    """One outcome for each severity that the table's contract has rules of; critical ones block.

    Args:
        counted: the number of rows, and of those that break each of `rule_counts`, where it is known.

    Raises:
        ContractError: SQL and Great Expectations disagree on a rule, or an expectation could not be evaluated: a
            defect of the contract or of this module, never of the data.
    """
    rules = [*column_rules(table), _key_rule(table)]
    if counted is None:
        sums = ", ".join(rule_counts(table))
        counted = list(connection.execute(f"select count(*), {sums} from {table.relation}").fetchall()[0])
    row_count, *counts = counted
    failed = {rule.name: count for rule, count in zip(rules, counts, strict=True)}
    judged = "no rows to judge"
    verdicts: dict[str, Verdict] = {}
    if row_count:
        batch = _batch(connection, table, rules, failed)
        verdicts = judge(table.full_name, batch, [expectation(table, rule) for rule in rules])
        _require_agreement(table, failed, verdicts)
        judged = f"{row_count:,} rows counted, a batch of {len(batch):,} judged by Great Expectations too"
    outcomes = []
    for severity in SEVERITIES:
        chosen = [rule for rule in rules if rule.severity == severity]
        if chosen:
            told = [_told(rule, row_count, failed[rule.name]) for rule in chosen]
            broken = " or ".join(f"({rule.violation})" for rule in chosen if failed[rule.name])
            key = ", ".join(map(identifier, table.contract.key))
            outcomes.append(
                suite_outcome(
                    f"expectations_{severity}",
                    severity,
                    f"The contract's {severity} rules for each row as delivered: {judged}.",
                    told,
                    sample_rows(connection, f"select * from {table.relation} where {broken} order by {key}")
                    if broken
                    else [],
                    [
                        _validated(expectation(table, rule), row_count, failed[rule.name], verdicts.get(rule.name))
                        for rule in chosen
                    ],
                )
            )
    return outcomes


def _told(rule: Rule, row_count: int, failed_rows: int) -> dict[str, Any]:
    observed = f"{failed_rows:,} of {row_count:,} rows break it" if failed_rows else "every row keeps it"
    return {
        "rule": rule.name,
        "column": rule.column,
        "expected": rule.expected,
        "observed": observed if row_count else NOTHING_TO_JUDGE,
        "rows": row_count,
        "failed_rows": failed_rows,
        "holds": failed_rows == 0,
    }


def _validated(asked: dict[str, Any], row_count: int, failed_rows: int, verdict: Verdict | None) -> dict[str, Any]:
    """A rule as it was asked, with the counts of the whole table in place of the batch's."""
    result = {
        "element_count": row_count,
        "unexpected_count": failed_rows,
        "unexpected_percent": 100 * failed_rows / row_count if row_count else 0.0,
        "partial_unexpected_list": verdict.result.get("partial_unexpected_list", []) if verdict else [],
    }
    return {**asked, "success": failed_rows == 0, "result": result}


def _key_rule(table: Table, condition: str = "true") -> Rule:
    """Rows whose key another row has too, among those that fulfil a condition.

    A key of several columns is compared as a struct, in which nulls equal each other. In a key of one column nulls are
    not compared at all. The expectations for either mean the same.
    """
    names = ", ".join(map(identifier, table.contract.key))
    key = f"row({names})" if len(table.contract.key) > 1 else names
    repeated = f"select {key} from {table.relation} where {condition} group by {names} having count(*) > 1"
    return Rule(KEY_RULE, ", ".join(table.contract.key), "one row", f"{key} in ({repeated})", "critical")


def _batch(
    connection: duckdb.DuckDBPyConnection, table: Table, rules: list[Rule], failed: dict[str, int]
) -> "pd.DataFrame":
    """Rows that break a rule, of each broken rule some, and the table's first rows by key.

    Only a row whose key is repeated may be in it twice. Columns whose bounds are compared keep their values, as Python
    objects so that integers beside nulls stay exact. All others become text: it is null, equal or matching just where
    the value is.
    """
    import pandas as pd

    key = ", ".join(map(identifier, table.contract.key))
    used = {**dict.fromkeys(table.contract.key), **{rule.column: None for rule in rules if rule.name != KEY_RULE}}
    bounds = {name: (rules.minimum, rules.maximum) for name, rules in table.contract.columns.items()}
    columns = ", ".join(
        identifier(name) if bounds[name] != (None, None) else f"{identifier(name)}::varchar as {identifier(name)}"
        for name in used
    )
    broken = [rule for rule in rules if failed[rule.name]]
    share = max(2, VIOLATOR_ROWS // max(1, len(broken)))

    def some(condition: str, limit: int) -> str:
        return f"(select {columns} from {table.relation} where {condition} order by {key} limit {limit})"

    # The key's violators come by `union all`, since a plain union would merge the very rows that repeat each other;
    # the other rows by `union`, since a row that is selected twice would look like a repeated key.
    once = [some(rule.violation, share) for rule in broken if rule.name != KEY_RULE]
    again = [some(rule.violation, share) for rule in broken if rule.name == KEY_RULE]
    sql = " union all ".join([f"({' union '.join([some('true', SAMPLE_ROWS), *once])})", *again])
    # In one order, so that the values which are shown are the same every time.
    rows = connection.execute(f"select * from ({sql}) order by all").fetchall()
    return pd.DataFrame([[_comparable(value) for value in row] for row in rows], columns=list(used), dtype=object)


def _comparable(value: Any) -> Any:
    """A value that Python compares with a float bound as DuckDB compares it with the bound's decimal literal."""
    if isinstance(value, Decimal) and Decimal(repr(float(value))) == value:
        return float(value)
    # DuckDB takes NaN for the greatest number, pandas for null.
    return math.inf if isinstance(value, float) and math.isnan(value) else value


def expectation(table: Table, rule: Rule) -> dict[str, Any]:
    """A rule as Great Expectations' configuration of one expectation."""
    rules = table.contract.columns.get(rule.column, Rules())
    kind = KEY_RULE if rule.name == KEY_RULE else rule.name.removeprefix(f"{rule.column}_")
    about: dict[str, Any] = {"column": rule.column}
    match kind:
        case "not_null":
            name = "expect_column_values_to_not_be_null"
        case "values":
            name = "expect_column_values_to_be_in_set"
            about["value_set"] = list(rules.values or ())
        case "minimum":
            name = "expect_column_values_to_be_between"
            about["min_value"] = rules.minimum
        case "maximum":
            name = "expect_column_values_to_be_between"
            about["max_value"] = rules.maximum
        case "pattern":
            name = "expect_column_values_to_match_regex"
            about["regex"] = rf"\A(?:{rules.pattern})\Z"
        case "key_is_unique" if len(table.contract.key) == 1:
            name = "expect_column_values_to_be_unique"
        case "key_is_unique":
            name = "expect_compound_columns_to_be_unique"
            about = {"column_list": list(table.contract.key), "ignore_row_if": "never"}
        case _:
            raise ContractError(f"{table.full_name}: no expectation is known for the rule {rule.name}")
    return {"type": name, "kwargs": about, "meta": {"rule": rule.name}, "severity": rule.severity}


def _require_agreement(table: Table, failed: dict[str, int], verdicts: dict[str, Verdict]) -> None:
    said = {name: _said(verdicts.get(name)) for name in failed}
    disagreements = [
        f"{name}: SQL counts {count:,} failed rows, Great Expectations says {said[name]}"
        for name, count in failed.items()
        if said[name] != (FAILS if count else PASSES)
    ]
    if disagreements:
        raise ContractError(
            f"{table.full_name}: SQL and Great Expectations judge the same rows differently, a defect of the contract "
            f"or of its translation, not of the data; see {table.folder / 'contract.yaml'}. {'; '.join(disagreements)}"
        )


def _said(verdict: Verdict | None) -> str:
    if verdict is None:
        return "nothing"
    if verdict.problem:
        return f"that it could not be evaluated ({verdict.problem})"
    return PASSES if verdict.passes else FAILS
