"""`capacity collect slurm`: what it asks each version of Slurm, what it lands, and what becomes of it when things fail.

The commands are stand-ins on the PATH (`tests/fakes/slurm.py`), which print what Slurm 22.05 was seen to print.
"""

import fcntl
import gzip
import json
import os
import re
import stat
import sys
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import dagster as dg
import pytest
from click.testing import CliRunner, Result

from capacity_dagster.cli import main
from capacity_dagster.errors import CollectionError
from capacity_dagster.site_file import SITE_VARIABLE, Site, load_site
from capacity_dagster.sources import collected_files, slurm_collector
from capacity_dagster.sources.slurm_collector import collect_slurm
from capacity_dagster.warehouse import Warehouse

FAKE = Path(__file__).parents[1] / "fakes" / "slurm.py"

# What `sacct --helpformat` lists (of what matters here) in 22.05, and in 24.11.
OLD_COLUMNS = [
    *("Account", "AllocCPUS", "AllocTRES", "Cluster", "DBIndex", "Elapsed", "ElapsedRaw", "Eligible", "End"),
    *("ExitCode", "Flags", "JobID", "JobIDRaw", "JobName", "NNodes", "NodeList", "Partition", "QOS", "Reason"),
    *("ReqTRES", "Reservation", "Reserved", "Start", "State", "Submit", "Suspended", "TimelimitRaw", "User"),
]
NEW_COLUMNS = [*OLD_COLUMNS, "FailedNode", "Planned", "Restarts", "SLUID"]

MIDNIGHT = int(datetime(2026, 11, 22, tzinfo=UTC).timestamp())
NOON = datetime(2026, 11, 22, 12, tzinfo=UTC)
LATER = datetime(2026, 11, 22, 13, tzinfo=UTC)


def job(number: int, start: int, end: int | None, state: str = "COMPLETED", **more: Any) -> dict[str, Any]:
    held = {"AllocTRES": "cpu=1,gres/gpu=2,node=1", "ReqTRES": "cpu=1,gres/gpu=2,node=1", "NodeList": "h1"}
    who = {"Cluster": "alpha", "Account": "ml", "User": "ann", "Partition": "main", "NNodes": 1, "AllocCPUS": 1}
    times = {"Submit": start - 60, "Eligible": start - 60, "Start": start, "End": end}
    return {"JobIDRaw": number, "JobID": number, "State": state, "JobName": "a | b", **who, **held, **times, **more}


class FakeSlurm:
    """Slurm's commands in a folder of their own, and what they will answer."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.state: dict[str, Any] = {
            "columns": OLD_COLUMNS,
            "array": False,
            "clusters": ["alpha", "gamma"],
            "private": "none",
            "level": "None",
            "jobs": [
                job(1, MIDNIGHT - 7200, MIDNIGHT - 3600),
                job(2, MIDNIGHT - 1800, MIDNIGHT + 1800),
                job(3, MIDNIGHT + 3600, None, "RUNNING"),
            ],
            "events": [[MIDNIGHT - 900, None, "h2", "DOWN"]],
            "nodes": ["h1", "h2"],
            "usage": {"2026-11-21 ml": 10_800},
            "failing": {},
        }
        folder.mkdir()
        for name in slurm_collector.COMMANDS:
            self.put(name)
        self.has()

    def put(self, name: str) -> None:
        command = self.folder / name
        command.write_text(f"#!{sys.executable} -IS\n{FAKE.read_text(encoding='utf-8')}", encoding="utf-8")
        command.chmod(command.stat().st_mode | stat.S_IXUSR)

    def has(self, **state: Any) -> None:
        self.state |= state
        (self.folder / "slurm.json").write_text(json.dumps(self.state), encoding="utf-8")

    @property
    def asked(self) -> str:
        return (self.folder / "asked.txt").read_text(encoding="utf-8")


@pytest.fixture
def slurm(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> FakeSlurm:
    fake = FakeSlurm(tmp_path / "bin")
    monkeypatch.setenv("PATH", f"{fake.folder}:/usr/bin:/bin")
    monkeypatch.setenv("SLURM_TIME_FORMAT", "standard")  # somebody's profile; it must not matter
    monkeypatch.setenv("TZ", "America/New_York")
    return fake


@pytest.fixture
def site(tmp_path: Path) -> Site:
    """The starter site, its cluster called alpha, with the commented entries of Slurm's kinds made active."""
    told = CliRunner().invoke(main, ["init", str(tmp_path / "site")])
    assert told.exit_code == 0, told.output
    file = tmp_path / "site" / "site.toml"
    text = re.sub(r"first_day = .*", "first_day = 2026-11-22", file.read_text(encoding="utf-8"))
    entries = re.split(r"(?<=\n)(?=# \[)", text.replace("my-cluster", "alpha"))
    uncommented = [
        re.sub(r"(?m)^# ", "", entry) if re.search(r'kind = "slurm_(?!queue|suspensions)', entry) else entry
        for entry in entries[1:]
    ]
    file.write_text("".join([entries[0], *uncommented]), encoding="utf-8")
    return load_site(file)


