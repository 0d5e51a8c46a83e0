"""The quarantine as people ask for it: rules are explained, records listed, and a terminal obeys nothing of them."""

import re
from collections.abc import Iterator
from pathlib import Path

import duckdb
import pytest

from capacity_dagster import quarantine
from capacity_dagster.errors import CapacityError
from capacity_dagster.site_file import Site, load_site
from capacity_dagster.tables.catalogue import assets_folder, load_catalogue
from capacity_dagster.warehouse import Warehouse

PACKAGE = Path(quarantine.__file__).parent
RULE = r"(?:no|un[a-z]+|implausible|wrong|truncated|repeated|not)_[a-z_]+|end_before_start|residual_above_price"

ROWS = """
('raw', 'slurm_jobs/a/1/5', 'slurm_jobs', 'a', 'end_before_start', false, 7200, null, null, 'j.psv', 4, 'a|1', null),
('raw', 'slurm_jobs/a/2/5', 'slurm_jobs', 'a', 'end_before_start', false, null, null, null, 'j.psv', 5, 'a|2', null),
('raw', 'slurm_jobs/a/3/5', 'slurm_jobs', 'a', 'unknown_state', true, 3600, null, null, 'j.psv', 6, 'a|3', 'k.psv'),
('raw', 'focus_charges/1', 'focus_charges', '', 'end_before_start', false, null, 12.5, 'USD', 'b.csv', 2, 'x', null),
('raw', 'focus_charges/2', 'focus_charges', '', 'end_before_start', false, null, 2.25, 'USD', 'b.csv', 3, 'y', null)
"""


@pytest.fixture
def site(tmp_path: Path) -> Site:
    (tmp_path / "site.toml").write_text(
        '[site]\nname = "q"\nfirst_day = 2026-01-01\n[clusters.a]\n[[sources]]\nkind = "slurm_jobs"\nfiles = "j"\n'
    )
    return load_site(tmp_path)


@pytest.fixture
def built(site: Site) -> Site:
    site.work.mkdir()
    with duckdb.connect(str(site.work / "pipeline.duckdb")) as connection:
        connection.execute("create schema core")
        connection.execute(load_catalogue()["core.rejected_records"].ddl("core.rejected_records"))
        connection.execute(
            "insert into core.rejected_records (rejected_in, rejected_id, source, cluster, reject_reason, is_released, "
            "rejected_seconds, record_cost, record_currency, source_file, source_line, record_text, released_by) "
            f"values {ROWS}"
        )
    return site


@pytest.fixture
def quarantined(built: Site) -> Iterator[duckdb.DuckDBPyConnection]:
    with quarantine.opened_quarantine(built) as connection:
        yield connection


def test_every_rule_is_explained() -> None:
    """Each text in the SQL and the code that reads deliveries which looks like a rule is one, and is explained."""
    files = [*(assets_folder() / "raw").rglob("*.sql"), assets_folder() / "core/share_placements/query.sql"]
    used = {
        rule
        for file in files
        for rule in re.findall(rf"(?:then|else) '({RULE})'", re.sub(r"--.*", "", file.read_text(encoding="utf-8")))
    }
    used |= {
        rule
        for file in (PACKAGE / f"sources/{name}.py" for name in ("delimited", "key_value", "answers"))
        for rule in re.findall(rf"\"({RULE})\"", file.read_text(encoding="utf-8"))
    }
    assert used == set(quarantine.explanations())


def test_reasons_sum_what_is_not_released(quarantined: duckdb.DuckDBPyConnection) -> None:
    jobs, charges = quarantine.rejected_reasons(quarantined)
    assert (jobs["source"], jobs["records"], jobs["accelerator_hours"], jobs["unvaluable"]) == ("slurm_jobs", 2, 2, 1)
    assert (charges["source"], charges["records"], str(charges["record_cost"])) == (
        "focus_charges",
        2,
        "14.750000000000",
    )
    assert quarantine.told_reason(jobs) == [
        "slurm_jobs end_before_start: 2 records, 2.0 accelerator-hours, 1 of them without a readable value",
        "    it ends before it starts; the tool's database has it so: correct it there (of a job, sacctmgr show "
        "runaway), then collect again",
        "    j.psv, line 4: a|1",
    ]
    assert quarantine.told_reason(charges)[0].endswith("2 records, 0.0 accelerator-hours, USD 14.75")


def test_records_are_chosen_by_source_and_rule(quarantined: duckdb.DuckDBPyConnection) -> None:
    def lines(*about: str | None, **more: bool) -> list[int]:
        return [row["source_line"] for row in quarantine.rejected_records(quarantined, *about, **more)]

    assert lines() == [4, 2, 3, 5]
    assert lines("slurm_jobs") == [4, 5]
    assert lines(None, "unknown_state") == []
    assert lines(None, "unknown_state", is_released=True) == [6]
    assert lines("'; drop table core.rejected_records; --") == []


def test_a_released_record_says_by_what(quarantined: duckdb.DuckDBPyConnection) -> None:
    (row,) = quarantine.rejected_records(quarantined, is_released=True)
    assert quarantine.told_record({**row, "usage_date": "2026-01-01"}) == [
        "slurm_jobs unknown_state of 2026-01-01: 1.0 accelerator-hours, released by k.psv",
        "    j.psv, line 6: a|3",
    ]


def test_a_terminal_obeys_nothing_that_was_delivered(quarantined: duckdb.DuckDBPyConnection) -> None:
    (row,) = quarantine.rejected_records(quarantined, most=1)
    told = quarantine.told_record({**row, "record_text": "a\x1b]0;owned\x07b\n\u202ec" + "x" * 200})[1]
    assert told.startswith(r"    j.psv, line 4: a\x1b]0;owned\x07b\n\u202ecxxx")
    assert told.endswith("x…")


def test_a_site_that_was_never_built_has_no_quarantine(site: Site) -> None:
    with pytest.raises(CapacityError, match="expected a site that was built"), quarantine.opened_quarantine(site):
        pass


def test_a_build_that_writes_is_told_of(built: Site) -> None:
    with (
        Warehouse(built).write("build 4f1c09d2"),
        pytest.raises(CapacityError, match="is written now by build 4f1c09d2"),
        quarantine.opened_quarantine(built),
    ):
        pass
