"""Great Expectations at the boundary: a raw table's contract as suites, one for each severity.

What belongs here: turning a contract's rules into expectations, and their results into check outcomes. What does not:
the rules, which only contracts state; their SQL, which is in `checks`; rules across rows or tables.

DuckDB counts the rows that break each rule, exactly and in one scan. Great Expectations then runs a checkpoint on a
batch of the rows that break one and a sample of the others, and must say the same of every rule. The counts are exact
however large the table, and a rule whose SQL means something else than its expectation does not go unnoticed.
"""

import math
import time
import warnings
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import duckdb

from capacity_dagster.errors import ContractError
from capacity_dagster.tables.catalogue import Table
from capacity_dagster.tables.checks import CheckOutcome, Rule, column_rules, sample_rows
from capacity_dagster.tables.contract import Rules, Severity
from capacity_dagster.tables.quoting import identifier

if TYPE_CHECKING:
    import pandas as pd

SEVERITIES: tuple[Severity, ...] = ("critical", "warning")
KEY_RULE = "key_is_unique"
VIOLATOR_ROWS = 1_000
SAMPLE_ROWS = 1_000
import_cpu_seconds: list[float] = []
"""What importing Great Expectations took, where this process did: nothing that a table would answer for."""

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
    if row_count:
        batch = _batch(connection, table, rules, failed)
        _require_agreement(table, failed, _verdicts(table, rules, batch))
        judged = f"{row_count:,} rows counted, a batch of {len(batch):,} judged by Great Expectations too"
    return [
        _outcome(connection, table, severity, [rule for rule in rules if rule.severity == severity], failed, judged)
        for severity in SEVERITIES
        if any(rule.severity == severity for rule in rules)
    ]


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
    rows = connection.execute(sql).fetchall()
    return pd.DataFrame([[_comparable(value) for value in row] for row in rows], columns=list(used), dtype=object)


def _comparable(value: Any) -> Any:
    """A value that Python compares with a float bound as DuckDB compares it with the bound's decimal literal."""
    if isinstance(value, Decimal) and Decimal(repr(float(value))) == value:
        return float(value)
    # DuckDB takes NaN for the greatest number, pandas for null.
    return math.inf if isinstance(value, float) and math.isnan(value) else value


def _verdicts(table: Table, rules: list[Rule], batch: "pd.DataFrame") -> dict[str, str]:
    """What Great Expectations says of each rule on a batch."""
    # Here and not above: it takes seconds to import, and most processes never judge a raw table.
    started = time.process_time()
    import great_expectations as gx
    from great_expectations.data_context.types.base import (
        DataContextConfig,
        InMemoryStoreBackendDefaults,
        ProgressBarsConfig,
    )

    import_cpu_seconds.append(time.process_time() - started)

    # A context costs milliseconds; one that is kept would collect the results of every run.
    context = gx.get_context(
        mode="ephemeral",
        project_config=DataContextConfig(
            store_backend_defaults=InMemoryStoreBackendDefaults(),
            analytics_enabled=False,
            progress_bars=ProgressBarsConfig(globally=False, metric_calculations=False),
        ),
    )
    source = context.data_sources.add_pandas("batches")
    data = source.add_dataframe_asset(table.full_name).add_batch_definition_whole_dataframe("batch")
    validations = []
    for severity in sorted({rule.severity for rule in rules}):
        expectations = [expectation(table, rule) for rule in rules if rule.severity == severity]
        suite = context.suites.add(gx.ExpectationSuite(name=severity, expectations=expectations))
        validation = gx.ValidationDefinition(name=severity, data=data, suite=suite)
        validations.append(context.validation_definitions.add(validation))
    checkpoint = gx.Checkpoint(
        name=table.full_name,
        validation_definitions=validations,
        result_format={"result_format": "BASIC", "partial_unexpected_count": 0},
    )
    with warnings.catch_warnings():
        # Groups are how a contract's pattern says "one of"; nobody wants to extract them.
        warnings.filterwarnings("ignore", message="This pattern is interpreted as a regular expression")
        found = context.checkpoints.add(checkpoint).run(batch_parameters={"dataframe": batch})
    return dict(_verdict(result) for validated in found.run_results.values() for result in validated.results)


def _verdict(result: Any) -> tuple[str, str]:
    """(rule, what is said of it)."""
    rule = result.expectation_config.meta["rule"]
    # Either the information of one exception or, by metric, that of each metric that raised one.
    info = result.exception_info
    infos = [info] if "raised_exception" in info else info.values()
    if raised := [each["exception_message"] for each in infos if each["raised_exception"]]:
        return rule, f"that it could not be evaluated ({'; '.join(map(str, raised))})"
    return rule, PASSES if result.success else FAILS


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


def _require_agreement(table: Table, failed: dict[str, int], verdicts: dict[str, str]) -> None:
    disagreements = [
        f"{name}: SQL counts {count:,} failed rows, Great Expectations says {verdicts.get(name, 'nothing')}"
        for name, count in failed.items()
        if verdicts.get(name) != (FAILS if count else PASSES)
    ]
    if disagreements:
        raise ContractError(
            f"{table.full_name}: SQL and Great Expectations judge the same rows differently, a defect of the contract "
            f"or of its translation, not of the data; see {table.folder / 'contract.yaml'}. {'; '.join(disagreements)}"
        )


def _outcome(
    connection: duckdb.DuckDBPyConnection,
    table: Table,
    severity: Severity,
    rules: list[Rule],
    failed: dict[str, int],
    judged: str,
) -> CheckOutcome:
    broken = " or ".join(f"({rule.violation})" for rule in rules if failed[rule.name])
    key = ", ".join(map(identifier, table.contract.key))
    return CheckOutcome(
        f"expectations_{severity}",
        is_blocking=severity == "critical",
        has_passed=not broken,
        failed_rows=sum(failed[rule.name] for rule in rules),
        description=f"The contract's {severity} rules for each row as delivered: {judged}.",
        rules=[
            {"rule": rule.name, "column": rule.column, "expected": rule.expected, "failed_rows": failed[rule.name]}
            for rule in rules
        ],
        sample=sample_rows(connection, f"select * from {table.relation} where {broken} order by {key}")
        if broken
        else [],
    )
