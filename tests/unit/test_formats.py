"""Slurm's JSON and cells `Key=value` become the records that delimited text of the same facts would become.

Expectations are computed here from the JSON itself.
"""

import json
import re
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from capacity_dagster.errors import SourceError
from capacity_dagster.site_file import shipped_demo

T0 = 1_767_225_600  # 2026-01-01T00:00:00Z


def number(value: Any) -> int | None:
    """What {set, infinite, number}, a number or null means."""
    if isinstance(value, dict):
        return value["number"] if value["set"] and not value["infinite"] else None
    return value


def instant(value: Any) -> datetime | None:
    seconds = number(value)
    return datetime.fromtimestamp(seconds, UTC).replace(tzinfo=None) if seconds else None


def tres(entries: list[dict[str, Any]]) -> str | None:
    texts = [
        "/".join(filter(None, (each["type"], each["name"]))) + f"={each['count']}" + "M" * (each["type"] == "mem")
        for each in entries
        if each["count"] is not None and each["count"] >= 0
    ]
    return ",".join(sorted(texts)) or None


def shown_id(job: dict[str, Any]) -> str:
    array, het = job["array"], job["het"]
    if het["job_id"]:
        return f"{het['job_id']}+{number(het['job_offset'])}"
    if array["job_id"]:
        return f"{array['job_id']}_{number(array['task_id'])}"
    return str(job["job_id"])


def expected_of(job: dict[str, Any]) -> dict[str, Any]:
    """What a job of slurmdbd says, without the columns that its format does not carry."""
    current = job["state"]["current"]
    times = job["time"]
    counts = {each["type"]: each["count"] for each in job["tres"]["allocated"]}
    requested = {each["type"]: each["count"] for each in job["tres"]["requested"]}
    return {
        "cluster": job["cluster"],
        "job_id": str(job["job_id"]),
        "job_id_shown": shown_id(job),
        "is_step": False,
        "submitted_at": instant(times["submission"]),
        "eligible_at": instant(times["eligible"]),
        "started_at": instant(times["start"]),
        "ended_at": instant(times["end"]),
        "elapsed_seconds": times["elapsed"],
        "state": current if isinstance(current, str) else current[0],
        "partition_name": job["partition"],
        "qos": job["qos"],
        "account": job["account"],
        "user_name": job["user"],
        "nodes": job["allocation_nodes"] or requested["node"],
        "cpus": counts.get("cpu", job["required"]["CPUs"]),
        "requested_tres": tres(job["tres"]["requested"]),
        "allocated_tres": tres(job["tres"]["allocated"]),
        "timelimit_minutes": number(times["limit"]),
        "node_list": job["nodes"],
        "reason": None if job["state"]["reason"] == "None" else job["state"]["reason"],
        "flags": ",".join(job["flags"]) or None,
    }


def answer(*jobs: Any, **beside: Any) -> str:
    return json.dumps({"jobs": jobs, **beside})


def reasons(found) -> list[tuple[int, str]]:
    return [(each["source_line"], each["reject_reason"]) for each in found.rejected]


# slurmdbd.


@pytest.mark.parametrize("cluster", ["alpha", "beta"])
def test_sacct_json_is_read(read, cluster: str) -> None:
    content = (shipped_demo() / "landing" / cluster / "sacct_sample.json").read_bytes()
    expected = [expected_of(job) for job in json.loads(content)["jobs"]]
    found = read("slurm_jobs", content)
    assert found.rejected == []
    assert [{name: each[name] for name in expected[0]} for each in found.accepted] == expected
    assert [each["source_line"] for each in found.accepted] == list(range(1, len(expected) + 1))


