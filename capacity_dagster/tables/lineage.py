"""Column lineage, read from the SQL: which columns of which tables each column of a table comes from.

Reading it takes seconds, so `python -m capacity_dagster.tables.lineage` writes it to `assets_sql/lineage.json`, which a
test keeps fresh.
"""

import json
import re
from functools import cache

import sqlglot
from sqlglot import exp
from sqlglot.lineage import lineage

from capacity_dagster.tables.catalogue import (
    DAYS,
    LANDING_TABLES,
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
    query = sqlglot.parse_one(table.sql, dialect="duckdb")
    for found in query.find_all(exp.Table):
        if found.name == DAYS and not found.db:
            found.set("db", exp.to_identifier("build"))  # every relation has a schema, as sqlglot wants it
    nodes = lineage(None, query, schema=_schema(catalogue), dialect="duckdb", copy=False)
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


def render(catalogue: Catalogue) -> str:
    """The lineage of all tables but the raw ones, as the committed file has it."""
    origins = {
        table.full_name: {
            column: [f"{name}.{origin}" for name, origin in found]
            for column, found in column_lineage(catalogue, table).items()
        }
        for table in catalogue
        if not table.is_raw
    }
    return json.dumps(origins, indent=1, sort_keys=True) + "\n"


@cache
def committed_lineage() -> dict[str, Origins]:
    """The lineage of each table, by full name, from the committed file."""
    content = json.loads((assets_folder() / "lineage.json").read_text(encoding="utf-8"))
    return {
        table: {column: [_split(origin) for origin in origins] for column, origins in columns.items()}
        for table, columns in content.items()
    }


def _split(origin: str) -> tuple[str, str]:
    table, _, column = origin.rpartition(".")
    return table, column


def _schema(catalogue: Catalogue) -> dict[str, dict[str, dict[str, str]]]:
    schema: dict[str, dict[str, dict[str, str]]] = {"build": {DAYS: {"usage_date": "date"}}}
    for table in catalogue:
        schema.setdefault(table.layer, {})[table.name] = {name: column.type for name, column in table.columns.items()}
    for full_name, columns in (SITE_TABLES | LANDING_TABLES).items():
        layer, name = full_name.split(".")
        schema.setdefault(layer, {})[name] = dict(re.findall(r"(\w+) (\w+)", columns))
    return schema


if __name__ == "__main__":
    (assets_folder() / "lineage.json").write_text(render(load_catalogue()), encoding="utf-8")
