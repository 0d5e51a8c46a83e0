"""The same facts through two formats give the same published tables."""

import csv
import io
import json
import re
import shutil
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import pytest

from capacity_dagster.site_file import Site, load_site, shipped_demo

LANDING = shipped_demo() / "landing"
CLUSTERS = ("alpha", "beta")
Key = tuple[str, str]


def text_records(cluster: str) -> tuple[str, dict[Key, tuple[dict[str, str], list[str]]]]:
    """The header of jobs.psv, and each record with its physical lines, by raw job id and submit time."""
    header, *lines = (LANDING / cluster / "jobs.psv").read_bytes().decode().rstrip("\n").split("\n")
    names = header.split("|")
    found: dict[Key, tuple[dict[str, str], list[str]]] = {}
    kept: list[str] = []
    for line in lines:
        if line.count("|") >= len(names) - 1:
            record = dict(zip(names, line.split("|", len(names) - 1), strict=True))
            kept = [line]
            found[record["JobIDRaw"], record["Submit"]] = (record, kept)
        else:
            kept.append(line)
    return header, found


def json_records(cluster: str) -> dict[Key, dict]:
    jobs = json.loads((LANDING / cluster / "sacct_sample.json").read_text())["jobs"]
    return {(str(job["job_id"]), str(job["time"]["submission"])): job for job in jobs}


def same_facts(record: dict[str, str], job: dict) -> bool:
    """Whether a job had not gone on between the two exports: the sample is some minutes older."""
    return (
        record["State"].split()[0] == job["state"]["current"]
        and record["Start"] == str(job["time"]["start"] or {"None": "None"}.get(record["Start"], "Unknown"))
        and record["End"] == str(job["time"]["end"] or "Unknown")
    )


@pytest.fixture
def demo_with(tmp_path: Path) -> Callable[[str, dict[str, str]], Site]:
    """demo_with(name, jobs): the demonstration site with other jobs by cluster, in files of that name."""

    def make(name: str, jobs: dict[str, str]) -> Site:
        folder = tmp_path / name
        shutil.copytree(shipped_demo(), folder, copy_function=shutil.copyfile)
        for path in (folder, *folder.rglob("*")):
            path.chmod(0o755 if path.is_dir() else 0o644)
        for cluster, text in jobs.items():
            (folder / "landing" / cluster / "jobs.psv").unlink()
            (folder / "landing" / cluster / name).write_bytes(text.encode())
        toml = (folder / "site.toml").read_text(encoding="utf-8")
        (folder / "site.toml").write_text(toml.replace("*/jobs.psv", f"*/{name}"), encoding="utf-8")
        return load_site(folder)

    return make


def test_text_and_json_of_the_same_records_publish_the_same_tables(demo_with, build, query, content_of) -> None:
    texts, answers = {}, {}
    gone_on: list[Key] = []
    for cluster in CLUSTERS:
        header, records = text_records(cluster)
        jobs = json_records(cluster)
        equal = [key for key in jobs if same_facts(records[key][0], jobs[key])]
        gone_on += [key for key in jobs if key not in equal]
        texts[cluster] = "\n".join([header, *(line for key in equal for line in records[key][1])]) + "\n"
        answers[cluster] = json.dumps({"meta": {}, "errors": [], "jobs": [jobs[key] for key in equal]})
        assert len(equal) >= 6
    # What is left out ran on between the two exports, and only that.
    assert len(gone_on) == 6
    from_text, from_json = demo_with("jobs-text.psv", texts), demo_with("jobs-answer.json", answers)
    build(from_text)
    build(from_json)
    published = content_of(from_text)
    assert content_of(from_json) == published
    assert int(published["mart.attempts"].split()[0]) == 66 + 7 - 6

    # Both at once: each record is there twice, and counts once.
    for cluster, text in texts.items():
        (from_json.landing / cluster / "jobs-text.psv").write_bytes(text.encode())
    toml = from_json.path.read_text(encoding="utf-8")
    from_json.path.write_text(toml.replace("*/jobs-answer.json", "*/jobs-*"), encoding="utf-8")
    both = load_site(from_json.folder)
    build(both)
    assert content_of(both) == published
    assert query(
        both,
        "select sum(rows_accepted), sum(rows_superseded) from report.data_trust_daily where source = 'slurm_jobs'",
    ) == [(67, 67)]


def test_what_each_format_does_not_carry_is_in_no_published_table(demo_with, build, query) -> None:
    """The columns that docs/sources/slurm_jobs.md lists as differing, and no others, differ in raw."""
    texts, answers = {}, {}
    for cluster in CLUSTERS:
        header, records = text_records(cluster)
        jobs = {key: job for key, job in json_records(cluster).items() if same_facts(records[key][0], job)}
        texts[cluster] = "\n".join([header, *(line for key in jobs for line in records[key][1])]) + "\n"
        answers[cluster] = json.dumps({"jobs": list(jobs.values())})
    rows = []
    for name, jobs_by_cluster in (("jobs-text.psv", texts), ("jobs-answer.json", answers)):
        site = demo_with(name, jobs_by_cluster)
        build(site, "raw.slurm_jobs")
        columns = [row[0] for row in query(site, "select column_name from (describe raw.slurm_jobs)")]
        found = query(site, "select * from raw.slurm_jobs order by cluster, job_id, submitted_at")
        rows.append([dict(zip(columns, row, strict=True)) for row in found])
    differing = {
        column for text, answer in zip(*rows, strict=True) for column in text if text[column] != answer[column]
    }
    assert differing - {"load_id", "source_line", "source_file", "content_sha256"} == {
        "db_index",
        "state_detail",
        "exit_code",
        "flags",
        "elapsed_seconds",
    }


