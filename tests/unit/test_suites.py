"""Suites written by hand: what passes, what fails, with which counts, and that a defective one is our error."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import duckdb
import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from capacity_dagster.errors import ContractError
from capacity_dagster.tables import suites
from capacity_dagster.tables.catalogue import load_catalogue
from capacity_dagster.tables.suites import WrittenSuite, judge_suite, load_suites, planned_suite_checks, read_suite

AGGREGATE = """
select * from (values ('a', 1, 0.5), ('b', 2, 0.25), ('c', 3, null)) as t (cluster, attempts, rate)
"""


@pytest.fixture
def connection() -> Iterator[duckdb.DuckDBPyConnection]:
    with duckdb.connect() as opened:
        yield opened


def suite(folder: Path, sql: str = AGGREGATE, examples: str | None = None, **rules: dict[str, Any]) -> WrittenSuite:
    """A suite with rules such as `few={"type": …, "column": …}`; each is a warning that means something."""
    written = {
        name: {
            "type": rule["type"],
            "severity": rule.get("severity", "warning"),
            "meaning": "Look.",
            "kwargs": {key: value for key, value in rule.items() if key not in ("type", "severity")},
        }
        for name, rule in rules.items()
    }
    folder = folder / "things"
    folder.mkdir(exist_ok=True)
    content = {"description": "One row per cluster.", "key": ["cluster"], "expectations": written}
    (folder / "suite.yaml").write_text(yaml.safe_dump(content), encoding="utf-8")
    (folder / "query.sql").write_text(sql, encoding="utf-8")
    if examples:
        (folder / "examples.sql").write_text(examples, encoding="utf-8")
    return read_suite(folder)


def between(column: str, **kwargs: Any) -> dict[str, Any]:
    return {"type": "expect_column_values_to_be_between", "column": column, **kwargs}


def test_critical_blocks_a_warning_warns_and_the_rest_is_told(
    tmp_path: Path, connection: duckdb.DuckDBPyConnection
) -> None:
    broken = between("attempts", max_value=2)
    things = suite(
        tmp_path,
        stops=broken | {"severity": "critical"},
        warns=broken,
        tells=broken | {"severity": "info"},
        holds=between("attempts", min_value=1) | {"severity": "info"},
    )
    critical, warning, info = judge_suite(connection, things)
    assert (critical.name, critical.is_blocking, critical.has_passed) == ("things_critical", True, False)
    assert (warning.name, warning.is_blocking, warning.has_passed) == ("things_warning", False, False)
    assert (info.name, info.is_blocking, info.has_passed) == ("things_info", False, True)
    assert info.description == "One row per cluster. To note: tells."
    assert [(check.name, check.is_blocking) for check in planned_suite_checks(things)] == [
        ("things_critical", True),
        ("things_warning", False),
        ("things_info", False),
    ]
    assert warning.rules == [
        {
            "rule": "warns",
            "column": "attempts",
            "expected": "attempts at most 2",
            "observed": "1 of 3 break it: 3",
            "rows": 3,
            "failed_rows": 1,
            "holds": False,
            "meaning": "Look.",
        }
    ]
    assert warning.sample == [{"cluster": "c", "attempts": 3, "rate": None}]


def test_examples_are_the_sample_where_a_rule_is_broken(tmp_path: Path, connection: duckdb.DuckDBPyConnection) -> None:
    examples = "select 'n1' as node"
    broken = suite(tmp_path, examples=examples, few=between("attempts", max_value=2))
    assert judge_suite(connection, broken)[0].sample == [{"node": "n1"}]
    kept = suite(tmp_path, examples=examples, few=between("attempts", max_value=3))
    assert judge_suite(connection, kept)[0].sample == []


@pytest.mark.parametrize(
    ("rule", "expected", "observed", "holds"),
    [
        (between("attempts", max_value=2, mostly=0.6), "attempts at most 2, in 60% of what is known", "1 of 3", True),
        (between("attempts", max_value=2, mostly=0.7), "attempts at most 2, in 70% of what is known", "1 of 3", False),
        # Of what is known: the null counts neither way.
        (between("rate", max_value=0.4, mostly=0.5), "rate at most 0.4, in 50% of what is known", "1 of 2", True),
        (between("rate", min_value=0.1, max_value=0.9), "rate at least 0.1 and at most 0.9", "all of 2 keep it", True),
        (
            {"type": "expect_table_row_count_to_be_between", "min_value": 4},
            "table row count at least 4",
            "3",
            False,
        ),
        (
            {"type": "expect_column_sum_to_be_between", "column": "attempts", "max_value": 6},
            "attempts column sum at most 6",
            "6",
            True,
        ),
        (
            {"type": "expect_column_values_to_be_in_set", "column": "cluster", "value_set": ["a", "b"]},
            "cluster be in set value_set ['a', 'b']",
            "1 of 3 break it: c",
            False,
        ),
    ],
)
def test_each_kind_of_rule_is_judged_on_the_whole_aggregate(
    tmp_path: Path,
    connection: duckdb.DuckDBPyConnection,
    rule: dict[str, Any],
    expected: str,
    observed: str,
    holds: bool,
) -> None:
    (outcome,) = judge_suite(connection, suite(tmp_path, rule=rule))
    (told,) = outcome.rules
    assert (told["expected"], told["holds"]) == (expected, holds)
    assert told["observed"].startswith(observed)
    assert outcome.has_passed == holds
    assert bool(outcome.failed_rows) == (not holds or "1 of" in observed)


def test_nothing_to_judge_passes_and_says_so(tmp_path: Path, connection: duckdb.DuckDBPyConnection) -> None:
    (outcome,) = judge_suite(connection, suite(tmp_path, f"{AGGREGATE} limit 0", few=between("attempts", max_value=0)))
    assert (outcome.has_passed, outcome.rules[0]["observed"]) == (True, "nothing to judge")
    nulls = "select 'a' as cluster, null::bigint as attempts"
    (outcome,) = judge_suite(connection, suite(tmp_path, nulls, few=between("attempts", max_value=0)))
    assert (outcome.has_passed, outcome.rules[0]["observed"]) == (True, "nothing to judge")


def test_a_large_aggregate_or_a_repeated_key_is_a_defect_of_the_suite(
    tmp_path: Path, connection: duckdb.DuckDBPyConnection, monkeypatch: pytest.MonkeyPatch
) -> None:
    few = between("attempts", max_value=9)
    with pytest.raises(ContractError, match=r"things/query\.sql: returns several rows for one key; .* one row a \"clu"):
        judge_suite(connection, suite(tmp_path, f"{AGGREGATE} union all {AGGREGATE}", few=few))
    monkeypatch.setattr(suites, "LARGEST_BATCH", 2)
    with pytest.raises(ContractError, match=r"things/query\.sql: returns more than 2 rows.* group by less"):
        judge_suite(connection, suite(tmp_path, few=few))


@pytest.mark.parametrize(
    ("rule", "message"),
    [
        (between("missing", max_value=1), "missing"),
        (between("cluster", max_value=1), "must either be None or of the same type"),
    ],
)
def test_an_expectation_that_cannot_be_evaluated_is_a_defect_of_the_suite(
    tmp_path: Path, connection: duckdb.DuckDBPyConnection, rule: dict[str, Any], message: str
) -> None:
    with pytest.raises(ContractError, match=rf"things/suite\.yaml: .* could not be evaluated.* few: .*{message}"):
        judge_suite(connection, suite(tmp_path, few=rule))


def test_a_wrong_suite_names_its_file(tmp_path: Path) -> None:
    with pytest.raises(ContractError, match=r"(?s)things/suite\.yaml: .*'critical', 'warning' or 'info'"):
        suite(tmp_path, few=between("attempts", max_value=1) | {"severity": "fatal"})


def test_suites_read_what_there_is_and_say_what_to_do() -> None:
    tables = set(load_catalogue().tables) | {"landing.deliveries"}
    for each in load_suites():
        assert set(each.inputs) <= tables, each.name
        for rule in each.content.expectations.values():
            assert rule.meaning.endswith("."), each.name
            assert rule.kwargs.get("column") not in each.content.key, each.name


def test_volumes_of_hundreds_of_clusters_are_a_small_aggregate(connection: duckdb.DuckDBPyConnection) -> None:
    connection.execute(
        """
        create schema core;
        create schema report;
        create macro ratio(part, whole) as part / whole;
        create table core.cluster_days as
        select 'c' || number as cluster, date '2026-01-01' + day::integer as usage_date
        from range(500) as clusters (number), range(60) as days (day);
        create table report.data_trust_daily as
        select source, cluster, usage_date, 100 as rows_accepted, 0 as rows_rejected
        from core.cluster_days, unnest(['slurm_jobs', 'slurm_node_events', 'slurm_account_usage', 'slurm_cluster_usage',
            'slurm_queue', 'slurm_reservations']) as sources (source)
        """
    )
    (volumes,) = [each for each in load_suites() if each.name == "daily_volumes"]
    (rows,) = connection.execute(f"select count(*) from ({volumes.sql})").fetchall()[0]
    assert 6 * 500 <= rows <= 2 * 6 * 500 < suites.LARGEST_BATCH


def test_the_page_lists_every_rule() -> None:
    page = (Path(__file__).parents[2] / "docs" / "suites.md").read_text(encoding="utf-8")
    for each in load_suites():
        for name, rule in each.content.expectations.items():
            assert f"| `{each.name}` | `{name}` | {rule.severity} | `{rule.kwargs['column']}`" in page


ROWS = st.lists(
    st.tuples(
        st.one_of(st.none(), st.integers(-3, 3), st.integers(-(2**63), 2**63 - 1)),
        st.one_of(st.none(), st.floats(allow_nan=False), st.sampled_from([0.0, 0.5, 1.0])),
        st.one_of(st.none(), st.sampled_from(["x", "y", "", "<b>"])),
    ),
    min_size=1,
    max_size=12,
)


@settings(max_examples=12, deadline=None)
@given(rows=ROWS, mostly=st.sampled_from([0.0, 0.5, 0.75, 1.0]), bound=st.integers(0, 12))
def test_verdicts_are_those_of_sql_on_the_same_rows(
    tmp_path_factory: pytest.TempPathFactory, rows: list[tuple[Any, ...]], mostly: float, bound: int
) -> None:
    violations = {
        "bounded": ("count", "count < -1 or count > 2"),
        "shared": ("rate", "rate < 0 or rate > 1"),
        "listed": ("word", "word not in ('x', '')"),
        "known": ("word", "word is null"),
    }
    rules: dict[str, dict[str, Any]] = {
        "bounded": between("count", min_value=-1, max_value=2, mostly=mostly),
        "shared": between("rate", min_value=0, max_value=1, mostly=mostly),
        "listed": {
            "type": "expect_column_values_to_be_in_set",
            "column": "word",
            "value_set": ["x", ""],
            "mostly": mostly,
        },
        "known": {"type": "expect_column_values_to_not_be_null", "column": "word", "mostly": mostly},
        "enough": {"type": "expect_table_row_count_to_be_between", "min_value": bound},
        "varied": {"type": "expect_column_unique_value_count_to_be_between", "column": "word", "min_value": bound % 4},
    }
    with duckdb.connect() as connection:
        connection.execute("create table given (cluster bigint, count bigint, rate double, word varchar)")
        connection.executemany("insert into given values (?, ?, ?, ?)", [(i, *row) for i, row in enumerate(rows)])
        things = suite(tmp_path_factory.mktemp("suite"), "select * from given", **rules)
        (outcome,) = judge_suite(connection, things)
        told = {rule["rule"]: rule for rule in outcome.rules}
        for name, (column, violation) in violations.items():
            counted = "count(*)" if name == "known" else f"count({column})"
            broken, known = connection.execute(
                f"select count(case when {violation} then 1 end), {counted} from given"
            ).fetchall()[0]
            assert told[name]["failed_rows"] == broken, name
            assert told[name]["holds"] == (known == 0 or (known - broken) / known >= mostly), name
        row_count, words = connection.execute("select count(*), count(distinct word) from given").fetchall()[0]
    assert told["enough"]["holds"] == (row_count >= bound)
    assert told["varied"]["holds"] == (words >= bound % 4)
