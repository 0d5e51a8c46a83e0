"""Databases in memory that have the product's schemas and macros, and no tables."""

from collections.abc import Iterator

import duckdb
import pytest

from capacity_dagster.tables.catalogue import shared_sql
from capacity_dagster.warehouse import SCHEMAS


@pytest.fixture
def connection() -> Iterator[duckdb.DuckDBPyConnection]:
    """Databases for one test."""
    with duckdb.connect(":memory:", config={"threads": 1}) as connection:
        prepare(connection)
        yield connection


@pytest.fixture(scope="module")
def module_connection() -> Iterator[duckdb.DuckDBPyConnection]:
    """Databases for the tests of a module, one after the other."""
    with duckdb.connect(":memory:", config={"threads": 1}) as connection:
        prepare(connection)
        yield connection


def prepare(connection: duckdb.DuckDBPyConnection) -> None:
    """Makes the schemas and the macros."""
    connection.execute("set TimeZone = 'UTC'")
    for database, schemas in SCHEMAS.items():
        connection.execute(f"attach ':memory:' as {database}")
        for schema in schemas:
            connection.execute(f"create schema {database}.{schema}")
    search_path = ",".join(f"{database}.{schema}" for database, names in SCHEMAS.items() for schema in names)
    connection.execute(f"set search_path = '{search_path}'")
    connection.execute(shared_sql())
