"""What the site file says and which months are closed, as relations that queries read; and those of what is delivered,
empty.
"""

import csv
import json
import re
from importlib.resources import files
from typing import Any

import duckdb

from capacity_dagster.closing import closed_months
from capacity_dagster.privacy import key_id, pseudonym_key
from capacity_dagster.site_sections import SiteFile
from capacity_dagster.site_values import CHARGE_COLUMNS
from capacity_dagster.tables.catalogue import LANDING_TABLES, SITE_TABLES
from capacity_dagster.warehouse import Change, Warehouse, naive


def write_site_relations(warehouse: Warehouse) -> None:
    """Writes the relations whose content differs from the site file, each with a new version."""
    rows = _rows(warehouse)
    with warehouse.transaction() as connection:
        for name, columns in LANDING_TABLES.items():
            _create(connection, f"pipeline.{name}", columns)
            if warehouse.version(name) is None:
                warehouse.record(name, "", {}, 0, [Change()], True, 0.0)
        for name, columns in SITE_TABLES.items():
            content_hash = json.dumps(rows[name], default=str)
            before = warehouse.code_hash(name)
            if before == content_hash:
                continue
            connection.execute(f"create or replace table pipeline.{name} ({columns})")
            if rows[name]:
                values = ", ".join("?" * len(rows[name][0]))
                if name == "site.clusters":  # the first day begins at midnight of the reporting zone
                    values = "$1, $2, $3, first_instant($4::timestamp, $3), $5"
                connection.executemany(f"insert into pipeline.{name} values ({values})", rows[name])
            change = Change(changed_columns=_different(columns, before, content_hash))
            warehouse.record(name, content_hash, {}, len(rows[name]), [change], True, 0.0)


def _different(columns: str, before: str | None, now: str) -> tuple[str, ...] | None:
    """The columns in which a relation of one row differs from before; None: any may."""
    old, new = json.loads(before or "[]"), json.loads(now)
    names = re.findall(r"(\w+) \w+", columns)
    if len(old) != 1 or len(new) != 1 or not len(old[0]) == len(new[0]) == len(names):
        return None
    return tuple(name for name, one, other in zip(names, old[0], new[0], strict=True) if one != other)


def _create(connection: duckdb.DuckDBPyConnection, relation: str, columns: str) -> None:
    """Makes a relation of what is delivered; one that an earlier version of the code made otherwise is filled anew."""
    connection.execute(f"create table if not exists {relation} ({columns})")
    connection.execute(f"create or replace temp table declared ({columns})")
    found, declared = (
        [row[:2] for row in connection.execute(f"describe {name}").fetchall()] for name in (relation, "temp.declared")
    )
    if found != declared:
        connection.execute(f"create or replace table {relation} ({columns})")


def _rows(warehouse: Warehouse) -> dict[str, list[tuple[Any, ...]]]:
    content = warehouse.site.content
    zone = content.site.reporting_time_zone
    as_of = naive(warehouse.as_of)
    return {
        "site.settings": [
            (
                content.site.name,
                content.site.first_day,
                zone,
                content.reconciliation.tolerance_seconds,
                content.reconciliation.tolerance_share,
                content.costs.depreciation,
                content.costs.cost_of_capital,
                content.costs.currency,
                content.costs.idle_policy,
                content.trust.reject_share_limit,
                content.trust.reject_rows_tolerated,
            )
        ],
        "site.privacy": [(key_id(pseudonym_key(warehouse.site)), content.privacy.drop_job_names)],
        "site.clusters": [
            (name, cluster.scheduler, zone, content.site.first_day, as_of)
            for name, cluster in sorted(content.clusters.items())
        ],
        "site.node_domains": [
            (name, cluster.domain) for name, cluster in sorted(content.clusters.items()) if cluster.domain
        ],
        "site.node_aliases": [
            (name, alias, node)
            for name, cluster in sorted(content.clusters.items())
            for alias, node in sorted(cluster.node_aliases.items())
        ],
        "site.accelerators": sorted(
            (alias, model)
            for model, accelerator in content.accelerators.items()
            for alias in {model.lower(), *(alias.lower() for alias in accelerator.aliases)}
        ),
        "site.accelerator_models": [
            (model, accelerator.memory_gb, accelerator.compute_slices)
            for model, accelerator in sorted(content.accelerators.items())
        ],
        "site.pools": [(name, pool.tenure) for name, pool in sorted(content.pools.items())],
        "site.charge_rules": [
            (
                position,
                rule.cluster,
                rule.pool,
                rule.cost_component,
                rule.accelerator_model,
                "tags" if column.startswith("Tags.") else CHARGE_COLUMNS[column],
                column.removeprefix("Tags.") if column.startswith("Tags.") else None,
                pattern,
                len(rule.charges),
            )
            for position, rule in enumerate(content.charge_rules)
            for column, pattern in sorted(rule.charges.items())
        ],
        "site.ended_accounts": sorted(
            (each.provider, each.billing_account_id, each.last_day) for each in content.ended_accounts
        ),
        "site.ended_sources": sorted((each.kind, each.cluster, each.last_day) for each in content.ended_sources),
        "site.instance_types": sorted(_instance_types(content)),
        "site.closed_months": [
            (each.month, each.version, naive(each.closed_at)) for each in closed_months(warehouse.site.published)
        ],
        "site.workload_rules": [
            (position, rule.name, partition, qos)
            for position, rule in enumerate(content.workload_classes)
            for partition in rule.partitions or (None,)
            for qos in rule.qos or (None,)
        ],
    }


def _instance_types(content: SiteFile) -> list[tuple[str, str, int]]:
    """The instance types that are shipped, and those of the site file, which win."""
    with (files("capacity_dagster") / "instance_types.csv").open(encoding="utf-8") as lines:
        shipped = csv.DictReader(line for line in lines if not line.startswith("#"))
        known = {row["instance_type"].lower(): (row["accelerator_model"], int(row["accelerators"])) for row in shipped}
    for name, each in content.instance_types.items():
        known[name.lower()] = (each.accelerator_model, each.accelerators)
    return [(name, *what) for name, what in known.items()]