def test_slurmrestd_answers_are_read(read, shared_data: Path) -> None:
    files = sorted((shared_data / "slurmrestd-json").glob("slurmdb-job-*.json"))
    assert len(files) == 15
    for file in files:
        content = file.read_bytes()
        expected = [expected_of(job) for job in json.loads(content)["jobs"]]
        found = read("slurm_jobs", content, clusters=("hpc",))
        assert found.rejected == []
        assert [{name: each[name] for name in expected[0]} for each in found.accepted] == expected, file.name


def dbd_job(**changed: Any) -> dict[str, Any]:
    return {
        "cluster": "alpha",
        "job_id": 7,
        "name": "train",
        "user": "amir",
        "nodes": "h1",
        "state": {"current": ["COMPLETED"], "reason": "None"},
        "time": {"submission": T0, "eligible": T0, "start": T0 + 60, "end": T0 + 3660, "elapsed": 3600},
        "tres": {
            "allocated": [
                {"type": "gres", "name": "gpu", "count": 2},
                {"type": "cpu", "name": "", "count": 4},
                {"type": "energy", "name": "", "count": None},
                {"type": "fs", "name": "disk", "count": -2},
            ],
            "requested": [],
        },
        "steps": [{"step": {"id": "7.batch"}, "tres": {"allocated": [{"type": "gres", "name": "gpu", "count": 2}]}}],
    } | changed


def test_steps_inside_a_job_are_no_records(read) -> None:
    (record,) = read("slurm_jobs", answer(dbd_job())).accepted
    assert (record["job_id"], record["allocated_tres"], record["is_step"]) == ("7", "cpu=4,gres/gpu=2", False)


@pytest.mark.parametrize(
    ("array", "het", "shown"),
    [
        ({"job_id": 0, "task_id": None, "task": None}, {"job_id": 0, "job_offset": None}, "7"),
        ({"job_id": 5, "task_id": 3, "task": None}, {}, "5_3"),
        ({"job_id": 5, "task_id": {"set": True, "infinite": False, "number": 0}, "task": ""}, {}, "5_0"),
        ({"job_id": 5, "task_id": {"set": False, "infinite": False, "number": 0}, "task": "0-4%2"}, {}, "5_[0-4%2]"),
        ({"job_id": 5, "task": "0x1F"}, {}, "5_[0-4]"),
        ({"job_id": 5, "task": "0x8000000000000000000000000000000D"}, {}, "5_[0,2-3,127]"),
        ({"job_id": 5, "task": "0xF0", "limits": {"max": {"running": {"tasks": 2}}}}, {}, "5_[4-7%2]"),
        ({"job_id": 5, "task": "0xZZ"}, {}, "5_[0xZZ]"),
        ({"job_id": 0}, {"job_id": 6, "job_offset": 1}, "6+1"),
        ({"job_id": 0}, {"job_id": 6, "job_offset": {"set": True, "infinite": False, "number": 0}}, "6+0"),
    ],
)
def test_array_tasks_and_het_components_are_shown_as_in_text(read, array: dict, het: dict, shown: str) -> None:
    (record,) = read("slurm_jobs", answer(dbd_job(array=array, het=het))).accepted
    assert (record["job_id"], record["job_id_shown"]) == ("7", shown)


@pytest.mark.parametrize(
    ("states", "state", "detail"),
    [
        ("CANCELLED", "CANCELLED", "CANCELLED by dora"),
        (["FAILED"], "FAILED", "FAILED"),
        (["RUNNING", "POWER_UP_NODE"], "RUNNING", "RUNNING"),
        (["PENDING", "REQUEUED"], "REQUEUED", "REQUEUED"),
        (["PENDING", "RESIZING"], "RESIZING", "RESIZING"),
        (["PENDING", "SPECIAL_EXIT"], "SPECIAL_EXIT", "SPECIAL_EXIT"),
        (["CANCELLED", "COMPLETING"], "CANCELLED", "CANCELLED by dora"),
        (["COMPLETING"], "COMPLETING", "COMPLETING"),
    ],
)
def test_a_state_may_come_with_flags(read, states: Any, state: str, detail: str) -> None:
    (record,) = read("slurm_jobs", answer(dbd_job(state={"current": states}, kill_request_user="dora"))).accepted
    assert (record["state"], record["state_detail"]) == (state, detail)