@pytest.fixture
def site_of_today(site: Site) -> Site:
    """The same, for what reads the clock: accounted for since today, so that there are no older days to ask for."""
    today = datetime.now(UTC).date()
    text = re.sub(r"first_day = .*", f"first_day = {today}", site.path.read_text(encoding="utf-8"))
    site.path.write_text(text, encoding="utf-8")
    return load_site(site.path)


def names(site: Site, kind: str = "", cluster: str = "alpha") -> list[str]:
    folder = site.landing / "slurm" / cluster
    return sorted(file.name for file in folder.iterdir() if file.name.startswith(kind)) if folder.is_dir() else []


def text(site: Site, kind: str) -> str:
    """The one file whose name begins so."""
    (name,) = names(site, kind)
    return (site.landing / "slurm" / "alpha" / name).read_text(encoding="utf-8")


def run(*arguments: str) -> Result:
    return CliRunner().invoke(main, ["collect", "slurm", *arguments])


def test_what_is_collected_builds(slurm: FakeSlurm, site: Site, build: Any, query: Any) -> None:
    collected = collect_slurm(site, ["alpha"], at=NOON)
    assert (collected.problems, collected.warnings) == ([], [])
    assert names(site, "jobs") == [f"jobs-2026-11-{day}-collected-20261122T120000Z.psv" for day in (21, 22)]
    outcomes = build(site)
    assert [problem for outcome in outcomes.values() for problem in outcome.problems] == []
    assert query(site, "select job_id, state, started_at is null from core.attempts order by 1") == [
        ("1", "COMPLETED", False),
        ("2", "COMPLETED", False),
        ("3", "RUNNING", False),
    ]
    assert query(site, "select as_of_at from core.clusters") == [(NOON.replace(tzinfo=None),)]
    # 2 accelerators each: job 2 since midnight for 1,800 s, job 3 from 01:00 until as_of.
    assert query(
        site,
        "select usage_date, sum(unit_seconds) / 84000 from mart.capacity_ledger_hourly where state = 'allocated' "
        "group by 1 order by 1",
    ) == [(date(2026, 11, 22), 2 * (1800 + 11 * 3600))]
    assert query(site, "select node, starts_at, node_state from core.node_events") == [
        ("h2", datetime(2026, 11, 21, 23, 45), "DOWN")
    ]
    assert query(site, "select sum(used_seconds) from raw.slurm_account_usage") == [(10_800,)]


