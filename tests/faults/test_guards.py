"""What keeps a wrong record or a damaged file from being published, on the smallest site that shows it."""

from datetime import datetime
from pathlib import Path

import duckdb
import pytest
from fault_files import JOBS, job

from capacity_dagster.publish import from_the_future
from capacity_dagster.versions import CURRENT, MANIFEST, current
from capacity_dagster.warehouse import Warehouse, remedy

TOML = """
[site]
name = "faults"
first_day = 2026-01-01

[clusters.alpha]

[[sources]]
kind = "slurm_jobs"
files = "jobs.psv"
"""


def test_nothing_is_published_that_speaks_of_the_far_future(make_site, build) -> None:
    content = f"{JOBS}\n{job(1)}\n{job(2, End='2151-01-01T00:00:00Z')}\n"
    site = make_site(TOML, {"jobs.psv": content})
    build(site, "core.clusters")
    warehouse = Warehouse(site)
    with warehouse.write("a test"):
        (told,) = from_the_future(warehouse, datetime(2026, 2, 1))
        assert told.startswith("core.clusters: 'alpha' speaks until 2151-01-01T00:00:00Z (newest record)")
        assert "this machine's clock says 2026-02-01; expected a time that has come" in told
        assert from_the_future(warehouse, datetime(2142, 6, 1)) == []


@pytest.mark.parametrize("manifest", ["[1, 2]", '"x"', "{}", '{"version": 1', "", "null"])
def test_a_manifest_that_is_none_is_no_publication(tmp_path: Path, manifest: str) -> None:
    (tmp_path / "versions/000001").mkdir(parents=True)
    (tmp_path / "versions/000001" / MANIFEST).write_text(manifest, encoding="utf-8")
    (tmp_path / CURRENT).symlink_to("versions/000001")
    assert current(tmp_path) is None


@pytest.mark.parametrize("target", ["gone", CURRENT])
def test_a_link_that_leads_nowhere_is_no_publication(tmp_path: Path, target: str) -> None:
    (tmp_path / CURRENT).symlink_to(target)
    assert current(tmp_path) is None


@pytest.mark.parametrize("content", [b"", b"x" * 9000, b"DUCK"])
def test_a_damaged_database_says_what_to_do(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "x.duckdb").write_bytes(content)
    with pytest.raises(duckdb.Error) as raised, duckdb.connect() as connection:
        connection.execute(f"attach '{tmp_path}/x.duckdb' as x")
    told = remedy(tmp_path, raised.value)
    assert told is not None
    assert told.startswith(f"{tmp_path}: has a damaged file (")
    assert "Delete this folder: the next build makes it anew from the landing" in told


def test_an_error_of_our_sql_has_no_remedy_of_that_kind(tmp_path: Path) -> None:
    with pytest.raises(duckdb.Error) as raised, duckdb.connect() as connection:
        connection.execute("select nothing from nowhere")
    assert remedy(tmp_path, raised.value) is None
