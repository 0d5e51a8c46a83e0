"""What an engineer sees in the UI: schemas, lineage, counts, reasons, samples."""

import base64
import json
from collections import Counter
from pathlib import Path
from typing import Any

import dagster as dg

from capacity_dagster.data_docs import INDEX, DataDocs
from capacity_dagster.outcome import Outcome
from capacity_dagster.plots import reasons_picture
from capacity_dagster.quarantine import explained
from capacity_dagster.sources.arrival import GONE, LATE, Change
from capacity_dagster.tables.catalogue import Table
from capacity_dagster.tables.checks import CheckOutcome
from capacity_dagster.tables.lineage import committed_lineage
from capacity_dagster.versions import Publication

SHOWN_FILES = 50
SHOWN_DAYS = 400


def definition_metadata(table: Table) -> dict[str, Any]:
    """What is known of a table before it is built."""
    metadata: dict[str, Any] = {
        "dagster/table_name": table.full_name,
        "dagster/column_schema": column_schema(table),
        "dagster/code_references": dg.CodeReferencesMetadataValue(
            code_references=[
                dg.LocalFileCodeReference(file_path=str(table.path), line_number=1, label="query.sql"),
                dg.LocalFileCodeReference(
                    file_path=str(table.folder / "contract.yaml"), line_number=1, label="contract.yaml"
                ),
            ]
        ),
        "key": ", ".join(table.contract.key),
    }
    if table.contract.warnings:
        metadata["usage warnings"] = dg.MetadataValue.md("\n".join(f"- {each}" for each in table.contract.warnings))
    origins = committed_lineage().get(table.full_name)
    if origins:
        metadata["dagster/column_lineage"] = dg.TableColumnLineage(
            {
                column: [
                    dg.TableColumnDep(asset_key=dg.AssetKey(name.split(".")), column_name=origin)
                    for name, origin in found
                ]
                for column, found in origins.items()
                if found
            }
        )
    return metadata


def column_schema(table: Table) -> dg.TableSchema:
    """Columns with type, description, unit and whether they may be null or summed."""
    columns = []
    for name, meaning in table.columns.items():
        rules = table.contract.columns.get(name)
        tags = {"unit": _tag(meaning.unit), "additive": meaning.additive} if meaning.unit else {}
        columns.append(
            dg.TableColumn(
                name,
                meaning.type,
                description=meaning.description + (f" [{meaning.unit}]" if meaning.unit else ""),
                constraints=dg.TableColumnConstraints(
                    nullable=not (rules and rules.not_null), unique=table.contract.key == (name,)
                ),
                tags=tags,
            )
        )
    return dg.TableSchema(columns=columns)


def outcome_metadata(outcome: Outcome) -> dict[str, Any]:
    """What became of a table: counts, why, and a query to paste."""
    table = outcome.table
    metadata: dict[str, Any] = {
        "dagster/row_count": outcome.row_count,
        "why": "; ".join(outcome.reasons) or "nothing changed: left as it was",
        "query": dg.MetadataValue.md(f"```sql\n{_paste(table)}\n```"),
        "cpu_seconds": round(outcome.cpu_seconds, 3),
    }
    if outcome.days:
        metadata["days rebuilt"] = len(outcome.days)
        metadata["days"] = ", ".join(day.isoformat() for day in outcome.days[:SHOWN_DAYS])
    if outcome.deliveries:
        metadata["rows rejected"] = sum(load.rejected_rows for load in outcome.deliveries)
    return metadata


def delivery_metadata(outcome: Outcome) -> dict[str, Any]:
    """The delivered files with their fingerprints."""
    loads = outcome.deliveries
    return {
        "files": len(loads),
        "bytes": sum(load.delivery.size_bytes for load in loads),
        "problems": dg.MetadataValue.json(outcome.problems),
        "delivered": _table(
            [
                {
                    "file": load.delivery.path,
                    "sha256": load.delivery.content_sha256,
                    "collected at": str(load.delivery.collected_at or "not declared"),
                    "accepted": load.accepted_rows,
                    "rejected": load.rejected_rows,
                }
                for load in loads[:SHOWN_FILES]
            ]
        ),
    }


def arrival_metadata(changes: list[Change]) -> dict[str, Any]:
    """What happened to the delivered files of one kind since the last look."""
    counts = Counter(change.what for change in changes)
    return {
        "files": len(changes),
        "bytes": sum(change.size_bytes for change in changes if change.what != GONE),
        **{what: count for what, count in sorted(counts.items())},
        "arrived": _table(
            [
                {
                    "file": change.path,
                    "what": f"{change.what}, late" if change.is_late and change.what != LATE else change.what,
                    "day": change.day.isoformat() if change.day else "",
                    "bytes": change.size_bytes,
                    "note": change.note,
                }
                for change in changes[:SHOWN_FILES]
            ]
        ),
    }