@pytest.mark.parametrize("never", [0, None, 4294967294, {"set": False, "infinite": False, "number": 0}])
def test_what_has_not_come_has_no_time(read, never: Any) -> None:
    time = {"submission": T0, "eligible": never, "start": never, "end": never, "limit": {"set": True, "infinite": True}}
    (record,) = read("slurm_jobs", answer(dbd_job(time=time, state={"current": "CANCELLED"}))).accepted
    names = ("eligible_at", "started_at", "ended_at", "timelimit_minutes")
    assert [record[name] for name in names] == [None] * 4


def test_numbers_may_be_written_as_text(read) -> None:
    job = json.loads(json.dumps(dbd_job(job_id="7")), parse_int=str)
    (record,) = read("slurm_jobs", answer(job)).accepted
    assert (record["job_id"], record["started_at"]) == ("7", datetime(2026, 1, 1, 0, 1))
    assert record["allocated_tres"] == "cpu=4,gres/gpu=2"


def test_names_are_read_as_from_text(read) -> None:
    jobs = [
        dbd_job(name=name) for name in ("a\rb", "a\r\nb", "a\x00b", "a\tb|c", "", None, "风 \U0001f600", "a\u2028b")
    ]
    found = read("slurm_jobs", answer(*jobs)).accepted
    assert [each["job_name"] for each in found] == [
        "a\N{SYMBOL FOR CARRIAGE RETURN}b",
        "a\nb",
        "a\N{SYMBOL FOR NULL}b",
        "a\tb|c",
        "",
        "",
        "风 \U0001f600",
        "a\u2028b",
    ]


def test_a_reservation_has_a_name_or_an_id_or_none(read) -> None:
    given = [{"id": 3, "name": "resv_a"}, {"id": 3, "name": 3}, {"id": 0, "name": ""}, {"id": 0, "name": 0}, None]
    found = read("slurm_jobs", answer(*(dbd_job(reservation=each) for each in given))).accepted
    assert [each["reservation_name"] for each in found] == ["resv_a", "#3", None, None, None]


# slurmctld.


def ctld_job(**changed: Any) -> dict[str, Any]:
    def set_to(value: int) -> dict[str, Any]:
        return {"set": True, "infinite": False, "number": value}

    return {
        "cluster": "alpha",
        "job_id": 500,
        "name": "wrap",
        "user_name": "chen",
        "account": "speech",
        "array_job_id": set_to(0),
        "array_task_id": {"set": False, "infinite": False, "number": 0},
        "array_task_string": "",
        "het_job_id": set_to(0),
        "het_job_offset": set_to(0),
        "job_state": ["COMPLETED"],
        "state_reason": "None",
        "submit_time": set_to(T0),
        "eligible_time": set_to(T0),
        "start_time": set_to(T0 + 60),
        "end_time": set_to(T0 + 120),
        "time_limit": set_to(1),
        "nodes": "h[1-2]",
        "node_count": set_to(2),
        "cpus": set_to(2),
        "resv_name": "",
        "gres_detail": [],
        "tres_req_str": "cpu=1,mem=512M,node=1,billing=1",
        "tres_alloc_str": "cpu=2,mem=1G,node=2,billing=2",
    } | changed


def test_a_job_of_slurmctld_is_read(read) -> None:
    (record,) = read("slurm_jobs", answer(ctld_job(resv_name="resv_a", job_state=["RUNNING"]))).accepted
    shown = ("job_id", "job_id_shown", "state", "user_name", "nodes", "cpus", "node_list", "reservation_name")
    assert [record[name] for name in shown] == ["500", "500", "RUNNING", "chen", 2, 2, "h[1-2]", "resv_a"]
    assert record["allocated_tres"] == "cpu=2,mem=1G,node=2,billing=2"
    assert (record["started_at"], record["timelimit_minutes"]) == (datetime(2026, 1, 1, 0, 1), 1)


