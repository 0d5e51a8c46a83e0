"""Column lineage, read from the SQL: which columns of which tables each column of a table comes from, and which columns
of its inputs a table's query reads at all.

Reading it takes seconds, so `python -m capacity_dagster.tables.lineage` writes it to `assets_sql/lineage.json`, which a
test keeps fresh.
"""

import json
import re
from dataclasses import dataclass
from functools import cache
from typing import Any

import sqlglot
from sqlglot import exp
from sqlglot.lineage import Node, lineage
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

RATES = ("ratio", "cost_per_hour")
"""The macros that divide two columns of the same row."""

PLAIN = (
    exp.Column,
    exp.Identifier,
    exp.Literal,
    exp.Boolean,
    exp.Null,
    exp.Predicate,
    exp.Connector,
    exp.Not,
    exp.Paren,
)
"""What a condition on single rows is made of."""

Origins = dict[str, list[tuple[str, str]]]
"""For each column, the (table, column) pairs that it comes from."""


@dataclass(frozen=True)
class Derivation:
    """How a query makes a column.

    Attributes:
        expressions: what is computed on the way, the column's own first; steps that only pass it on are left out.
        divides: the last names of what a rate divides and by what.
        filters: by input, the condition on its rows alone under which they are in the column, as SQL.
    """

    expressions: tuple[str, ...]
    divides: tuple[str, str] | None
    filters: dict[str, str]


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


def derivation(catalogue: Catalogue, table: Table, column: str) -> Derivation:
    """The expressions that make one column, cut out of the table's query."""
    root = lineage(column, _query(table), schema=_schema(catalogue), dialect="duckdb", copy=False)
    assert isinstance(root, Node)
    expressions: list[str] = []
    filters: dict[str, set[str]] = {}
    for node in root.walk():
        if isinstance(node.source, exp.Table):
            continue
        made = node.expression.unalias()
        if node is root or not isinstance(made, exp.Column | exp.Literal | exp.Null):
            name = ".".join(filter(None, (node.reference_node_name, node.expression.alias_or_name)))
            expressions.append(f"{name} = {made.sql(dialect='duckdb', normalize_functions='lower')}")
        for leaf in node.downstream:
            if isinstance(leaf.source, exp.Table) and leaf.source.db:
                condition = _condition(node, leaf.source.alias_or_name)
                filters.setdefault(f"{leaf.source.db}.{leaf.source.name}", set()).add(condition)
    return Derivation(
        tuple(dict.fromkeys(expressions)),
        _divided(root.expression.unalias()),
        {name: " or ".join(sorted(found)) for name, found in filters.items() if found and "" not in found},
    )


def _divided(made: exp.Expr) -> tuple[str, str] | None:
    """The columns that a macro for rates is given."""
    if isinstance(made, exp.Anonymous) and made.name.lower() in RATES and len(made.expressions) == 2:
        over, under = made.expressions
        return over.name, under.name
    return None


def _condition(node: Node, alias: str) -> str:
    """What a query's step asks of the rows of one of its relations, without regard to others; empty: nothing."""
    conditions: list[exp.Expr] = []
    where = node.source.args.get("where")
    if where is not None:
        conditions += where.this.flatten() if isinstance(where.this, exp.And) else [where.this]
    for case in node.expression.find_all(exp.Case):
        branches, otherwise = case.args.get("ifs", []), case.args.get("default")
        is_nothing = otherwise is None or otherwise.sql() in ("0", "NULL")
        if len(branches) == 1 and case.this is None and is_nothing:
            conditions.append(branches[0].this)
    told = []
    for condition in conditions:
        columns = list(condition.find_all(exp.Column))
        is_plain = all(isinstance(part, PLAIN) for part in condition.walk())
        if not columns or not is_plain or any(column.table != alias for column in columns):
            continue
        bare = condition.copy()
        for column in bare.find_all(exp.Column):
            column.set("table", None)
        told.append(f"({bare.sql(dialect='duckdb', normalize_functions='lower')})")
    return " and ".join(dict.fromkeys(told))


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