@pytest.mark.case("P04")
@pytest.mark.case("P08")
@pytest.mark.parametrize(
    ("columns", "array", "expected"),
    [
        pytest.param(OLD_COLUMNS, False, [], id="22.05"),
        pytest.param(NEW_COLUMNS, True, ["Restarts", "FailedNode"], id="24.11"),
    ],
)
def test_each_version_is_asked_for_what_it_has(
    slurm: FakeSlurm, site: Site, columns: list[str], array: bool, expected: list[str]
) -> None:
    slurm.has(columns=columns, array=array)
    assert collect_slurm(site, ["alpha"], at=NOON).problems == []
    header = text(site, "jobs-2026-11-22").splitlines()[0].split("|")
    assert [name for name in header if name in ("Restarts", "FailedNode", "Planned")] == expected
    assert header[-1] == "JobName"
    lines = [line for line in slurm.asked.splitlines() if " -o Cluster" in line]
    assert len(lines) == 2
    for line in lines:
        assert line.startswith("TZ=UTC sacct -a -X -D -P --noconvert ")
        assert ("--array" in line) == array
    # Both ends, always; the day that is not over ends with the collection.
    windows = [re.search(r"-S (\S+) -E (\S+)", line).groups() for line in lines]
    assert windows == [
        ("2026-11-22T00:00:00", "2026-11-22T12:00:00"),
        ("2026-11-21T00:00:00", "2026-11-22T00:00:00"),
    ]
    assert "-T gres/gpu,gres/gpu:h100 cluster AccountUtilizationByUser" in slurm.asked
    assert "start=2026-11-22" not in "".join(line for line in slurm.asked.splitlines() if "sreport" in line)


def test_the_queue_is_landed_without_the_line_above_its_header(slurm: FakeSlurm, site: Site) -> None:
    collect_slurm(site, ["alpha"], at=NOON)
    collect_slurm(site, ["alpha"], at=LATER)
    assert names(site, "queue") == [f"queue-collected-20261122T{hour}0000Z.psv" for hour in (12, 13)]
    lines = (site.landing / "slurm" / "alpha" / names(site, "queue")[0]).read_text(encoding="utf-8").splitlines()
    assert [line.split("|")[0] for line in lines] == ["JOBID", "7_[1-3]"]


def test_a_later_collection_supersedes_what_differs_and_leaves_the_rest(
    slurm: FakeSlurm, site: Site, build: Any, query: Any
) -> None:
    collect_slurm(site, ["alpha"], at=NOON)
    build(site, "core.attempts")
    slurm.state["jobs"][2] |= {"End": MIDNIGHT + 7200, "State": "COMPLETED"}
    slurm.state["jobs"].append(job(4, MIDNIGHT - 80_000, MIDNIGHT - 79_000))  # known late
    slurm.has()
    collected = collect_slurm(site, ["alpha"], at=LATER)
    assert names(site, "account_usage") == ["account_usage-2026-11-21-collected-20261122T120000Z.psv"]  # says the same
    assert names(site, "jobs") == [
        "jobs-2026-11-21-collected-20261122T130000Z.psv",
        "jobs-2026-11-22-collected-20261122T130000Z.psv",
    ]
    assert "jobs-2026-11-22-collected-20261122T120000Z.psv" in [file.name for file in collected.superseded]
    build(site, "core.attempts")
    assert query(site, "select job_id, state from core.attempts order by 1") == [
        (number, "COMPLETED") for number in "1234"
    ]


def test_superseded_files_are_kept_on_request(slurm: FakeSlurm, site: Site) -> None:
    site.path.write_text(site.path.read_text(encoding="utf-8") + "\n[collect.slurm]\nkeep_superseded = true\n")
    collect_slurm(load_site(site.path), ["alpha"], at=NOON)
    collect_slurm(load_site(site.path), ["alpha"], at=LATER)
    assert len(names(site, "jobs-2026-11-22")) == 2


def test_what_slurm_has_purged_since_is_kept(slurm: FakeSlurm, site: Site) -> None:
    collect_slurm(site, ["alpha"], at=NOON)
    (fuller,) = names(site, "jobs-2026-11-21")
    file = site.landing / "slurm" / "alpha" / fuller
    file.with_name(f"{fuller}.gz").write_bytes(gzip.compress(file.read_bytes()))
    file.unlink()
    slurm.has(jobs=slurm.state["jobs"][1:])
    collect_slurm(site, ["alpha"], at=LATER)
    assert names(site, "jobs-2026-11-21") == [f"{fuller}.gz", fuller.replace("T12", "T13")]
    assert names(site, "jobs-2026-11-22") == ["jobs-2026-11-22-collected-20261122T130000Z.psv"]