def check_result(asset_key: dg.AssetKey, check: CheckOutcome) -> dg.AssetCheckResult:
    """A check's outcome, with its rules and sample rows."""
    metadata: dict[str, Any] = {"failed rows": check.failed_rows}
    if check.rules:
        metadata["rules"] = _table(check.rules)
    if check.sample:
        metadata["sample"] = _table(check.sample)
    return dg.AssetCheckResult(
        check_name=check.name,
        asset_key=asset_key,
        passed=check.has_passed,
        severity=dg.AssetCheckSeverity.ERROR if check.is_blocking else dg.AssetCheckSeverity.WARN,
        description=check.description,
        metadata=metadata,
    )


def quarantine_metadata(reasons: list[dict[str, Any]], has_changed: bool) -> dict[str, Any]:
    """Why records were rejected: all reasons as a table, each with a record; where they changed, also as a picture."""
    if not reasons:
        return {"rejected": "nothing"}
    told = [
        {
            "source": row["source"],
            "rule": row["reject_reason"],
            "records": row["records"],
            "accelerator-hours": round(row["accelerator_hours"], 3),
            "cost": None if row["record_cost"] is None else f"{row['currencies']} {row['record_cost']:,.2f}",
            "without a readable value": row["unvaluable"],
            "what was found": explained(row["reject_reason"]).found,
            "what mends it": explained(row["reject_reason"]).remedy,
            "sample": f"{row['source_file']}, line {row['source_line']}: {(row['record_text'] or '')[:300]}",
        }
        for row in reasons
    ]
    picture = {"top reasons": _inline(reasons_picture(reasons), "top reasons")} if has_changed else {}
    return {**picture, "rejected": _table(told)}


def data_docs_metadata(docs: DataDocs) -> dict[str, Any]:
    """Where the pages are, and what was written anew."""
    return {
        "index": dg.MetadataValue.path(str(docs.folder / INDEX)),
        "pages": len(docs.pages),
        "pages written": dg.MetadataValue.text(", ".join(docs.written) or "none: nothing on them changed"),
        "cpu_seconds": round(docs.cpu_seconds, 3),
    }


def publication_metadata(publication: Publication) -> dict[str, Any]:
    """What was published, and where."""
    manifest = publication.manifest
    return {
        "version": manifest["version"],
        "folder": dg.MetadataValue.path(str(publication.folder)),
        "why": "tables changed" if publication.is_new else "nothing changed: this version is current",
        "trust": manifest["trust"],
        **{name.removesuffix(".png"): _picture(publication.folder / "plots" / name) for name in manifest["plots"]},
        "as of": dg.MetadataValue.json(manifest["as_of"]),
        "tables": _table(
            [
                {"table": name, "rows": told["rows"], "files": len(told["files"]), "sha256": told["sha256"]}
                for name, told in manifest["tables"].items()
            ]
        ),
    }


def _picture(file: Path) -> dg.MetadataValue:
    return _inline(file.read_bytes(), file.stem)


def _inline(png: bytes, name: str) -> dg.MetadataValue:
    """A picture that the UI shows without asking for a file."""
    return dg.MetadataValue.md(f"![{name}](data:image/png;base64,{base64.b64encode(png).decode()})")


def _paste(table: Table) -> str:
    if table.is_published:
        return f"-- in published/current/capacity.duckdb\nselect * from {table.full_name} limit 100;"
    return f"-- in work/pipeline.duckdb, while no build runs\nselect * from {table.full_name} limit 100;"


def _table(rows: list[dict[str, Any]]) -> dg.MetadataValue:
    """Rows as a table; values that a user delivered are shown as text, nothing in them is interpreted."""
    names = list(dict.fromkeys(name for row in rows for name in row))
    records = [dg.TableRecord({name: _cell(row.get(name)) for name in names}) for row in rows]
    schema = dg.TableSchema(columns=[dg.TableColumn(name, "string") for name in names])
    return dg.MetadataValue.table(records, schema=schema)


def _cell(value: Any) -> str | int | float | bool | None:
    if value is None or isinstance(value, str | int | float | bool):
        return value
    return json.dumps(value, default=str)


def _tag(text: str) -> str:
    """A unit in the characters that a tag may have."""
    return "".join(character if character.isalnum() else "_" for character in text)[:63]