@pytest.mark.case("P29")
@pytest.mark.parametrize(
    ("detail", "gres"),
    [
        (["gpu:h100:2(IDX:0-1)"], "gres/gpu:h100=2,gres/gpu=2"),
        (
            ["gpu:h100:2(IDX:0-1),gpu:h200:4(IDX:2-5)", "gpu:h100:1(IDX:0),gpu:h200:3(IDX:0,2,5)"],
            "gres/gpu:h100=3,gres/gpu:h200=7,gres/gpu=10",
        ),
        (["gpu:4(IDX:0-2,5)", "gpu:4(IDX:0-3)"], "gres/gpu=8"),
        (["gpu:nvidia_h200_nvl:1(IDX:0),license:3"], "gres/gpu:nvidia_h200_nvl=1,gres/gpu=1"),
        ("gpu:a100:2", "gres/gpu:a100=2,gres/gpu=2"),
    ],
)
def test_accelerators_that_are_not_accounted_come_from_gres_detail(read, detail: Any, gres: str) -> None:
    (record,) = read("slurm_jobs", answer(ctld_job(gres_detail=detail))).accepted
    assert record["allocated_tres"] == f"cpu=2,mem=1G,node=2,billing=2,{gres}"
    assert read("slurm_jobs", answer(ctld_job(gres_detail=detail, tres_alloc_str=""))).accepted[0][
        "allocated_tres"
    ] == gres  # fmt: skip


@pytest.mark.case("P29")
@pytest.mark.parametrize(
    ("used", "gres"), [("gpu:h100:2(IDX:0-1)", ",gres/gpu:h100=2,gres/gpu=2"), ("", ""), (None, "")]
)
def test_slurmdbd_may_say_what_was_used(read, used: str | None, gres: str) -> None:
    job = dbd_job(used_gres=used, tres={"allocated": [{"type": "cpu", "name": "", "count": 4}], "requested": []})
    assert read("slurm_jobs", answer(job)).accepted[0]["allocated_tres"] == f"cpu=4{gres}"


def test_accelerators_that_are_accounted_are_not_counted_again(read) -> None:
    job = ctld_job(gres_detail=["gpu:h100:8(IDX:0-7)"], tres_alloc_str="cpu=2,gres/gpu=4")
    assert read("slurm_jobs", answer(job)).accepted[0]["allocated_tres"] == "cpu=2,gres/gpu=4"


def test_slices_in_gres_detail_are_read_like_any(read) -> None:
    jobs = [ctld_job(gres_detail=[each]) for each in ("gpu:1g.10gb:1(IDX:0)", "shard:a100:3(1/4)", "mps:50(IDX:0)")]
    found = read("slurm_jobs", answer(*jobs)).accepted
    shares = [re.findall(r"gres/[^,]+", each["allocated_tres"]) for each in found]
    assert shares == [["gres/gpu:1g.10gb=1", "gres/gpu=1"], ["gres/shard:a100=3", "gres/shard=3"], ["gres/mps=50"]]


@pytest.mark.parametrize("state", ["RUNNING", "SUSPENDED", "CONFIGURING"])
def test_an_expected_end_is_no_end(read, state: str) -> None:
    (record,) = read("slurm_jobs", answer(ctld_job(job_state=[state]))).accepted
    assert (record["started_at"] is not None, record["ended_at"]) == (True, None)


def test_an_expected_start_is_no_start(read) -> None:
    (record,) = read("slurm_jobs", answer(ctld_job(job_state=["PENDING"], nodes="", tres_alloc_str=""))).accepted
    assert (record["started_at"], record["ended_at"], record["node_list"]) == (None, None, None)


