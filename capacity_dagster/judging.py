"""Brings the suites that are written by hand up to date: judges again what a change concerns, and nothing more.

What belongs here: which suites are stale, and keeping what they found. What does not: judging one (`tables/suites`),
the tables that they read (`materialise`).
"""

from collections.abc import Iterable
from dataclasses import replace

from capacity_dagster.errors import ContractError
from capacity_dagster.tables.checks import CheckOutcome
from capacity_dagster.tables.judge import CpuTime
from capacity_dagster.tables.suites import WrittenSuite, judge_suite
from capacity_dagster.warehouse import Version, Warehouse


def stale_suites(warehouse: Warehouse, suites: Iterable[WrittenSuite]) -> list[WrittenSuite]:
    """The suites that changed, or that read something which did, since they were judged."""
    return [
        suite
        for suite in suites
        if warehouse.code_hash(suite.full_name) != suite.code_hash
        or warehouse.seen_inputs(suite.full_name) != {name: warehouse.version(name) for name in suite.inputs}
    ]


def judge_stale_suites(warehouse: Warehouse, suites: Iterable[WrittenSuite]) -> dict[str, list[CheckOutcome]]:
    """Judges the suites that are stale, and returns what is known of all of them, by full name.

    Raises:
        ContractError: a suite reads what was never built, or is defective.
    """
    suites = list(suites)
    for suite in stale_suites(warehouse, suites):
        inputs = _input_versions(warehouse, suite)
        spent = CpuTime()
        outcomes = judge_suite(warehouse.connection, suite)
        outcomes[0] = replace(outcomes[0], cpu_seconds=spent.seconds)
        with warehouse.transaction():
            warehouse.record(suite.full_name, suite.code_hash, inputs, 0, [], True, outcomes[0].cpu_seconds)
            warehouse.store_checks(suite.full_name, outcomes)
    return {suite.full_name: warehouse.stored_checks(suite.full_name) for suite in suites}


def _input_versions(warehouse: Warehouse, suite: WrittenSuite) -> dict[str, Version]:
    versions = {name: warehouse.version(name) for name in suite.inputs}
    if missing := [name for name, version in versions.items() if version is None]:
        raise ContractError(f"{suite.full_name} reads {', '.join(missing)}, which was never built: build that first")
    return {name: version for name, version in versions.items() if version is not None}