def test_nothing_is_removed_while_a_build_runs(slurm: FakeSlurm, site: Site) -> None:
    collect_slurm(site, ["alpha"], at=NOON)
    with Warehouse(site).write("a test"):
        assert collect_slurm(site, ["alpha"], at=LATER).superseded == []
    assert len(names(site, "jobs-2026-11-22")) == 2
    assert collected_files.supersede(site, site.landing / "slurm" / "alpha", "alpha") != []
    assert len(names(site, "jobs-2026-11-22")) == 1
    with (site.work / "write.lock").open("a") as file:  # the lock was given back
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)


def test_a_window_trails_and_gaps_are_filled(slurm: FakeSlurm, site: Site) -> None:
    def asked_at(day: int, **window: Any) -> list[int]:
        (slurm.folder / "asked.txt").unlink(missing_ok=True)
        collect_slurm(site, ["alpha"], at=datetime(2026, 11, day, 9, tzinfo=UTC), **window)
        return [int(found) for found in re.findall(r"sacct .* -S 2026-11-(\d\d)", slurm.asked)]

    assert asked_at(22, days=0) == [22, 21]
    # Nothing was collected for a day. The 22nd is asked for again, as it was not over; the 21st is not.
    assert asked_at(24, days=0) == [24, 23, 22]
    assert asked_at(24, days=1) == [24, 23]
    assert asked_at(24, since=date(2026, 11, 20)) == [24, 23, 22, 21, 20]


@pytest.mark.parametrize(
    ("how", "expected"),
    [
        ("fails", ["ended with 1", "fatal: no database"]),
        ("killed", ["was ended by signal 9"]),
        ("half", ["stopped in the middle of a line"]),
        ("silent", ["printed nothing"]),
        ("other", ["printed 'slurmdbd says good morning' first"]),
    ],
)
def test_a_command_that_fails_leaves_the_files_before(
    slurm: FakeSlurm, site: Site, how: str, expected: list[str]
) -> None:
    before = "node_events-2026-11-22-collected-20261122T110000Z.psv"
    (site.landing / "slurm" / "alpha").mkdir(parents=True)
    (site.landing / "slurm" / "alpha" / before).write_text("as it was", encoding="utf-8")
    slurm.has(failing={"sacctmgr -P show event": how})
    collected = collect_slurm(site, ["alpha"], days=0, at=NOON)
    assert names(site, "node_events") == [before]
    assert text(site, "node_events") == "as it was"
    assert names(site, "jobs-2026-11-22") == ["jobs-2026-11-22-collected-20261122T120000Z.psv"]
    assert names(site, ".") == []
    first = collected.problems[0]
    assert first.startswith("cluster 'alpha': no new node_events of 2026-11-22: `")
    assert "sacctmgr -P show event clusters=alpha start=2026-11-22T00:00:00" in first
    for part in expected:
        assert part in first


def test_without_the_newest_jobs_nothing_says_that_records_speak_until_now(slurm: FakeSlurm, site: Site) -> None:
    slurm.has(failing={"-S 2026-11-22": "killed"})
    collected = collect_slurm(site, ["alpha"], at=NOON)
    assert names(site) == []
    assert "nothing was landed, because its newest jobs could not be" in collected.problems[-1]
    # After midnight, the rest of the day before is as new as the day that has begun.
    slurm.has(failing={})
    collect_slurm(site, ["alpha"], at=NOON)
    before = names(site)
    slurm.has(failing={"-S 2026-11-22": "fails"})
    collected = collect_slurm(site, ["alpha"], at=datetime(2026, 11, 23, 0, 5, tzinfo=UTC))
    assert names(site) == before
    assert "no new jobs of 2026-11-22" in collected.problems[0]


def test_a_day_that_failed_is_asked_for_the_next_time(slurm: FakeSlurm, site: Site) -> None:
    slurm.has(failing={"-S 2026-11-21": "fails"})
    assert len(collect_slurm(site, ["alpha"], days=0, at=NOON).problems) == 1
    assert names(site, "jobs-2026-11-21") == []
    slurm.has(failing={})
    assert collect_slurm(site, ["alpha"], days=0, at=LATER).problems == []
    assert names(site, "jobs-2026-11-21") == ["jobs-2026-11-21-collected-20261122T130000Z.psv"]