def test_text_and_cells_of_the_same_records_publish_the_same_tables(
    demo_with, build, content_of, built_demo: Site
) -> None:
    cells = {}
    for cluster in CLUSTERS:
        written = io.StringIO()
        writer = csv.writer(written, lineterminator="\n")
        for record, lines in text_records(cluster)[1].values():
            record["JobName"] = "\n".join([record["JobName"], *lines[1:]])
            writer.writerow(f"{name}={value}" for name, value in record.items() if value)
        cells[cluster] = written.getvalue()
    site = demo_with("jobs-cells.csv", cells)
    build(site)
    assert content_of(site) == content_of(built_demo)


def test_reservations_of_both_daemons_publish_the_same_tables(demo_with, build, content_of, built_demo: Site) -> None:
    site = demo_with("jobs.psv", {})
    toml = site.path.read_text(encoding="utf-8")
    source = re.search(r'\[\[sources\]\]\nkind = "slurm_reservations"\n[^\[]*', toml)
    assert source
    sources = ""
    for cluster in CLUSTERS:
        header, *lines = (LANDING / cluster / "reservations.psv").read_text(encoding="utf-8").splitlines()
        rows = [dict(zip(header.split("|"), line.split("|"), strict=True)) for line in lines]
        reservations = [
            {
                "name": row["Name"],
                "node_list": row.get("NodeNames") or row.get("NodeName") or row.get("Nodes"),
                "start_time": {"set": True, "infinite": False, "number": utc(row.get("TimeStart") or row["Start"])},
                "end_time": utc(row.get("TimeEnd") or row["End"]),
                "flags": row["Flags"].split(","),
                "tres": row["TRES"],
            }
            for row in rows
        ]
        (site.landing / cluster / "reservations.json").write_text(json.dumps({"reservations": reservations}))
        sources += f'[[sources]]\nkind = "slurm_reservations"\ncluster = "{cluster}"\n'
        sources += f'files = "{cluster}/reservations.json"\n\n'
    site.path.write_text(toml.replace(source[0], sources), encoding="utf-8")
    site = load_site(site.folder)
    build(site)
    assert content_of(site) == content_of(built_demo)


def utc(text: str) -> int:
    return int(datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp())


HPC = """
[site]
name = "hpc"
first_day = 2025-11-10

[clusters.hpc]

[[sources]]
kind = "slurm_jobs"
files = "job*.json"

[[sources]]
kind = "slurm_nodes"
cluster = "hpc"
files = "slurm-nodes.json"

[[sources]]
kind = "inventory"
files = "inventory.csv"
"""
INVENTORY = """cluster,node,pool,accelerator_model,accelerators,in_service_at,retired_at
hpc,gpu1,p,h100,4,2025-11-01T00:00:00Z,
hpc,gpu2,p,h100,4,2025-11-01T00:00:00Z,
"""
CHECK = "accelerators_are_accounted"


def checks_of(outcomes: dict) -> dict[str, bool]:
    return {each.name: each.has_passed for each in outcomes["core.node_gres"].checks}


@pytest.mark.case("P29")
def test_accelerators_that_the_accounting_does_not_track_are_not_published_as_idle(
    make_site, build, query, shared_data: Path
) -> None:
    folder = shared_data / "slurmrestd-json"
    files = {"inventory.csv": INVENTORY, "slurm-nodes.json": (folder / "slurm-nodes.json").read_bytes()}
    for file in folder.glob("slurmdb-job-*.json"):
        files[file.name.removeprefix("slurmdb-")] = file.read_bytes()
    site = make_site(HPC, files, folder="accounting")
    assert not checks_of(build(site, "core.node_gres"))[CHECK]
    assert query(
        site,
        "select node, accelerator_model, share_count from core.node_gres where not is_accounted order by all",
    ) == [("gpu1", "h100", 4), ("gpu2", "h100", 4), ("gpu3", "unknown", 4), ("gpu4", "unknown", 4)]

    # slurmctld says what a job has on each node: then it is known what was held.
    job = {
        "cluster": "hpc",
        "job_id": 5679,
        "job_state": ["COMPLETED"],
        "submit_time": 1762788040,
        "start_time": 1762788040,
        "end_time": 1762788100,
        "nodes": "gpu[1-2]",
        "tres_alloc_str": "cpu=2,mem=1G,node=2,billing=2",
        "gres_detail": ["gpu:h100:4(IDX:0-3)", "gpu:h100:4(IDX:0-3)"],
    }
    known = make_site(HPC, {**files, "job-5679.json": json.dumps({"jobs": [job]})}, folder="details")
    assert checks_of(build(known, "core.node_gres"))[CHECK]
