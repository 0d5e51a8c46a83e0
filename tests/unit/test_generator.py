"""The generated site: the same bytes for the same arguments, and what it promises of its records."""

from pathlib import Path

import duckdb
import numpy as np
import pytest

from capacity_dagster.demo.generated_fleet import CPU_LANE, generate_fleet
from capacity_dagster.demo.generator import generate_site, host_list
from capacity_dagster.errors import SiteFileError


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("generated")
    generate_site(folder, 20_000, 45, seed=3)
    return folder


def _bytes(folder: Path) -> dict[str, bytes]:
    return {str(file.relative_to(folder)): file.read_bytes() for file in sorted(folder.rglob("*")) if file.is_file()}


def test_same_arguments_same_bytes(site: Path, tmp_path: Path) -> None:
    generate_site(tmp_path / "again", 20_000, 45, seed=3)
    generate_site(tmp_path / "other", 20_000, 45, seed=4)
    assert _bytes(tmp_path / "again") == _bytes(site)
    assert _bytes(tmp_path / "other").keys() == _bytes(site).keys()
    assert _bytes(tmp_path / "other") != _bytes(site)


def test_a_site_is_never_written_over(site: Path) -> None:
    with pytest.raises(SiteFileError, match="exists already"):
        generate_site(site, 20_000, 45, seed=3)


def test_too_small_a_site_is_refused(tmp_path: Path) -> None:
    with pytest.raises(SiteFileError, match="at least 1,000 in 1 day"):
        generate_site(tmp_path / "small", 10, 1)


def test_no_accelerator_is_held_twice() -> None:
    fleet = generate_fleet(20_000, 45, seed=3)
    attempts = fleet.attempts
    changes: dict[str, list[tuple[int, int]]] = {}
    capacity: dict[str, int] = {node: block.accelerators for block in fleet.blocks for node in block.nodes}
    for index in np.flatnonzero(attempts.lane >= 0):
        lane = fleet.lanes[attempts.lane[index]]
        nodes = lane.nodes[: max(1, len(lane.nodes) // 2)] if attempts.is_resized[index] else lane.nodes
        ends_at = int(attempts.ended_at[index]) or fleet.as_of
        for node in nodes if lane.accelerators != CPU_LANE else ():
            held = min(lane.accelerators, lane.block.accelerators)
            changes.setdefault(node, []).extend([(int(attempts.started_at[index]), held), (ends_at, -held)])
    assert len(changes) > 20
    for node, edges in changes.items():
        held = 0
        for _, change in sorted(edges):  # what ends at an instant goes before what begins
            held += change
            assert held <= capacity[node], node


def test_attempts_are_as_many_as_asked_for_and_of_every_kind(site: Path) -> None:
    lines = [
        line.split("|")
        for file in sorted((site / "landing").rglob("jobs-*"))
        for line in file.read_bytes().decode().split("\n")[1:]
        if line.count("|") >= 11
    ]
    by_record = {line[1]: line for line in lines}  # the last file knows best
    assert len(by_record) == 20_000
    assert len(lines) > len(by_record)  # what ran at the end of a window comes again
    states = {line[10].split(" ")[0] for line in by_record.values()}
    assert {"COMPLETED", "RUNNING", "PENDING", "REQUEUED", "RESIZING", "NODE_FAIL", "BOGUS"} <= states
    lengths = sorted(int(line[8]) for line in by_record.values() if line[8].isdigit() and line[10] == "COMPLETED")
    assert lengths[len(lengths) * 99 // 100] > 20 * lengths[len(lengths) // 2]  # a heavy tail


def test_one_record_in_a_hundred_is_spoilt(site: Path) -> None:
    from capacity_dagster.building import check_landing
    from capacity_dagster.site_file import load_site

    loads, problems = check_landing(load_site(site), lambda _: None)
    jobs = [load for load in loads if load.delivery.kind == "slurm_jobs"]
    rejected = sum(load.rejected_rows for load in jobs)
    assert not problems
    assert 0.008 < rejected / sum(load.accepted_rows + load.rejected_rows for load in jobs) < 0.012
    reasons = {reason.split(" ")[-1] for load in jobs for reason in load.reasons.split(", ")}
    assert len(reasons) >= 7, reasons
    assert all(load.rejected_rows == 0 for load in loads if load.delivery.kind != "slurm_jobs")


@pytest.mark.parametrize(
    ("nodes", "expected"),
    [
        (("gpu07",), "gpu07"),
        (("gpu07", "gpu08", "gpu09"), "gpu[07-09]"),
        (("gpu0001", "gpu0003", "gpu0004"), "gpu[0001,0003-0004]"),
    ],
)
def test_host_lists(nodes: tuple[str, ...], expected: str) -> None:
    assert host_list(nodes) == expected


def test_rows_of_every_file_have_the_columns_of_its_header(site: Path) -> None:
    for file in sorted((site / "landing").rglob("*.psv")):
        if file.name.startswith("jobs"):
            continue  # job names hold anything
        header, *lines = file.read_text(encoding="utf-8").splitlines()
        assert all(line.count("|") >= header.count("|") for line in lines), file.name
    assert (
        duckdb.execute("select count(*) from read_csv(?)", [str(site / "landing" / "inventory.csv")]).fetchall()[0][0]
        > 20
    )
