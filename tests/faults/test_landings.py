"""Whatever lies in a landing is told or no matter; nothing waits for ever, and no file is left out silently."""

import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest
from fault_files import JOBS, job
from landing_faults import GOOD, LANDINGS, LandingFault

from capacity_dagster.errors import SourceError, WorkError
from capacity_dagster.site_file import Site
from capacity_dagster.sources.landing import scan
from capacity_dagster.sources.reader import Reader

NOBODY = 65534
TOML = """
[site]
name = "faults"
first_day = 2026-01-01

[clusters.alpha]

[[sources]]
kind = "slurm_jobs"
files = "*/jobs*.psv"
"""


@pytest.fixture(autouse=True)
def no_endless_wait() -> Iterator[None]:
    signal.alarm(30)
    yield
    signal.alarm(0)


def scanned(site: Site, as_nobody: bool) -> tuple[list[str], str]:
    """The files that are found, and what is said instead; by this user, or by one without rights."""
    if as_nobody:
        for folder in (site.folder, *site.folder.parents):
            if folder.owner() == Path.home().owner() and folder != Path("/"):
                folder.chmod(folder.stat().st_mode | 0o011)
        (site.folder / "work").mkdir(exist_ok=True)
        (site.folder / "work").chmod(0o777)
        os.seteuid(NOBODY)
    try:
        return [delivery.path for delivery in scan(site)], ""
    except SourceError as error:
        return [], str(error)
    finally:
        if as_nobody:
            os.seteuid(0)


@pytest.mark.parametrize("fault", [pytest.param(each, id=each.id) for each in LANDINGS])
def test_what_is_wrong_in_a_landing_is_told(make_site, fault: LandingFault) -> None:
    if fault.needs_root and os.geteuid() != 0:
        pytest.skip("only root can make it, and lay down its rights")
    site = make_site(TOML, {"a/jobs.psv": GOOD})
    fault.spoil(site.landing)
    found, said = scanned(site, fault.as_nobody)
    if fault.said is None:
        assert said == ""
        assert sorted(found) == sorted(fault.found)
        return
    assert fault.said in said
    assert "expected" in said


def test_a_file_that_vanishes_after_it_was_found_is_told(make_site, catalogue, reading) -> None:
    site = make_site(TOML, {"a/jobs.psv": GOOD})
    (delivery,) = scan(site)
    delivery.file.unlink()
    with pytest.raises(SourceError, match=r"^a/jobs\.psv: changed while it was read; expected a whole file"):
        Reader(site, catalogue["raw.slurm_jobs"]).read(reading, delivery)


def test_the_same_content_twice_is_read_once_and_stands_for_both(make_site, catalogue, reading) -> None:
    site = make_site(TOML, {"a/jobs.psv": GOOD, "b/jobs.psv": GOOD})
    reader = Reader(site, catalogue["raw.slurm_jobs"])
    one, other = (reader.read(reading, delivery) for delivery in scan(site))
    assert (one.records, one.accepted_rows) == (other.records, other.accepted_rows)
    assert one.delivery.path != other.delivery.path


@pytest.mark.parametrize("damage", ["cut", "empty", "gone"])
def test_what_was_read_is_read_again_where_it_is_damaged(make_site, catalogue, reading, damage: str) -> None:
    site = make_site(TOML, {"a/jobs.psv": f"{JOBS}\n{job(1)}\n{job(2, State='MELTED')}\n"})
    reader = Reader(site, catalogue["raw.slurm_jobs"])
    (delivery,) = scan(site)
    before = reader.read(reading, delivery)
    whole = before.records.read_bytes()
    if damage == "gone":
        before.records.unlink()
    else:
        before.records.write_bytes(whole[:300] if damage == "cut" else b"")
    assert reader.read(reading, delivery) == before
    assert len(before.records.read_bytes()) == len(whole)


def test_what_a_killed_build_left_half_written_is_no_matter(make_site, catalogue, reading) -> None:
    site = make_site(TOML, {"a/jobs.psv": GOOD})
    reader = Reader(site, catalogue["raw.slurm_jobs"])
    (delivery,) = scan(site)
    records = site.records_file("slurm_jobs", reader.load_id(delivery))
    records.parent.mkdir(parents=True)
    records.with_name(f"{records.name}.123.tmp").write_bytes(b"PAR1half")
    assert reader.read(reading, delivery).accepted_rows == 1


def test_a_work_folder_that_is_no_folder_is_told(make_site, catalogue, reading) -> None:
    site = make_site(TOML, {"a/jobs.psv": GOOD})
    (delivery,) = scan(site)
    (site.work / "raw").write_text("a file in its place", encoding="utf-8")
    with pytest.raises(WorkError, match=r"work: cannot be used to read slurm_jobs .*expected a folder"):
        Reader(site, catalogue["raw.slurm_jobs"]).read(reading, delivery)