def test_a_command_that_hangs_is_stopped(slurm: FakeSlurm, site: Site) -> None:
    slurm.has(failing={"scontrol": "hangs"})
    site.path.write_text(site.path.read_text(encoding="utf-8") + "\n[collect.slurm]\ntimeout_seconds = 2\n")
    (problem,) = collect_slurm(load_site(site.path), ["alpha"], at=NOON).problems
    assert "`scontrol --all -M alpha show node` did not end within 2 seconds and was stopped" in problem
    assert names(site, ".") == []


def test_complaints_are_shown_and_cannot_steer_a_terminal(slurm: FakeSlurm, site: Site) -> None:
    slurm.has(failing={"scontrol": "complains"})
    collected = collect_slurm(site, ["alpha"], at=NOON)
    assert collected.problems == []
    assert collected.warnings == [
        "cluster 'alpha': `TZ=UTC scontrol --all -M alpha show node` says:\n  "
        "scontrol: warning: ·[31mthe clock is wrong"
    ]


def test_what_slurm_hides_is_told(slurm: FakeSlurm, site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    slurm.has(private="accounts,jobs")
    (warning,) = collect_slurm(site, ["alpha"], at=NOON).warnings
    assert warning.startswith("Slurm keeps accounts, jobs of others from ")
    slurm.has(level="Operator")
    assert collect_slurm(site, ["alpha"], at=LATER).warnings == []


def test_a_cluster_that_slurm_does_not_know_is_a_problem(slurm: FakeSlurm, site: Site) -> None:
    slurm.has(clusters=["gamma"])
    assert collect_slurm(site, ["alpha"], at=NOON).problems == [
        "cluster 'alpha': Slurm's accounting does not know it; expected one of 'gamma'"
    ]


@pytest.mark.parametrize("cluster", ["..", ".hidden", "-x"])
def test_a_cluster_whose_name_is_no_folder_is_refused(slurm: FakeSlurm, site: Site, cluster: str) -> None:
    slurm.has(clusters=[cluster])
    with pytest.raises(CollectionError, match="begins with a letter or a digit"):
        collect_slurm(site, [cluster], at=NOON)


def test_what_a_killed_collection_left_is_removed_a_day_later(slurm: FakeSlurm, site: Site) -> None:
    folder = site.landing / "slurm" / "alpha"
    folder.mkdir(parents=True)
    for name, seconds in ((".jobs-old.psv.1.part", 0), (".jobs-new.psv.2.part", None)):
        (folder / name).write_text("half a li", encoding="utf-8")
        if seconds is not None:
            os.utime(folder / name, (seconds, seconds))
    collect_slurm(site, ["alpha"], at=NOON)
    assert names(site, ".") == [".jobs-new.psv.2.part"]


def test_a_name_whose_time_is_none_is_no_collected_file(tmp_path: Path) -> None:
    (tmp_path / "qos-collected-20261399T000000Z.psv").write_text("by hand\n", encoding="utf-8")
    assert collected_files.landed(tmp_path) == {}


def test_command_line_tells_what_was_landed(slurm: FakeSlurm, site_of_today: Site) -> None:
    site = site_of_today
    told = run("--site", str(site.path), "--days", "1")
    assert told.exit_code == 0, told.output
    assert re.search(
        r"slurm/alpha/nodes-\d{4}-\d\d-\d\d-collected-\d{8}T\d{6}Z\.txt: 2 records, \d+ bytes", told.output
    )
    assert re.search(r"\d+ files landed, 0 as before", told.output)
    slurm.has(failing={"squeue": "fails"})
    told = run("--site", str(site.path), "--days", "1")
    assert told.exit_code == 1
    assert "no new queue: `" in told.output
    told = run("--site", str(site.path), "--cluster", "gamma")
    assert told.exit_code == 2
    assert "expected one of 'alpha'" in told.output


@pytest.mark.parametrize("failing", ["sacct --helpformat", "sacctmgr"])
def test_a_database_that_does_not_answer_ends_with_2(slurm: FakeSlurm, site: Site, failing: str) -> None:
    slurm.has(failing={failing: "fails"})
    told = run("--site", str(site.path))
    assert told.exit_code == 2
    assert f"`{failing}" in told.output
    assert "no database" in told.output
    assert names(site) == []


def test_absent_commands_say_what_to_install_and_how_to_do_without(
    slurm: FakeSlurm, site_of_today: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    site = site_of_today
    for name in slurm_collector.COMMANDS:
        (slurm.folder / name).unlink()
    monkeypatch.setenv("PATH", str(slurm.folder))
    told = run("--site", str(site.path))
    assert told.exit_code == 2
    for part in ("sacct, sacctmgr, scontrol, squeue, sreport", "slurm-client", "RHEL", "--print", "collecting.md"):
        assert part in told.output
    printed = run("--site", str(site.path), "--print", "--days", "1").output.splitlines()
    assert printed[0] == "mkdir -p landing/slurm/alpha"
    assert any("sacct -a -X -D -P --noconvert -M alpha -S " in line for line in printed)
    assert all("Restarts" not in line for line in printed)


def test_without_sreport_the_rest_is_collected(slurm: FakeSlurm, site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    (slurm.folder / "sreport").unlink()
    monkeypatch.setenv("PATH", str(slurm.folder))
    (problem,) = collect_slurm(site, ["alpha"], at=NOON).problems
    assert problem.startswith("not found on the PATH: sreport.")
    assert names(site, "account_usage") == []
    assert len(names(site, "jobs")) == 2


def test_printed_commands_land_the_same_files(slurm: FakeSlurm, site_of_today: Site, tmp_path: Path) -> None:
    site = site_of_today
    printed = run("--site", str(site.path), "--print", "--days", "1")
    assert printed.exit_code == 0
    assert names(site) == []
    script = tmp_path / "by_hand.sh"
    script.write_text(f"set -e\n{printed.output}", encoding="utf-8")
    assert os.system(f"sh {script}") == 0  # as somebody pastes it
    by_hand = {re.sub(r"-collected-.*", "", name): name for name in names(site)}
    files = {kind: (site.landing / "slurm" / "alpha" / name).read_bytes() for kind, name in by_hand.items()}
    for file in (site.landing / "slurm" / "alpha").iterdir():
        file.unlink()
    assert run("--site", str(site.path), "--days", "1").exit_code == 0
    collected = {re.sub(r"-collected-.*", "", name): name for name in names(site)}
    assert files == {kind: (site.landing / "slurm" / "alpha" / name).read_bytes() for kind, name in collected.items()}


def test_dagster_collects_the_same(
    slurm: FakeSlurm, site_of_today: Site, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    site = site_of_today
    from capacity_dagster.defs.collect import collect_slurm_job, hourly_collection

    monkeypatch.setenv(SITE_VARIABLE, str(site.path))
    monkeypatch.setenv("DAGSTER_HOME", str(tmp_path))
    assert hourly_collection.default_status is dg.DefaultScheduleStatus.STOPPED
    with dg.DagsterInstance.ephemeral() as instance:
        assert collect_slurm_job.execute_in_process(instance=instance).success
        event = instance.get_latest_materialization_event(dg.AssetKey(["landing", "slurm_jobs"]))
        assert event is not None
        assert event.asset_materialization is not None
        metadata = event.asset_materialization.metadata
        assert metadata["files"].value == len(names(site, "jobs"))
        assert "sacct -a -X -D" in str(metadata["command"].value)
        slurm.has(failing={"squeue": "fails"})
        failed = collect_slurm_job.execute_in_process(instance=instance, raise_on_error=False)
        assert not failed.success
        assert "no new queue: `" in str(failed.failure_data_for_node("collect_from_slurm"))


def test_build_does_not_collect() -> None:
    from capacity_dagster.definitions import defs

    definitions = defs() if callable(defs) else defs
    assert "collect_from_slurm" not in definitions.resolve_job_def("build").graph.node_dict