def test_what_started_and_does_not_say_what_it_was_given_is_rejected(read) -> None:
    jobs = [
        dbd_job(tres=None),
        dbd_job(tres={"allocated": None}),
        dbd_job(tres={"allocated": "gres/gpu=8"}),
        ctld_job(tres_alloc_str=None),
        dbd_job(tres={"allocated": []}),
        dbd_job(tres=None, time={"submission": T0, "start": 0, "end": T0}),
        ctld_job(tres_alloc_str=None, job_state=["PENDING"], nodes=""),
    ]
    found = read("slurm_jobs", answer(*jobs))
    assert reasons(found) == [(position, "unreadable_tres") for position in (1, 2, 3, 4)]
    assert [each["allocated_tres"] for each in found.accepted] == [None] * 3


# Reservations.


def test_reservations_of_slurmctld_are_read(read, shared_data: Path) -> None:
    found = read("slurm_reservations", (shared_data / "slurmrestd-json" / "slurm-reservations.json").read_bytes())
    assert (found.accepted, found.rejected) == ([], [])
    given = {
        "reservations": [
            {
                "name": "new",
                "node_list": "h[1-4]",
                "start_time": {"set": True, "infinite": False, "number": T0},
                "end_time": {"set": True, "infinite": False, "number": T0 + 60},
                "flags": ["MAINT", "SPEC_NODES"],
                "tres": "cpu=64",
            },
            {"name": "old", "node_list": "h1", "start_time": T0, "end_time": T0 + 60, "flags": "", "tres": None},
            {"name": "endless", "start_time": T0, "end_time": {"set": True, "infinite": True, "number": 0}},
            {"start_time": T0, "end_time": T0},
            7,
        ]
    }
    found = read("slurm_reservations", json.dumps(given), cluster="alpha")
    columns = ("reservation_name", "node_list", "started_at", "ended_at", "flags", "reserved_tres", "reservation_id")
    begins, ends = datetime(2026, 1, 1), datetime(2026, 1, 1, 0, 1)
    assert [tuple(each[name] for name in columns) for each in found.accepted] == [
        ("new", "h[1-4]", begins, ends, "MAINT,SPEC_NODES", "cpu=64", None),
        ("old", "h1", begins, ends, None, None, None),
    ]
    assert reasons(found) == [(3, "unreadable_end"), (4, "no_name"), (5, "not_an_object")]


# Nothing delivered is trusted.


@pytest.mark.parametrize("kind", ["slurm_jobs", "slurm_nodes", "slurm_reservations"])
@pytest.mark.parametrize(
    ("content", "said"),
    [
        ('{"ARRAY": [', "is not JSON: Expecting value: line 1"),
        ('{"ARRAY": []', "is not JSON: Expecting ',' delimiter: line 1"),
        ('{"ARRAY": [{"a": 1,}]}', "is not JSON"),
        ('{"ARRAY": [1 2]}', "is not JSON: Expecting ',' delimiter"),
        ('{"ARRAY" []}', "is not JSON: Expecting ':' delimiter"),
        ("{7: []}", "is not JSON"),
        ('{"ARRAY": []}\n{"ARRAY": []}', "several documents in one file?"),
        ('{"ARRAY": []} rest', "is not JSON: Extra data"),
        ('{"ARRAY": {}}', "has no array 'ARRAY'; found the keys ARRAY"),
        ('{"meta": 1, "other": []}', "has no array 'ARRAY'; found the keys meta, other"),
        ("{}", "has no array 'ARRAY'; found '{}'"),
        ("[1]", "has no array 'ARRAY'; found '[1]'"),
        ("[1", "is not JSON"),
        ('{"ARRAY": ' + "[" * 100_000, "cannot be read as JSON"),
        ('{"ARRAY": [1' + "0" * 5000 + "]}", "cannot be read as JSON"),
        ('{"ARRAY": [], "errors": [{"error": "no such cluster"}]}', "no such cluster"),
        ('{"errors": [{"error": "no such cluster"}], "ARRAY": []}', "reports errors"),
    ],
)
def test_an_answer_that_cannot_be_read_says_why(read, kind: str, content: str, said: str) -> None:
    array = kind.removeprefix("slurm_")
    with pytest.raises(SourceError, match=r"^answer\.json: ") as raised:
        read(kind, content.replace("ARRAY", array), name="answer.json", cluster="alpha")
    assert said.replace("ARRAY", array) in str(raised.value)
    assert "expected one answer of `" in str(raised.value)


