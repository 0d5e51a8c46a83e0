"""The definitions as a reviewer sees them: a snapshot of the graph, and what every asset must have."""

import json
import subprocess
import sys
from collections.abc import Iterator

import dagster as dg
import pytest
from syrupy.assertion import SnapshotAssertion
from syrupy.extensions.json import JSONSnapshotExtension

from capacity_dagster.site_file import SITE_VARIABLE
from capacity_dagster.tables.catalogue import assets_folder, load_catalogue
from capacity_dagster.tables.lineage import column_lineage, render


@pytest.fixture(scope="module")
def definitions() -> Iterator[dg.Definitions]:
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv(SITE_VARIABLE, raising=False)
        from capacity_dagster.definitions import defs

        yield defs() if callable(defs) else defs


def test_graph_is_as_reviewed(definitions: dg.Definitions, snapshot: SnapshotAssertion) -> None:
    graph = {
        spec.key.to_user_string(): {
            "deps": sorted(dep.asset_key.to_user_string() for dep in spec.deps),
            "group": spec.group_name,
            "owners": list(spec.owners),
            "kinds": sorted(spec.kinds),
            "is_by_day": spec.partitions_def is not None,
            **({"is_expected_daily": True} if spec.freshness_policy else {}),
        }
        for spec in definitions.resolve_all_asset_specs()
    }
    for asset in definitions.assets or []:
        if isinstance(asset, dg.AssetsDefinition):
            for check in asset.check_specs:
                kept = graph[check.asset_key.to_user_string()]
                told = f"{check.name}{' (blocking)' if check.blocking else ''}"
                kept["checks"] = sorted([*kept.get("checks", []), told])
    jobs = sorted(job.name for job in definitions.resolve_all_job_defs() if not job.name.startswith("__"))
    sensors = sorted(sensor.name for sensor in definitions.sensors or [])
    assert {"assets": graph, "jobs": jobs, "sensors": sensors} == snapshot(extension_class=JSONSnapshotExtension)


def test_every_table_tells_what_a_row_is(definitions: dg.Definitions) -> None:
    for spec in definitions.resolve_all_asset_specs():
        assert spec.owners, spec.key
        assert spec.kinds, spec.key
        if spec.key.path[0] == "landing":
            continue
        assert (spec.description or "").startswith("One row per "), spec.key
        if spec.key.path[0] != "published":
            assert "dagster/column_schema" in spec.metadata, spec.key
            assert "dagster/code_references" in spec.metadata, spec.key


def test_committed_lineage_is_fresh() -> None:
    committed = (assets_folder() / "lineage.json").read_text(encoding="utf-8")
    assert json.loads(committed) == json.loads(render(load_catalogue())), "run `make docs`"


def test_lineage_leads_from_the_report_to_the_source() -> None:
    catalogue = load_catalogue()
    origins = column_lineage(catalogue, catalogue["report.fleet_efficiency_daily"])
    assert ("mart.capacity_ledger_hourly", "unit_seconds") in origins["allocated_hours"]
    assert ("raw.slurm_jobs", "started_at") in column_lineage(catalogue, catalogue["core.attempts"])["started_at"]


def test_loading_is_light() -> None:
    """The code location imports neither Great Expectations nor pandas: a step that needs them does."""
    code = (
        "import sys; from capacity_dagster.definitions import defs; defs() if callable(defs) else defs; "
        "print([name for name in ('great_expectations', 'pandas') if name in sys.modules])"
    )
    told = subprocess.run([sys.executable, "-W", "error::UserWarning", "-c", code], capture_output=True, text=True)
    assert told.returncode == 0, told.stderr
    assert told.stdout.strip() == "[]"
    assert told.stderr.strip() == ""


def test_no_layer_reads_a_later_one() -> None:
    order = {"site": 0, "landing": 0, "raw": 1, "core": 2, "mart": 3, "report": 4}
    for table in load_catalogue():
        for name in table.inputs:
            assert order[name.split(".")[0]] <= order[table.layer], f"{table.full_name} reads {name}"
