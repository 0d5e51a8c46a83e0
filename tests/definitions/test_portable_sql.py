"""SQL of core, mart, report and suites avoids what another engine would not run, or would run with another result."""

import pytest
import sqlglot
from sqlglot import exp

from capacity_dagster.tables.catalogue import Table, load_catalogue
from capacity_dagster.tables.suites import WrittenSuite, load_suites

BANNED_FUNCTIONS = {
    "percentile_cont": "use quantile_cont",
    "date_diff": "counts boundaries elsewhere: use seconds_between",
    "datediff": "counts boundaries elsewhere: use seconds_between",
    "hash": "differs between engines",
    "epoch": "gives a fraction elsewhere: use epoch_us",
    "epoch_ms": "does not exist elsewhere: use epoch_us",
    "time_bucket": "does not exist elsewhere: use date_trunc",
    "avg": "of decimals differs: divide sums with ratio()",
    "mean": "of decimals differs: divide sums with ratio()",
    "now": "SQL never reads the clock",
    "today": "SQL never reads the clock",
    "current_date": "SQL never reads the clock",
    "current_timestamp": "SQL never reads the clock",
}

TABLES = [*(table for table in load_catalogue() if not table.is_raw), *load_suites()]


def statements(table: Table | WrittenSuite) -> list[tuple[str, exp.Expression]]:
    named = [(table.full_name, table.sql)]
    if isinstance(table, Table):
        named += [(f"{table.full_name}/{check.name}", check.sql) for check in table.checks]
    elif table.examples:
        named.append((f"{table.full_name}/examples", table.examples))
    return [(name, sqlglot.parse_one(sql, dialect="duckdb")) for name, sql in named]


@pytest.mark.parametrize("table", TABLES, ids=lambda table: table.full_name)
def test_no_construct_that_differs_elsewhere(table: Table | WrittenSuite) -> None:
    problems = []
    for name, query in statements(table):
        for function in query.find_all(exp.Func):
            spelled = function.name if isinstance(function, exp.Anonymous) else function.sql_name()
            if reason := BANNED_FUNCTIONS.get(spelled.lower()):
                problems.append(f"{name}: {spelled}: {reason}")
        problems += [f"{name}: asof join" for join in query.find_all(exp.Join) if join.method == "ASOF"]
        problems += [f"{name}: division with '/': {found.sql()}" for found in query.find_all(exp.Div)]
        problems += [
            f"{name}: hugeint" for kind in query.find_all(exp.DataType) if kind.this is exp.DataType.Type.INT128
        ]
        for extract in query.find_all(exp.Extract):
            if extract.name.lower() in ("dow", "dayofweek"):
                problems.append(f"{name}: extract(dow)")
    assert problems == []