def test_snapshots_of_another_tool_are_no_answer(read, shared_data: Path) -> None:
    content = (shared_data / "fox" / "0+job-slurm.json").read_bytes()
    with pytest.raises(SourceError, match="several documents in one file") as raised:
        read("slurm_jobs", content, cluster="alpha")
    assert "expected one answer of `sacct --json`" in str(raised.value)
    with pytest.raises(SourceError, match="has no array 'jobs'; found the keys meta, data"):
        read("slurm_jobs", content.split(b"\n")[0], cluster="alpha")


def test_each_element_becomes_a_record_or_a_reject(read) -> None:
    text = (
        '{"jobs": [1, null, "x", [2], {}, {"job_id": null}, {"job_id": "7", "name": "\\ud800"}, '
        f"{json.dumps(dbd_job())}, {json.dumps(dbd_job(time=5))}, {json.dumps(dbd_job(state=5))}, "
        f'{json.dumps(dbd_job(tres=5))}, {json.dumps(dbd_job(cluster="gamma"))}, {{"job_id": NaN}}]}}'
    )
    found = read("slurm_jobs", text)
    assert [each["source_line"] for each in found.accepted] == [8]
    assert reasons(found) == [
        *((position, "not_an_object") for position in (1, 2, 3, 4)),
        (5, "no_job_id"),
        (6, "no_job_id"),
        (7, "not_an_object"),
        (9, "unreadable_submit"),
        (10, "unknown_state"),
        (11, "unreadable_tres"),
        (12, "undeclared_cluster"),
        (13, "no_job_id"),
    ]
    assert found.rejected[0]["record_text"] == "1"


def test_undecodable_bytes_and_a_byte_order_mark_lose_nothing(read) -> None:
    text = b"\xef\xbb\xbf" + answer(dbd_job(name="caf?")).encode().replace(b"?", b"\xe9")
    (record,) = read("slurm_jobs", text).accepted
    assert record["job_name"] == "caf\\xe9"


scalars = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8) | st.just("0") | st.just(T0)
inner_keys = [
    "set",
    "infinite",
    "number",
    "name",
    "type",
    "count",
    "allocated",
    "requested",
    "task",
    "task_id",
    "job_id",
]
inner_keys += [
    "current",
    "start",
    "end",
    "submission",
    "limits",
    "max",
    "running",
    "tasks",
    "signal",
    "id",
    "return_code",
]
values = st.recursive(
    scalars,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(inner_keys), inner, max_size=4),
    max_leaves=8,
)
keys = sorted({*dbd_job(), *ctld_job(), "array", "het", "reservation", "required", "used_gres", "exit_code", "flags"})


@settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(changes=st.lists(st.dictionaries(st.sampled_from(keys), values, max_size=6), max_size=20))
def test_whatever_stands_in_a_job_it_is_accepted_or_rejected(read, changes: list[dict[str, Any]]) -> None:
    jobs = [(dbd_job if position % 2 else ctld_job)(**change) for position, change in enumerate(changes)]
    found = read("slurm_jobs", answer(*jobs))
    assert sorted(each["source_line"] for each in (*found.accepted, *found.rejected)) == list(range(1, len(jobs) + 1))
    assert (found.load.accepted_rows, found.load.rejected_rows) == (len(found.accepted), len(found.rejected))


# Cells Key=value.

