"""Column lineage, read from the SQL: which columns of which tables each column of a table comes from, and which columns
of its inputs a table's query reads at all.

Reading it takes seconds, so `python -m capacity_dagster.tables.lineage` writes it to `assets_sql/lineage.json`, which a
test keeps fresh.
"""

import json
import re
from functools import cache
from typing import Any

import sqlglot
from sqlglot import exp
from sqlglot.lineage import lineage
from sqlglot.optimizer.pushdown_projections import pushdown_projections
from sqlglot.optimizer.qualify import qualify
from sqlglot.optimizer.scope import traverse_scope

from capacity_dagster.tables.catalogue import (
    DAYS,
    LANDING_TABLES,
    PUBLISHED_TABLES,
    SCOPES,
    SITE_TABLES,
    Catalogue,
    Table,
    assets_folder,
    load_catalogue,
)

Origins = dict[str, list[tuple[str, str]]]
"""For each column, the (table, column) pairs that it comes from."""


def column_lineage(catalogue: Catalogue, table: Table) -> Origins:
    """The origins of a table's columns among the catalogue's tables."""
    nodes = lineage(None, _query(table), schema=_schema(catalogue), dialect="duckdb", copy=False)
    assert isinstance(nodes, dict)
    origins: Origins = {}
    for column, node in nodes.items():
        leaves = {
            (f"{leaf.source.db}.{leaf.source.name}", leaf.name.rsplit(".", 1)[-1].strip('"'))
            for leaf in node.walk()
            if isinstance(leaf.source, exp.Table) and leaf.source.db
        }
        origins[column] = sorted(
            (name, origin) for name, origin in leaves if name in catalogue.tables and origin in catalogue[name].columns
        )
    return origins


def columns_read(catalogue: Catalogue, table: Table) -> dict[str, list[str]]:
    """The columns of each input that a table's query reads, whether they become columns or decide about rows; without
    those that only leave out early what it would not use.
    """
    schema: dict[str, Any] = _schema(catalogue)
    query = pushdown_projections(
        qualify(_query(table), schema=schema, dialect="duckdb", validate_qualify_columns=False)
    )
    found: dict[str, set[str]] = {name: set() for name in table.inputs}
    for scope in traverse_scope(query):
        for column in scope.columns:
            source = scope.sources.get(column.table)
            if isinstance(source, exp.Table):
                found.setdefault(f"{source.db}.{source.name}", set()).add(column.name)
            elif source is None:  # of `using` or of a lateral: whichever input has such a column
                for columns in found.values():
                    columns.add(column.name)
    # Inside functions that make rows columns are lost; what they name without a table may be any input's.
    named = {
        column.name
        for function in _query(table).find_all(exp.Explode, exp.Unnest, exp.GenerateSeries)
        for column in function.find_all(exp.Column)
        if not column.table
    }
    for columns in found.values():
        columns |= named
    every = {name: schema[name.split(".")[0]][name.split(".")[1]] for name in table.inputs}
    return {
        name: sorted(found[name].intersection(every[name]).difference(table.contract.prunes_by.get(name, ())))
        for name in table.inputs
    }


def render(catalogue: Catalogue) -> str:
    """The lineage of all tables but the raw ones, as the committed file has it."""
    content = {
        table.full_name: {
            "columns": {
                column: [f"{name}.{origin}" for name, origin in found]
                for column, found in column_lineage(catalogue, table).items()
            },
            "reads": columns_read(catalogue, table),
        }
        for table in catalogue
        if not table.is_raw
    }
    return json.dumps(content, indent=1, sort_keys=True) + "\n"


def committed_lineage() -> dict[str, Origins]:
    """The lineage of each table, by full name, from the committed file."""
    return {
        table: {column: [_split(origin) for origin in origins] for column, origins in content["columns"].items()}
        for table, content in _committed().items()
    }


def read_columns(table: str, name: str) -> list[str] | None:
    """The columns of an input that a table's query reads, from the committed file; None: it does not say, so any."""
    columns: list[str] | None = _committed().get(table, {}).get("reads", {}).get(name)
    return columns


@cache
def _committed() -> dict[str, Any]:
    content = json.loads((assets_folder() / "lineage.json").read_text(encoding="utf-8"))
    assert isinstance(content, dict)
    return content


def _query(table: Table) -> exp.Expr:
    """A table's query; every relation has a schema, as sqlglot wants it."""
    query = sqlglot.parse_one(table.sql, dialect="duckdb")
    for found in query.find_all(exp.Table):
        if found.db:
            continue
        if found.name == DAYS:
            found.set("db", exp.to_identifier("build"))
        elif found.name in SCOPES:
            schema, name = SCOPES[found.name].split(".")
            alias = found.alias or found.name
            found.set("this", exp.to_identifier(name))
            found.set("db", exp.to_identifier(schema))
            found.set("alias", exp.TableAlias(this=exp.to_identifier(alias)))
    return query


def _split(origin: str) -> tuple[str, str]:
    table, _, column = origin.rpartition(".")
    return table, column


def _schema(catalogue: Catalogue) -> dict[str, dict[str, dict[str, str]]]:
    schema: dict[str, dict[str, dict[str, str]]] = {"build": {DAYS: {"usage_date": "date"}}}
    for table in catalogue:
        schema.setdefault(table.layer, {})[table.name] = {name: column.type for name, column in table.columns.items()}
    for full_name, columns in (SITE_TABLES | LANDING_TABLES | PUBLISHED_TABLES).items():
        layer, name = full_name.split(".")
        schema.setdefault(layer, {})[name] = dict(re.findall(r"(\w+) (\w+)", columns))
    for name in {name for table in catalogue for name in table.history} - PUBLISHED_TABLES.keys():
        layer, _, short = name.partition(".")
        schema.setdefault(layer, {})[short] = schema["report"][short]
    return schema


if __name__ == "__main__":
    (assets_folder() / "lineage.json").write_text(render(load_catalogue()), encoding="utf-8")