CELLS = (
    f"v=0.1.0,JobID=7,JobIDRaw=7,State=COMPLETED,Submit={T0},Start=2026-01-01T01:01:00+01:00,End={T0 + 3660},"
    'NodeList=h1,"AllocTRES=cpu=4,gres/gpu=2,node=1",JobName=train'
)


def test_cells_that_name_their_columns_are_read(read) -> None:
    text = (
        f"{CELLS}\n"
        f"JobIDRaw=7.batch,State=COMPLETED,Submit={T0},AllocTRES=cpu=4\n"
        f'JobIDRaw=8,State=PENDING,Submit={T0},Cluster=beta,"JobName=a ""b"", c=d"\n'
    )
    found = read("slurm_jobs", text, cluster="alpha")
    assert found.rejected == []
    columns = (
        "cluster",
        "job_id",
        "is_step",
        "started_at",
        "allocated_tres",
        "cpus",
        "nodes",
        "job_name",
        "source_line",
    )
    assert [tuple(each[name] for name in columns) for each in found.accepted] == [
        ("alpha", "7", False, datetime(2026, 1, 1, 0, 1), "cpu=4,gres/gpu=2,node=1", 4, 1, "train", 1),
        ("alpha", "7.batch", True, None, "cpu=4", 4, None, None, 2),
        ("beta", "8", False, None, None, None, None, 'a "b", c=d', 3),
    ]


def test_cells_may_have_line_breaks_aliases_and_other_line_ends(read) -> None:
    text = f'{CELLS},ElapsedRaw=3600,Elapsed=01:00:00,NCPUS=8,"Comment=two\nlines"\n{CELLS.replace("=7", "=8")}\n'
    for content in (text, text.replace("\n", "\r\n"), "\ufeff" + text):
        found = read("slurm_jobs", content, cluster="alpha")
        assert [(each["job_id"], each["source_line"], each["cpus"]) for each in found.accepted] == [
            ("7", 1, 8),
            ("8", 3, 4),
        ]
        assert (found.accepted[0]["elapsed_seconds"], found.rejected) == (3600, [])


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        (CELLS + ",loose", "not_key_value"),
        (CELLS + ",=nothing", "not_key_value"),
        (CELLS + ",State=FAILED", "repeated_key"),
        (CELLS.replace("JobIDRaw=7,", ""), "no_job_id"),
        (CELLS.replace("State=COMPLETED,", ""), "unknown_state"),
        (CELLS.replace("Submit=", "Submitted="), "unreadable_submit"),
    ],
)
def test_a_record_of_cells_that_cannot_be_understood_is_rejected(read, line: str, reason: str) -> None:
    assert reasons(read("slurm_jobs", f"{CELLS}\n{line}\n", cluster="alpha")) == [(2, reason)]


@pytest.mark.parametrize("end", [CELLS, CELLS[:60], CELLS[: CELLS.index("gres")], CELLS[: CELLS.index("State")]])
def test_a_last_record_without_a_line_break_may_be_cut_off(read, end: str) -> None:
    found = read("slurm_jobs", f"{CELLS}\n{end}", cluster="alpha")
    assert len(found.accepted) == 1
    assert reasons(found) == [(2, "truncated_record")]


def test_cells_need_a_cluster_and_whole_quoting(read) -> None:
    assert reasons(read("slurm_jobs", f"{CELLS}\n")) == [(1, "no_cluster")]
    with pytest.raises(SourceError, match=r"line 2 cannot be read .* expected comma-separated cells `Key=value`"):
        read("slurm_jobs", f'{CELLS}\n"JobIDRaw=8,State=FAILED\n{CELLS}\n', cluster="alpha")


def test_what_only_looks_like_cells_is_delimited_text(read) -> None:
    with pytest.raises(SourceError, match="line 1 has no column 'JobIDRaw'"):
        read("slurm_jobs", "Key=value,Other=value\n", cluster="alpha")
