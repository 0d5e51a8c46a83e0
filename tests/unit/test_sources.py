"""Delivered files become typed records, and what cannot be understood is kept with its reason and what it is worth."""

import gzip
import io
import json
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import zstandard
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from capacity_dagster.errors import SourceError
from capacity_dagster.site_file import shipped_demo
from capacity_dagster.site_sections import SourceKind
from capacity_dagster.sources.bytes import probe
from capacity_dagster.sources.delimited import create_lines

COLUMNS = (
    "Cluster|DBIndex|JobIDRaw|JobID|Submit|Eligible|Start|End|ElapsedRaw|State|ExitCode|Partition|QOS|Account|User"
    "|Reservation|NNodes|AllocCPUS|ReqTRES|AllocTRES|TimelimitRaw|NodeList|Reason|Flags|JobName"
)
T0 = 1_767_225_600  # 2026-01-01T00:00:00Z


def job(job_id: int | str = 7, **changed: str | int) -> str:
    """A record of a job that held two GPUs for an hour, with some columns changed."""
    values = dict.fromkeys(COLUMNS.split("|"), "") | {
        "Cluster": "alpha",
        "DBIndex": "1",
        "JobIDRaw": str(job_id),
        "JobID": str(job_id),
        "Submit": str(T0),
        "Eligible": str(T0),
        "Start": str(T0 + 60),
        "End": str(T0 + 3660),
        "ElapsedRaw": "3600",
        "State": "COMPLETED",
        "NNodes": "1",
        "AllocCPUS": "4",
        "AllocTRES": "cpu=4,gres/gpu=2,node=1",
        "NodeList": "h1",
        "JobName": "train",
    }
    assert changed.keys() <= values.keys()
    return "|".join(str(value) for value in (values | changed).values())


def file_of(*records: str, columns: str = COLUMNS) -> str:
    return "\n".join([columns, *records]) + "\n"


def reasons(found) -> list[tuple[int, str]]:
    return [(each["source_line"], each["reject_reason"]) for each in found.rejected]


def names(found) -> list[str]:
    return [each["job_name"] for each in found.accepted]


# Columns and delimiters.


def test_a_record_is_typed(read) -> None:
    found = read("slurm_jobs", file_of(job(7, Eligible=T0 + 5, State="CANCELLED by 1234")))
    (record,) = found.accepted
    assert found.rejected == []
    assert {name: record[name] for name in record if name != "load_id"} == {
        "cluster": "alpha",
        "job_id": "7",
        "job_id_shown": "7",
        "db_index": 1,
        "is_step": False,
        "submitted_at": datetime(2026, 1, 1),
        "eligible_at": datetime(2026, 1, 1, 0, 0, 5),
        "started_at": datetime(2026, 1, 1, 0, 1),
        "ended_at": datetime(2026, 1, 1, 1, 1),
        "elapsed_seconds": 3600,
        "has_ambiguous_time": False,
        "state": "CANCELLED",
        "state_detail": "CANCELLED by 1234",
        "exit_code": None,
        "partition_name": None,
        "qos": None,
        "account": None,
        "user_name": None,
        "reservation_name": None,
        "nodes": 1,
        "cpus": 4,
        "requested_tres": None,
        "allocated_tres": "cpu=4,gres/gpu=2,node=1",
        "timelimit_minutes": None,
        "node_list": "h1",
        "reason": None,
        "flags": None,
        "job_name": "train",
        "source_line": 2,
    }


def test_columns_may_come_in_any_order_case_and_number(read) -> None:
    text = f"state|END|start|Submit|jobidraw|Unheard|AllocTRES|NodeList\nFAILED|{T0 + 9}|{T0 + 1}|{T0}|5|x|cpu=1|h1\n"
    (record,) = read("slurm_jobs", text, cluster="beta").accepted
    assert (record["cluster"], record["job_id"], record["state"]) == ("beta", "5", "FAILED")
    assert record["ended_at"] == datetime(2026, 1, 1, 0, 0, 9)


def test_columns_may_come_from_the_site_file(read) -> None:
    found = read("slurm_jobs", job(1) + "\n" + job(2) + "\n", columns=COLUMNS.split("|"))
    assert [(each["job_id"], each["source_line"]) for each in found.accepted] == [("1", 1), ("2", 2)]


@pytest.mark.parametrize("delimiter", ["|", "|#", ";", "\t", "^^", "~|~"])
def test_the_delimiter_is_found_in_the_header(read, delimiter: str) -> None:
    text = file_of(job(1, JobName="a name"), job(2)).replace("|", delimiter)
    found = read("slurm_jobs", text)
    assert [each["job_id"] for each in found.accepted] == ["1", "2"]
    assert names(found) == ["a name", "train"]


def test_the_delimiter_may_come_from_the_site_file(read) -> None:
    text = (job(1) + "\n").replace("|", "\x1f")
    (record,) = read("slurm_jobs", text, columns=COLUMNS.split("|"), delimiter="\x1f").accepted
    assert record["job_name"] == "train"


def test_a_delimiter_after_the_last_column_is_none(read) -> None:
    """`sacct -p` writes one, `sacct -P` does not."""
    text = "".join(f"{line}|\n" for line in file_of(job(1), job(2, JobName="a|b")).splitlines())
    found = read("slurm_jobs", text)
    assert (names(found), found.rejected) == (["train", "a|b"], [])


def test_a_missing_column_is_an_error_that_names_it(read) -> None:
    columns = COLUMNS.replace("AllocTRES", "AllocGRES").replace("|End", "|Ended")
    with pytest.raises(SourceError) as raised:
        read("slurm_jobs", file_of(job(), columns=columns), name="jobs.psv")
    said = str(raised.value)
    assert said.startswith("jobs.psv: line 1 has no column 'End', 'AllocTRES'")
    assert "found: Cluster, DBIndex, JobIDRaw" in said
    assert "expected at least JobIDRaw, Submit, Start, End, State, AllocTRES, NodeList" in said


def test_a_missing_column_in_the_site_file_is_an_error_that_names_it(read) -> None:
    with pytest.raises(SourceError, match=r"the site file's 'columns' has no column 'JobIDRaw'"):
        read("slurm_jobs", "x\n", columns=["Submit", "Start", "End", "State", "AllocTRES", "NodeList"])


def test_a_column_that_a_tool_writes_twice_counts_once(read) -> None:
    """`sacct -o ALL,End` does, with the same values."""
    text = f"JobIDRaw|End|Submit|Start|State|AllocTRES|NodeList|End\n5|{T0 + 9}|{T0}|{T0}|FAILED|cpu=1|h1|{T0 + 9}\n"
    (record,) = read("slurm_jobs", text, cluster="alpha").accepted
    assert record["ended_at"] == datetime(2026, 1, 1, 0, 0, 9)


def test_a_column_that_a_person_names_twice_is_an_error(read) -> None:
    columns = COLUMNS.replace("Eligible", "End").split("|")
    with pytest.raises(SourceError, match="the site file's 'columns' names the column 'end' twice"):
        read("slurm_jobs", job() + "\n", columns=columns)
    with pytest.raises(SourceError, match="line 2 names the column 'node' twice"):
        read("inventory", INVENTORY.replace("cluster,node", "node,node"))


def test_a_header_alone_has_no_records(read) -> None:
    for text in (COLUMNS, COLUMNS + "\n"):
        found = read("slurm_jobs", text)
        assert (found.accepted, found.rejected) == ([], [])


# Lines that are not records.


@pytest.mark.parametrize(
    ("written", "name"),
    [
        ("a|b||c|", "a|b||c|"),
        ("|", "|"),
        ("two\nlines", "two\nlines"),
        ("a\n\nb\n", "a\n\nb\n"),
        ("a\nb|c\nd\n|e", "a\nb|c\nd\n|e"),
        ("\nstarts with a break", "\nstarts with a break"),
        ("\n", "\n"),
        ("ends with breaks\n\n", "ends with breaks\n\n"),
        ("alone\nalpha\n7", "alone\nalpha\n7"),
        ("12|34\n56|78", "12|34\n56|78"),
        ("tab\there", "tab\there"),
        ("a\rb", "a␍b"),
        ("a\r\nb", "a\nb"),
        ("\"quoted\" 'here' `there`", "\"quoted\" 'here' `there`"),
        ("日本語 🦆 Ångström", "日本語 🦆 Ångström"),
        ("a\u2028b\x85c\x0bd\x0ce", "a\u2028b\x85c\x0bd\x0ce"),
        ("\\x01 written out", "\\x01 written out"),
        ("a\x01b", "a␁b"),
        ("#hash, comma; semicolon", "#hash, comma; semicolon"),
        ("", ""),
        (" spaces ", " spaces "),
        ("null", "null"),
    ],
)
@pytest.mark.parametrize("after", [[], ["8", "9"]], ids=["last", "not last"])
def test_a_name_in_the_last_column_is_kept_whole(read, written: str, name: str, after: list[str]) -> None:
    found = read("slurm_jobs", file_of(job(6), job(7, JobName=written), *map(job, after)))
    assert names(found) == ["train", name, *["train" for _ in after]]
    assert found.rejected == []
    first_after = 4 + written.count("\n")
    assert [each["source_line"] for each in found.accepted] == [2, 3, *range(first_after, first_after + len(after))]


def test_a_name_in_a_middle_column_may_have_delimiters_and_line_breaks(read) -> None:
    columns = COLUMNS.replace("Reservation", "Spare").replace("JobName", "Reservation").replace("Spare", "JobName")

    def record(job_id: int, name: str) -> str:
        fields = job(job_id).split("|")
        fields[15], fields[-1] = name, ""
        return "|".join(fields)

    records = [record(1, "a|b"), record(2, "one\ntwo"), record(3, "plain"), record(4, "x\n\ny\nz"), record(5, "plain")]
    found = read("slurm_jobs", file_of(*records, columns=columns))
    assert names(found) == ["a|b", "one\ntwo", "plain", "x\n\ny\nz", "plain"]
    assert [each["source_line"] for each in found.accepted] == [2, 3, 5, 6, 10]
    assert found.rejected == []


def test_records_broken_in_a_middle_column_may_follow_each_other_and_a_broken_line(read) -> None:
    columns = COLUMNS.replace("Reservation", "Spare").replace("JobName", "Reservation").replace("Spare", "JobName")

    def record(job_id: int) -> str:
        fields = job(job_id).split("|")
        fields[15], fields[-1] = "one\ntwo", ""
        return "|".join(fields)

    whole = job(9).replace("|train", "|")
    text = file_of(whole, record(1), record(2), "alpha|3|3", record(4), record(5), columns=columns)
    found = read("slurm_jobs", text)
    assert [each["job_id"] for each in found.accepted] == ["9", "1", "2", "4", "5"]
    assert reasons(found) == [(7, "wrong_column_count")]


def test_blank_lines_between_records_without_free_text_last_are_nothing(read) -> None:
    columns = "|".join([*COLUMNS.split("|")[-1:], *COLUMNS.split("|")[:-1]])
    records = ["|".join([each.split("|")[-1], *each.split("|")[:-1]]) for each in (job(1), job(2))]
    found = read("slurm_jobs", file_of("", records[0], "", "  ", records[1], "", columns=columns))
    assert [(each["job_id"], each["source_line"]) for each in found.accepted] == [("1", 3), ("2", 6)]
    assert found.rejected == []


def test_a_truncated_last_record_is_rejected(read) -> None:
    text = file_of(job(1)) + "|".join(job(2).split("|")[:12])
    found = read("slurm_jobs", text)
    assert [each["job_id"] for each in found.accepted] == ["1"]
    assert reasons(found) == [(3, "truncated_record")]
    assert found.rejected[0]["record_text"].startswith("alpha|1|2|2|")


def test_a_last_record_without_a_line_break_that_is_whole_is_accepted(read) -> None:
    found = read("slurm_jobs", file_of(job(1), job(2)).removesuffix("\n"))
    assert [each["job_id"] for each in found.accepted] == ["1", "2"]


def test_short_lines_that_begin_like_a_record_are_rejected_with_their_line(read) -> None:
    found = read("slurm_jobs", file_of(job(1), "alpha|9|9|9", job(2), "alpha|8", "alpha|7|x", job(3)))
    assert [each["job_id"] for each in found.accepted] == ["1", "2", "3"]
    assert reasons(found) == [(3, "wrong_column_count"), (5, "wrong_column_count"), (6, "wrong_column_count")]
    assert [each["record_text"] for each in found.rejected] == ["alpha|9|9|9", "alpha|8", "alpha|7|x"]


def test_a_short_line_after_the_header_is_rejected(read) -> None:
    found = read("slurm_jobs", file_of("sacct: warning: something", job(1)))
    assert [each["job_id"] for each in found.accepted] == ["1"]
    assert reasons(found) == [(2, "wrong_column_count")]


def test_a_line_with_too_many_columns_and_no_free_text_is_rejected(read) -> None:
    columns = "Name|NodeName|TimeStart|TimeEnd|Cluster"
    text = f"{columns}\nr1|h1|{T0}|{T0 + 1}|alpha\nr2|h1|{T0}|{T0 + 1}|alpha|more\n"
    found = read("slurm_reservations", text)
    assert [each["reservation_name"] for each in found.accepted] == ["r1"]
    assert reasons(found) == [(3, "wrong_column_count")]


NASTY = st.lists(
    st.one_of(
        st.sampled_from(
            ["|", "\n", "\r", "\t", "\r\n", '"', "'", "`", "\\", " ", "\x01", "\0", "\u2028", "\x85", "🦆"]
        ),
        st.sampled_from(["alpha", "7", "COMPLETED", "a"]),
        st.characters(codec="utf-8"),
    ),
    max_size=16,
).map("".join)


def shown(name: str) -> str:
    """A name as it is kept: a line break is LF, and what would break lines is shown by its symbol."""
    name = name.replace("\r\n", "\n")
    return name.replace("\r", "␍").replace("\0", "␀").replace("\x01", "␁")


def is_ambiguous(name: str) -> bool:
    """No reader can tell it from the text: it ends with half a line break, or goes on like a record."""
    lines = name.replace("\r\n", "\n").split("\n")
    return name.endswith("\r") or any(line.split("|")[0] == "alpha" for line in lines[1:]) or name.count("|") > 20


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    entries=st.lists(
        st.one_of(
            NASTY.filter(lambda name: not is_ambiguous(name)).map(lambda name: ("record", name)),
            st.integers(1, 23).map(lambda fields: ("garbage", "|".join(["alpha", *["x"] * fields]))),
            NASTY.filter(lambda name: not is_ambiguous(name)).map(lambda name: ("unknown", name)),
        ),
        min_size=1,
        max_size=8,
    ),
    is_terminated=st.booleans(),
)
def test_no_record_is_lost(read, entries: list[tuple[str, str]], is_terminated: bool) -> None:
    """Records with any name, ones of an unknown state and cut-off lines: each comes out once, good names exactly."""
    lines, expected = [], []
    for number, (kind, text) in enumerate(entries, start=1):
        if kind == "garbage":
            lines.append(text)
        else:
            lines.append(job(number, JobName=text, State="COMPLETED" if kind == "record" else "MELTED"))
        if kind == "record":
            expected.append((str(number), shown(text)))
    is_plain = entries[-1][0] == "garbage" or "\n" not in entries[-1][1]
    # A first whole record, since what records begin with is learned from those.
    text = file_of(job(0), *lines)
    found = read("slurm_jobs", text if is_terminated or not is_plain else text.removesuffix("\n"))
    assert [(each["job_id"], each["job_name"]) for each in found.accepted] == [("0", "train"), *expected]
    assert len(found.rejected) == len(entries) - len(expected)
    assert all(each["reject_reason"] for each in found.rejected)
    taken = {each["source_line"] for each in (*found.accepted, *found.rejected)}
    assert len(taken) == len(entries) + 1


# Compression and encoding.


@pytest.mark.parametrize("compress", [gzip.compress, zstandard.ZstdCompressor().compress], ids=["gz", "zst"])
@pytest.mark.parametrize("name", ["train", "a\rb", "a\nb"])
def test_a_compressed_file_is_read_like_a_plain_one(read, compress, name: str) -> None:
    text = file_of(job(1, JobName=name), job(2)).encode()
    plain, packed = read("slurm_jobs", text), read("slurm_jobs", compress(text), name="jobs.psv.gz")
    without_load = [{**each, "load_id": ""} for each in plain.accepted]
    assert [{**each, "load_id": ""} for each in packed.accepted] == without_load
    assert len(without_load) == 2


def test_a_file_may_be_larger_than_memory(tmp_path: Path) -> None:
    file = tmp_path / "large.psv"
    with file.open("wb") as stream:
        for _ in range(30):
            stream.write((b"x" * 99 + b"\n") * 100_000)
    with duckdb.connect(config={"memory_limit": "250MB", "threads": 2}) as connection:
        create_lines(connection, file, probe(file))
        assert connection.execute("select max(source_line), count(text) from lines").fetchall() == [
            (3_000_000, 3_000_000)
        ]


@pytest.mark.parametrize("text", [file_of(job(1), job(2)).replace("\n", "\r\n"), "\ufeff" + file_of(job(1), job(2))])
def test_line_ends_and_byte_order_marks_of_other_systems_are_read(read, text: str) -> None:
    found = read("slurm_jobs", text.encode())
    assert names(found) == ["train", "train"]
    assert found.rejected == []


def test_bytes_that_are_not_utf8_are_shown(read) -> None:
    text = file_of(job(1, JobName="NAME"), job(2)).encode().replace(b"NAME", b"caf\xe9")
    assert names(read("slurm_jobs", text)) == ["caf\\xe9", "train"]


@pytest.mark.parametrize(
    "content", [b"", b"\n\n", bytes(range(256)) * 9, gzip.compress(file_of(job()).encode(), mtime=0)[:60]]
)
def test_a_file_that_is_no_text_is_an_error_that_names_it(read, content: bytes) -> None:
    with pytest.raises(SourceError, match=r"^jobs\.psv: "):
        read("slurm_jobs", content, name="jobs.psv")


def test_events_as_json_are_refused_by_name(read) -> None:
    with pytest.raises(SourceError, match=r"^events\.json: is JSON; expected slurm_node_events as delimited text"):
        read("slurm_node_events", '{"events": []}', name="events.json")


# Times.


@pytest.mark.parametrize(
    ("text", "zone", "instant"),
    [
        ("1767225660", None, datetime(2026, 1, 1, 0, 1)),
        ("2026-01-01T00:01:00Z", None, datetime(2026, 1, 1, 0, 1)),
        ("2026-01-01T02:01:00+02:00", None, datetime(2026, 1, 1, 0, 1)),
        ("2026-01-01T02:01:00+0200", None, datetime(2026, 1, 1, 0, 1)),
        ("2025-12-31T18:31:00-0530", None, datetime(2026, 1, 1, 0, 1)),
        ("2026-01-01T00:01:00.75Z", None, datetime(2026, 1, 1, 0, 1)),
        ("2026-01-01T00:01:00", "UTC", datetime(2026, 1, 1, 0, 1)),
        ("2026-01-01 05:46:00", "Asia/Kathmandu", datetime(2026, 1, 1, 0, 1)),
        ("2026-07-01T02:00:00", "Europe/Oslo", datetime(2026, 7, 1)),
        ("2026-01-01T01:01:00", "Europe/Oslo", datetime(2026, 1, 1, 0, 1)),
        ("2026-01-01T00:01:00Z", "Europe/Oslo", datetime(2026, 1, 1, 0, 1)),
    ],
)
def test_a_time_is_read(read, text: str, zone: str | None, instant: datetime) -> None:
    source = {"time_zone": zone} if zone else {}
    (record,) = read("slurm_jobs", file_of(job(Start=text, End="Unknown", State="RUNNING")), **source).accepted
    assert record["started_at"] == instant
    assert record["ended_at"] is None


def test_the_zone_of_a_cluster_serves_the_sources_that_name_it_and_a_sources_own_goes_before(read) -> None:
    text = file_of(job(Start="2026-01-01T03:00:00", End="Unknown", State="RUNNING"))
    (record,) = read("slurm_jobs", text, cluster_zone="Europe/Oslo", cluster="alpha").accepted
    assert record["started_at"] == datetime(2026, 1, 1, 2)
    (record,) = read("slurm_jobs", text, cluster_zone="Europe/Oslo", cluster="alpha", time_zone="UTC").accepted
    assert record["started_at"] == datetime(2026, 1, 1, 3)


@pytest.mark.parametrize("column", ["Submit", "Eligible", "Start", "End"])
def test_a_time_without_a_declared_zone_is_an_error_that_names_file_and_line(read, column: str) -> None:
    text = file_of(job(1), job(2), job(3, **{column: "2026-01-01T00:01:00"}))
    with pytest.raises(SourceError) as raised:
        read("slurm_jobs", text, name="jobs.psv")
    said = str(raised.value)
    assert said.startswith("jobs.psv: line 4 has a time without a zone")
    assert "'time_zone'" in said
    with pytest.raises(SourceError, match="line 4 has a time without a zone"):
        read("slurm_jobs", text, name="jobs.psv")


@pytest.mark.parametrize(
    ("start", "end"), [("Unknown", "Unknown"), ("None", "None"), ("N/A", ""), ("", "Unknown"), ("None assigned", "")]
)
def test_a_record_may_be_without_times(read, start: str, end: str) -> None:
    (record,) = read("slurm_jobs", file_of(job(Start=start, End=end, State="PENDING"))).accepted
    assert (record["started_at"], record["ended_at"]) == (None, None)


# Records that are rejected, and what they are worth.


@pytest.mark.parametrize("tres", ["cpu=4,gres/gpu:1g.10gb=2,gres/gpu=2", "cpu=4,gres/shard=4", "gres/mps:a100=50"])
def test_shares_of_accelerators_are_read_as_they_are(read, tres: str) -> None:
    (record,) = read("slurm_jobs", file_of(job(AllocTRES=tres))).accepted
    assert record["allocated_tres"] == tres


@pytest.mark.parametrize(
    ("changed", "reason", "seconds"),
    [
        ({"State": "MELTED"}, "unknown_state", 7200),
        ({"State": ""}, "unknown_state", 7200),
        ({"State": "MELTED", "AllocTRES": "cpu=4,node=1"}, "unknown_state", 0),
        ({"State": "MELTED", "AllocTRES": "cpu=4,gres/gpu:a100=2,gres/gpu:h100=1"}, "unknown_state", 10800),
        ({"State": "MELTED", "AllocTRES": "cpu=4,gres/gpu:a100=2,gres/gpu=3"}, "unknown_state", 10800),
        ({"State": "MELTED", "Start": "Unknown", "End": "Unknown"}, "unknown_state", 0),
        ({"State": "MELTED", "End": "Unknown"}, "unknown_state", None),
        ({"Start": T0 + 60, "End": T0 + 59}, "end_before_start", 2),
        ({"End": 7_300_000_000}, "implausible_time", None),
        ({"Start": "Unknown", "End": 7_300_000_000}, "implausible_time", 0),
        ({"Submit": 7_300_000_000}, "implausible_time", 7200),
        ({"Start": "1970-01-01T00:00:00Z"}, "implausible_time", None),
        ({"Submit": "soon"}, "unreadable_submit", 7200),
        ({"Submit": "Unknown"}, "unreadable_submit", 7200),
        ({"Submit": "20260101"}, "unreadable_submit", 7200),
        ({"Eligible": "soon"}, "unreadable_eligible", 7200),
        ({"Start": "soon"}, "unreadable_start", None),
        ({"Start": "2026-02-30T00:00:00Z"}, "unreadable_start", None),
        ({"End": "soon"}, "unreadable_end", None),
        ({"Cluster": "gamma"}, "undeclared_cluster", 7200),
        ({"Cluster": ""}, "no_cluster", 7200),
        ({"JobIDRaw": ""}, "no_job_id", 7200),
        ({"JobIDRaw": "x7"}, "no_job_id", 7200),
        ({"NNodes": "two"}, "unreadable_nodes", 7200),
        ({"NNodes": "-1"}, "unreadable_nodes", 7200),
        ({"AllocCPUS": "4K"}, "unreadable_cpus", 7200),
        ({"AllocTRES": "gres/gpu"}, "unreadable_tres", None),
        ({"AllocTRES": "cpu=4,gres/gpu=two"}, "unreadable_accelerators", None),
        ({"AllocTRES": "cpu=4,gres/gpu=-2"}, "unreadable_accelerators", None),
        ({"AllocTRES": "cpu=4,gres/shard=all"}, "unreadable_accelerators", None),
        ({"AllocTRES": "gres/gpu=8193", "NNodes": "2"}, "implausible_accelerators", 8193 * 3600),
        ({"NodeList": "h[1,5-9999999]"}, "implausible_node_list", 7200),
    ],
)
def test_a_record_that_cannot_be_understood_is_kept_with_its_reason_and_worth(
    read, changed: dict[str, str | int], reason: str, seconds: int | None
) -> None:
    found = read("slurm_jobs", file_of(job(1), job(2, **changed), job(3)))
    assert [each["job_id"] for each in found.accepted] == ["1", "3"]
    (reject,) = found.rejected
    assert (reject["source_line"], reject["reject_reason"]) == (3, reason)
    assert reject["accelerator_seconds"] == seconds
    assert reject["record_text"] == job(2, **changed)


YEAR_9999 = "9999-12-31T00:00:00Z"


@pytest.mark.parametrize(
    ("changed", "seconds"),
    [
        ({"End": YEAR_9999}, T0 + 60),
        ({"Start": "1970-01-01T00:00:00Z"}, T0 + 3660),
        ({"Start": YEAR_9999, "End": YEAR_9999}, T0),
        ({"Submit": YEAR_9999, "Start": YEAR_9999, "End": YEAR_9999}, None),
    ],
)
def test_a_rejected_record_is_of_no_time_that_cannot_be(read, changed: dict[str, str], seconds: int | None) -> None:
    (reject,) = read("slurm_jobs", file_of(job(**changed))).rejected
    assert reject["reject_reason"] == "implausible_time"
    expected = seconds and datetime.fromtimestamp(seconds, tz=UTC).replace(tzinfo=None)
    assert reject["record_at"] == expected


def test_an_event_of_no_time_that_can_be_is_of_its_end(read) -> None:
    event = f"alpha|h1|DOWN|1970-01-01T00:00:00Z|{T0}|r"
    (reject,) = read("slurm_node_events", f"Cluster|NodeName|State|TimeStart|TimeEnd|Reason\n{event}\n").rejected
    assert (reject["reject_reason"], reject["record_at"]) == ("implausible_time", datetime(2026, 1, 1))


def test_every_state_of_slurm_is_known(read) -> None:
    closed = "COMPLETED FAILED OUT_OF_MEMORY DEADLINE TIMEOUT CANCELLED NODE_FAIL BOOT_FAIL LAUNCH_FAILED PREEMPTED"
    segments = "REQUEUED RESIZING REVOKED"
    held = "RUNNING SUSPENDED STOPPED COMPLETING CONFIGURING STAGE_OUT SIGNALING"
    waiting = "PENDING REQUEUE_HOLD SPECIAL_EXIT RESV_DEL_HOLD"
    states = f"{closed} {segments} {held} {waiting}".split()
    found = read("slurm_jobs", file_of(*(job(number, State=state) for number, state in enumerate(states))))
    assert [each["state"] for each in found.accepted] == states


def test_a_long_rejected_record_is_kept_in_part(read) -> None:
    (reject,) = read("slurm_jobs", file_of(job(State="MELTED", JobName="x" * 100_000))).rejected
    assert len(reject["record_text"]) == 4000


def test_steps_are_marked_and_array_tasks_and_components_are_none(read) -> None:
    ids = ["7", "7.0", "7.batch", "7.extern", "8_7", "8_7.batch", "20+1", "20+1.0", "14_[0-4]"]
    found = read("slurm_jobs", file_of(*(job(each) for each in ids)))
    assert {each["job_id"]: each["is_step"] for each in found.accepted} == {each: "." in each for each in ids}


def test_a_step_is_worth_nothing(read) -> None:
    (reject,) = read("slurm_jobs", file_of(job("7.0", State="MELTED"))).rejected
    assert reject["accelerator_seconds"] == 0


# Nodes, events, reservations, associations.


@pytest.mark.parametrize("cluster", ["alpha", "beta"])
def test_scontrol_and_sinfo_tell_the_same_nodes(read, cluster: str) -> None:
    landing = shipped_demo() / "landing" / cluster
    text = read("slurm_nodes", (landing / "scontrol_show_node.txt").read_bytes(), cluster=cluster)
    answer = read("slurm_nodes", (landing / "sinfo.json").read_bytes(), cluster=cluster)
    assert (text.rejected, answer.rejected) == ([], [])

    def nodes(found) -> dict:
        return {
            each["node"]: (
                each["cluster"],
                frozenset((each["node_state"] or "").split("+")),
                each["partitions"],
                each["cpus"],
                each["memory_mib"],
                each["gres"],
                each["configured_tres"],
            )
            for each in found.accepted
        }

    assert nodes(text) == nodes(answer)
    assert set(nodes(text)) == (
        {"a1", "a2", "c1", "h1", "h2", "h3", "h4", "h5", "m1"} if cluster == "alpha" else {"b1", "b2"}
    )


def test_node_text_is_read_block_by_block(read) -> None:
    text = (
        "NodeName=h1 Arch=x86_64\n   CPUTot=64 RealMemory=500\n   Gres=gpu:h100:8\n   State=IDLE+DRAIN\n"
        "   Partitions=a,b\n   CfgTRES=cpu=64,gres/gpu=8\n   OS=Linux Gres=nothing\n"
        "   Reason=bad | Gres=gpu:x:9 [root]\n\n"
        "NodeName=c1 Gres=(null)\n   CPUTot=4\n"
    )
    h1, c1 = read("slurm_nodes", text, cluster="alpha").accepted
    assert (h1["node"], h1["gres"], h1["node_state"], h1["cpus"]) == ("h1", "gpu:h100:8", "IDLE+DRAIN", 64)
    assert (h1["memory_mib"], h1["partitions"], h1["configured_tres"]) == (500, "a,b", "cpu=64,gres/gpu=8")
    assert h1["reason"] == "bad | Gres=gpu:x:9 [root]"
    assert (c1["node"], c1["gres"], c1["cpus"], c1["source_line"]) == ("c1", None, 4, 10)


def test_nodes_from_slurmrestd_are_read(read, shared_data: Path) -> None:
    content = (shared_data / "slurmrestd-json" / "slurm-nodes.json").read_bytes()
    expected = {
        node["name"]: (node["cpus"], node["real_memory"], node["gres"] or None, node["tres"], node["state"])
        for node in json.loads(content)["nodes"]
    }
    found = read("slurm_nodes", content, cluster="alpha")
    assert {
        each["node"]: (
            each["cpus"],
            each["memory_mib"],
            each["gres"],
            each["configured_tres"],
            each["node_state"].split("+"),
        )
        for each in found.accepted
    } == expected
    assert len(expected) == len(found.accepted)


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ('{"nodes": [', "is not JSON"),
        ('{"nodes": []}{"nodes": []}', "is not JSON"),
        ('{"jobs": []}', "has no array 'nodes'"),
        ("[1]", "has no array 'nodes'"),
        ("h1 idle\n", "line 1 is 'h1 idle'; expected the text of `scontrol show node`"),
    ],
)
def test_nodes_that_cannot_be_read_say_why(read, content: str, said: str) -> None:
    with pytest.raises(SourceError, match=r"^nodes: ") as raised:
        read("slurm_nodes", content, name="nodes", cluster="alpha")
    assert said in str(raised.value)


def test_json_may_begin_with_a_byte_order_mark(read) -> None:
    (node,) = read("slurm_nodes", b'\xef\xbb\xbf{"nodes": [{"name": "h1"}]}', cluster="alpha").accepted
    assert node["node"] == "h1"


EVENTS = "Cluster|Cluster Nodes|Duration|NodeName|Reason|TimeStart|StateRaw|State|TRES|User|TimeEnd"


def test_a_reason_may_hold_delimiters_and_line_breaks(read) -> None:
    text = (
        f"{EVENTS}\nalpha||00:01|h1|fan | noisy || 風|{T0}|1|DOWN*|cpu=1|root(0)|{T0 + 60}\n"
        f"alpha||00:01|h2|two\nlines|{T0}|1|DRAIN|cpu=1|root(0)|Unknown\n"
    )
    found = read("slurm_node_events", text)
    assert [(each["node"], each["reason"], each["node_state"], each["source_line"]) for each in found.accepted] == [
        ("h1", "fan | noisy || 風", "DOWN*", 2),
        ("h2", "two\nlines", "DRAIN", 3),
    ]
    assert found.rejected == []


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        (f"alpha||1|h1|x|{T0}|1|MELTED|cpu=1|root|Unknown", "unknown_state"),
        (f"alpha||1|h1|x|{T0}|1||cpu=1|root|Unknown", "no_state"),
        (f"gamma||1|h1|x|{T0}|1|DOWN|cpu=1|root|Unknown", "undeclared_cluster"),
        (f"alpha||1|h1|x|{T0}|1|DOWN|cpu=1|root|{T0 - 1}", "end_before_start"),
        ("alpha||1|h1|x|Unknown|1|DOWN|cpu=1|root|Unknown", "unreadable_start"),
    ],
)
def test_an_event_that_cannot_be_understood_is_rejected(read, line: str, reason: str) -> None:
    assert reasons(read("slurm_node_events", f"{EVENTS}\n{line}\n")) == [(2, reason)]


# sreport.

REPORT = f"""{"-" * 80}
Cluster/Account/User Utilization 2026-11-21T22:00:00 - 2026-11-21T22:59:59 (3600 secs)
Usage reported in TRES Seconds
{"-" * 80}
Cluster|Account|Login|Proper Name|TRES Name|Used
alpha|root|||gres/gpu|104298
alpha|ranking|chen|Chen\x85Li|gres/gpu:H100|12
"""


@pytest.mark.parametrize("line_end", ["\n", "\r\n"])
@pytest.mark.parametrize(("zone", "hour"), [("UTC", 22), ("Europe/Oslo", 21)])
def test_a_reports_window_stands_in_its_title(read, line_end: str, zone: str, hour: int) -> None:
    found = read("slurm_account_usage", REPORT.replace("\n", line_end), time_zone=zone)
    assert found.rejected == []
    assert [
        (each["source_line"], each["account"], each["user_name"], each["resource"], each["used_seconds"])
        for each in found.accepted
    ] == [(6, "root", None, "gres/gpu", 104298), (7, "ranking", "chen", "gres/gpu:h100", 12)]
    assert {(each["window_start_at"], each["window_end_at"]) for each in found.accepted} == {
        (datetime(2026, 11, 21, hour), datetime(2026, 11, 21, hour + 1))
    }


def test_a_report_without_a_zone_is_an_error(read) -> None:
    with pytest.raises(SourceError, match="line 6 has a time without a zone"):
        read("slurm_account_usage", REPORT)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (REPORT.split("\n", 4)[4], "has no title with a window"),
        (REPORT.replace("TRES Seconds", "TRES Minutes"), "is not in seconds"),
        (REPORT.replace("Cluster|Account", "Account"), "has no column 'Cluster'"),
        (REPORT.split("Cluster|")[0], "has no title with a window above a header"),
    ],
)
def test_a_report_that_cannot_be_read_says_why(read, text: str, said: str) -> None:
    with pytest.raises(SourceError, match=said):
        read("slurm_account_usage", text, time_zone="UTC")


CLUSTER_REPORT = f"""{"-" * 80}
Cluster Utilization 2026-11-21T22:00:00 - 2026-11-21T22:59:59
Usage reported in TRES Seconds
{"-" * 80}
Cluster|TRES Name|Allocated|Down|PLND Down|Idle|Planned|Reported
alpha|gres/gpu|103478|9608|17312|97010|0|227408
alpha|gres/gpu:H100|74578|5848|17312|58170|0|155908
"""

MEASURES = (
    "allocated_seconds",
    "down_seconds",
    "planned_down_seconds",
    "idle_seconds",
    "planned_seconds",
    "overcommitted_seconds",
    "reported_seconds",
    "resource_count",
)


def test_a_clusters_totals_are_read(read) -> None:
    found = read("slurm_cluster_usage", CLUSTER_REPORT, time_zone="UTC")
    assert found.rejected == []
    assert [(each["source_line"], each["resource"], *map(each.get, MEASURES)) for each in found.accepted] == [
        (6, "gres/gpu", 103478, 9608, 17312, 97010, 0, None, 227408, None),
        (7, "gres/gpu:h100", 74578, 5848, 17312, 58170, 0, None, 155908, None),
    ]
    assert {(each["window_start_at"], each["window_end_at"]) for each in found.accepted} == {
        (datetime(2026, 11, 21, 22), datetime(2026, 11, 21, 23))
    }


@pytest.mark.parametrize(
    "header",
    [
        "Cluster|TRES Name|TRES Count|Allocated|Down|PLND Down|Idle|Over Comm|Reserved|Reported",
        "cluster|TRESName|TRESCount|allocated|down|PlannedDown|idle|OverComm|reserved|reported",
        "Cluster|TRES Name|Count|Allocated|Down|Planned Down|Idle|OverCommitted|Planned|Reported",
    ],
)
def test_a_clusters_columns_are_found_however_a_version_spells_them(read, header: str) -> None:
    title = CLUSTER_REPORT.split("Cluster|")[0]
    found = read("slurm_cluster_usage", f"{title}{header}\nalpha|gres/gpu|8|1|2|3|4|5|6|7\n", time_zone="UTC")
    assert [tuple(map(each.get, MEASURES)) for each in found.accepted] == [(1, 2, 3, 4, 6, 5, 7, 8)]


@pytest.mark.parametrize(
    ("unit", "shown"),
    [
        ("TRES Minutes", "TRES Minutes"),
        ("TRES Hours", "TRES Hours"),
        ("Percentage of Total", "Percentage of Total"),
        ("TRES Seconds/Percentage of Total", "TRES Seconds/Percentage of Total"),
    ],
)
@pytest.mark.parametrize("kind", ["slurm_cluster_usage", "slurm_account_usage"])
def test_a_report_in_another_unit_is_refused(read, kind: SourceKind, unit: str, shown: str) -> None:
    report = {"slurm_cluster_usage": CLUSTER_REPORT, "slurm_account_usage": REPORT}[kind]
    with pytest.raises(SourceError) as raised:
        read(kind, report.replace("TRES Seconds", unit), time_zone="UTC")
    assert f"is not in seconds ('Usage reported in {shown}'); expected `sreport -t seconds`" in str(raised.value)


def test_a_report_of_accounts_is_not_one_of_the_cluster(read) -> None:
    with pytest.raises(SourceError, match="has no column 'Allocated'"):
        read("slurm_cluster_usage", REPORT, time_zone="UTC")
    with pytest.raises(SourceError, match="sreport -P -t seconds cluster Utilization"):
        read("slurm_cluster_usage", CLUSTER_REPORT.split("\n", 4)[4], time_zone="UTC")


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ("alpha|gres/gpu|12(4.5%)|0|0|0|0|12", "unreadable_usage"),
        ("alpha|gres/gpu||0|0|0|0|12", "unreadable_usage"),
        ("alpha|gres/gpu|12|0|0|-1|0|12", "unreadable_usage"),
        ("alpha|gres/gpu|12|0|0|much|0|12", "unreadable_usage"),
        ("gamma|gres/gpu|12|0|0|0|0|12", "undeclared_cluster"),
        ("alpha||12|0|0|0|0|12", "no_resource"),
        ("alpha|gres/gpu|12|0", "truncated_record"),
    ],
)
def test_a_total_that_cannot_be_understood_is_rejected(read, line: str, reason: str) -> None:
    ending = "" if reason == "truncated_record" else "\n"
    found = read("slurm_cluster_usage", f"{CLUSTER_REPORT}{line}{ending}", time_zone="UTC")
    assert len(found.accepted) == 2
    assert reasons(found) == [(8, reason)]


def test_a_truncated_report_keeps_its_whole_rows(read) -> None:
    found = read("slurm_account_usage", REPORT + "alpha|speech|dora", time_zone="UTC")
    assert len(found.accepted) == 2
    assert reasons(found) == [(8, "truncated_record")]


# Spreadsheets.

INVENTORY = """# what we have
cluster,node,pool,accelerator_model,accelerators,in_service_at,retired_at
# the first row of racks

alpha,h1,training,h100,8,2026-01-01T00:00:00Z,
alpha, h2 ,"training, big","h100 ""sxm\"\"",8,1767225600,2026-06-01T00:00:00+02:00
alpha,h3,"two
lines",h100,8.0,2026-01-01T00:00:00Z,
alpha,h4,u\u2028v,h100,8,2026-01-01T00:00:00Z,
"""


def test_a_csv_may_have_quotes_comments_and_line_breaks(read) -> None:
    found = read("inventory", INVENTORY)
    assert found.rejected == []
    assert [
        (each["source_line"], each["node"], each["pool"], each["accelerator_model"], each["installed_accelerators"])
        for each in found.accepted
    ] == [
        (5, "h1", "training", "h100", 8),
        (6, "h2", "training, big", 'h100 "sxm"', 8),
        (7, "h3", "two\nlines", "h100", 8),
        (9, "h4", "u\u2028v", "h100", 8),
    ]
    assert found.accepted[1]["retired_at"] == datetime(2026, 5, 31, 22)


def test_a_csv_from_a_spreadsheet_program_is_read(read) -> None:
    text = "\ufeff" + INVENTORY.replace("\n", "\r\n")
    assert len(read("inventory", text.encode()).accepted) == 4
    assert len(read("inventory", gzip.compress(INVENTORY.encode())).accepted) == 4
    assert len(read("inventory", "cluster;node;pool;model;count;in_service;retired\nalpha;a;p;h;8;1767225600;\n",
                    delimiter=";").accepted) == 1  # fmt: skip


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        ("alpha,h1,training,h100,8", "wrong_column_count"),
        ("alpha,h1,training,h100,8,1767225600,,x", "wrong_column_count"),
        ("gamma,h1,training,h100,8,1767225600,", "undeclared_cluster"),
        ("alpha,,training,h100,8,1767225600,", "no_node"),
        ("alpha,h1,,h100,8,1767225600,", "no_pool"),
        ("alpha,h1,training,,8,1767225600,", "no_model"),
        ("alpha,h1,training,h100,eight,1767225600,", "unreadable_accelerators"),
        ("alpha,h1,training,h100,8.5,1767225600,", "unreadable_accelerators"),
        ("alpha,h1,training,h100,0x8,1767225600,", "unreadable_accelerators"),
        ("alpha,h1,training,h100,-8,1767225600,", "unreadable_accelerators"),
        ("alpha,h1,training,h100,8,20260101,", "unreadable_in_service"),
        ("alpha,h1,training,h100,8,1767225600,later", "unreadable_retired"),
        ("alpha,h1,training,h100,8,1767225600,1767225599", "end_before_start"),
    ],
)
def test_an_inventory_row_that_cannot_be_understood_is_rejected(read, row: str, reason: str) -> None:
    header = "cluster,node,pool,accelerator_model,accelerators,in_service_at,retired_at"
    assert reasons(read("inventory", f"{header}\n{row}\n")) == [(2, reason)]


def test_a_parquet_inventory_is_the_csv_one(read) -> None:
    csv_bytes = (shipped_demo() / "landing" / "inventory.csv").read_bytes()
    lines = [line.split(",") for line in csv_bytes.decode().splitlines() if not line.startswith("#")]
    columns = dict(zip(lines[0], zip(*lines[1:], strict=True), strict=True))
    typed = pa.table(
        {
            **{name: list(columns[name]) for name in ("cluster", "node", "pool")},
            "accelerator_model": [model or None for model in columns["accelerator_model"]],
            "accelerators": pa.array([int(count) for count in columns["accelerators"]], pa.int32()),
            "in_service_at": pa.array(
                [datetime.fromisoformat(each) for each in columns["in_service_at"]], pa.timestamp("us", tz="UTC")
            ),
            "retired_at": pa.array([None] * len(lines[1:]), pa.timestamp("us", tz="UTC")),
        }
    )
    stored = io.BytesIO()
    pq.write_table(typed, stored)

    def content(found) -> list[dict]:
        assert found.rejected == []
        return [{**each, "load_id": "", "source_line": 0} for each in found.accepted]

    assert content(read("inventory", stored.getvalue(), name="i.parquet")) == content(read("inventory", csv_bytes))


def test_parquet_with_nulls_where_text_has_words_is_rejected_not_trusted(read) -> None:
    columns = dict(zip(COLUMNS.split("|"), ([value] for value in job().split("|")), strict=True))
    for name, reason in (("State", "unknown_state"), ("JobIDRaw", "no_job_id"), ("Submit", "unreadable_submit")):
        stored = io.BytesIO()
        pq.write_table(pa.table({**columns, name: pa.array([None], pa.string())}), stored)
        assert reasons(read("slurm_jobs", stored.getvalue())) == [(1, reason)]


def test_a_broken_parquet_file_is_an_error_that_names_it(read) -> None:
    with pytest.raises(SourceError, match=r"^i\.parquet: cannot be read as inventory"):
        read("inventory", b"PAR1" + bytes(100), name="i.parquet")


@pytest.mark.parametrize("text", ["# only this\n", "#\n\n"])
def test_a_csv_without_a_header_is_an_error(read, text: str) -> None:
    with pytest.raises(SourceError, match="has no header; expected the columns node, pool"):
        read("inventory", text)


def test_a_csv_that_cannot_be_split_is_an_error(read) -> None:
    with pytest.raises(SourceError, match="line 2 cannot be read"):
        read("inventory", INVENTORY.splitlines()[1] + "\n" + "x" * 200_000 + "\n")
    with pytest.raises(SourceError, match="expected one character"):
        read("inventory", INVENTORY, delimiter="||")


def test_money_is_exact(read) -> None:
    header = "lot_id,cluster,pool,accelerator_model,accelerators,price,residual,currency,in_service_at,life_months"
    rows = ["a,alpha,p,h100,8,240000.10,0.000000001,USD,1767225600,48", "b,alpha,p,h100,8,1e5,0,USD,1767225600,48"]
    found = read("purchase_lots", "\n".join([header, *rows]) + "\n")
    assert [(each["price"], each["residual"]) for each in found.accepted] == [
        (Decimal("240000.10"), Decimal("0.000000001"))
    ]
    assert reasons(found) == [(3, "unreadable_price")]


# Files that broke another parser.

GCM = {"clusters": ("test_cluster", "cluster", "node", "learnnode"), "time_zone": "UTC"}


@pytest.mark.parametrize("name", ["fake-line-break", "one-multiline", "multiple-multiline"])
def test_broken_lines_give_the_records_of_the_repaired_file(read, shared_data: Path, name: str) -> None:
    folder = shared_data / "sacct-edge-cases"
    broken = read("slurm_jobs", (folder / f"sample-sacct-{name}.txt").read_bytes(), **GCM)
    repaired = read("slurm_jobs", (folder / f"sample-sacct-{name}-expected.txt").read_bytes(), **GCM)

    def content(found) -> list[dict]:
        return [{**each, "source_line": 0, "load_id": ""} for each in found.accepted]

    lines = (folder / f"sample-sacct-{name}-expected.txt").read_text().rstrip("\n").split("\n")
    assert len(repaired.accepted) == len(lines) - 1
    assert (broken.rejected, repaired.rejected) == ([], [])
    assert content(broken) == content(repaired)


def test_invalid_utf8_loses_no_row(read, shared_data: Path) -> None:
    content = (shared_data / "sacct-edge-cases" / "sample-sacct-output-invalid-utf8.txt").read_bytes()
    header, *lines = content.rstrip(b"\n").split(b"\n")
    position = header.split(b"|").index(b"JobIDRaw")
    found = read("slurm_jobs", content, **GCM)
    assert found.rejected == []
    assert [each["job_id"] for each in found.accepted] == [line.split(b"|")[position].decode() for line in lines]


def test_an_invalid_line_is_rejected_with_a_reason(read, shared_data: Path) -> None:
    content = (shared_data / "sacct-edge-cases" / "sample-sacct-output-with-invalid-lines.txt").read_bytes()
    found = read("slurm_jobs", content, **GCM)
    assert found.accepted == []
    assert len(found.rejected) == 1
    assert (found.rejected[0]["source_line"], found.rejected[0]["record_text"]) == (
        2,
        content.decode().split("\n")[1],
    )
    assert found.rejected[0]["reject_reason"] in ("wrong_column_count", "truncated_record")


@pytest.mark.parametrize(
    "name", ["midnight-edge-case", "midnight-edge-case-small", "midnight-edge-case-small-expected"]
)
def test_files_without_the_needed_columns_say_which(read, shared_data: Path, name: str) -> None:
    content = (shared_data / "sacct-edge-cases" / f"sample-sacct-output-{name}.txt").read_bytes()
    with pytest.raises(SourceError, match=r"line 1 has no column 'JobIDRaw', 'Submit'.*found: JobID, State"):
        read("slurm_jobs", content, **GCM)


# slurm_queue.

QUEUE_HEADER = "JOBID|STATE|SUBMIT_TIME|START_TIME|PARTITION|ACCOUNT|USER|QOS|REASON\n"
QUEUE = {"name": "queue-20260101T100000Z", "cluster": "alpha", "collected_at": "queue-(?P<at>[0-9]{8}T[0-9]{6}Z)"}


def test_queue_lines_as_squeue_prints_them(read) -> None:
    text = QUEUE_HEADER + (
        "421|PENDING|1767261600|N/A|train|lab|ada|normal|ReqNodeNotAvail, UnavailableNodes:h[1-2]|x\n"
        "623_[5,9-15%4]|PD|1767261600|1767265200|train|lab|ada|normal|JobArrayTaskLimit\n"
        "598|R|1767261600|1767261600|train|lab|ada|normal|None\n"
    )
    found = read("slurm_queue", text, **QUEUE)
    assert [
        (row["job_id_shown"], row["state"], row["submitted_at"].hour, row["expected_start_at"], row["reason"])
        for row in found.accepted
    ] == [
        ("421", "PENDING", 10, None, "ReqNodeNotAvail, UnavailableNodes:h[1-2]|x"),
        ("623_[5,9-15%4]", "PENDING", 10, datetime(2026, 1, 1, 11), "JobArrayTaskLimit"),
        ("598", "RUNNING", 10, datetime(2026, 1, 1, 10), None),
    ]
    assert found.rejected == []


def test_queue_lines_that_say_too_little_are_rejected(read) -> None:
    text = QUEUE_HEADER + (
        "CLUSTER: alpha|PENDING|1767261600|N/A|a|a|a|a|Priority\n"
        "7||1767261600|N/A|a|a|a|a|Priority\n"
        "7|PENDING|N/A|N/A|a|a|a|a|Priority\n"
        "7|PENDING|1767261600|soon|a|a|a|a|Priority\n"
    )
    found = read("slurm_queue", text, **QUEUE)
    assert [row["reject_reason"] for row in found.rejected] == [
        "no_job_id",
        "no_state",
        "unreadable_submit",
        "unreadable_start",
    ]


def test_an_empty_queue_is_a_snapshot(read) -> None:
    found = read("slurm_queue", QUEUE_HEADER, **QUEUE)
    assert (found.accepted, found.rejected) == ([], [])


def test_one_file_may_hold_many_snapshots(read) -> None:
    text = (
        "1767261600||||\n"
        "1767261600|421|PENDING|1767225600|Priority\n"
        "1767261900||||\n"
        "later|421|PENDING|1767225600|Priority\n"
        "|421|PENDING|1767225600|Priority\n"
    )
    columns = ["TAKEN_AT", "JOBID", "STATE", "SUBMIT_TIME", "REASON"]
    found = read("slurm_queue", text, cluster="alpha", columns=columns)
    assert [(row["taken_at"].minute, row["job_id_shown"]) for row in found.accepted] == [
        (0, None),
        (0, "421"),
        (5, None),
    ]
    assert [row["reject_reason"] for row in found.rejected] == ["unreadable_taken", "no_snapshot_time"]


def test_a_snapshot_without_a_time_is_refused(read) -> None:
    for line in ("", "421|PENDING|1767261600|N/A|a|a|a|a|Priority\n"):
        with pytest.raises(SourceError, match=r"delivered\.txt: does not say when it was collected"):
            read("slurm_queue", QUEUE_HEADER + line, cluster="alpha")


# How accelerators are shared, suspensions and qualities of service.


@pytest.mark.parametrize(
    "sharing", ["mig", "1g.10gb=7", "4g.71gb=1, 2G.35GB=1", "shard=16", "shard=16,mps=400", "replicas=4"]
)
def test_an_inventory_may_say_how_accelerators_are_shared(read, sharing: str) -> None:
    header = "cluster,node,pool,model,count,in_service,retired,sharing"
    text = f'{header}\nalpha,m1,p,h100,1,2026-01-01T00:00:00Z,,"{sharing}"\n'
    (record,) = read("inventory", text).accepted
    assert record["sharing"] == sharing.replace(" ", "").lower()


@pytest.mark.parametrize("sharing", ["half", "1g.10gb", "1g.10gb=seven", "shard=16;mps=4", "shard=-1", "replicas=0"])
def test_sharing_that_cannot_be_understood_is_rejected(read, sharing: str) -> None:
    text = (
        f"cluster,node,pool,model,count,in_service,retired,sharing\nalpha,m1,p,h100,1,2026-01-01T00:00:00Z,,{sharing}\n"
    )
    assert reasons(read("inventory", text)) == [(2, "unreadable_sharing")]


def test_the_suspend_table_is_read_as_the_database_prints_it(read) -> None:
    rows = [f"85\t11\t{T0}\t{T0 + 55}", f"86\t11\t{T0}\t0", f"\t11\t{T0}\t0", f"87\t1\t{T0}\t{T0 - 1}"]
    text = "\n".join(["job_db_inx\tid_assoc\ttime_start\ttime_end", *rows]) + "\n"
    found = read("slurm_suspensions", text, cluster="alpha")
    assert [
        (each["db_index"], (each["resumed_at"] or each["suspended_at"]) - each["suspended_at"])
        for each in found.accepted
    ] == [
        (85, timedelta(seconds=55)),
        (86, timedelta(0)),
    ]
    assert reasons(found) == [(4, "no_db_index"), (5, "end_before_start")]


def test_qualities_of_service_say_whom_they_preempt(read) -> None:
    found = read(
        "slurm_qos", "Name|Priority|Preempt|PreemptMode\nnormal|100||cluster\nurgent|1000|flex,low|cluster\n|1||\n"
    )
    assert [(each["qos"], each["preempts"]) for each in found.accepted] == [("normal", None), ("urgent", "flex,low")]
    assert reasons(found) == [(4, "no_name")]


@pytest.mark.parametrize("form", ["2026-01-01T10:00:00", "1767261600"])
def test_a_node_says_since_when_its_reason_holds(read, form: str) -> None:
    text = f"NodeName=h1\n   State=MIXED+DRAIN\n   Reason=xid 79 [again] [root@{form}]\n\nNodeName=h2\n   State=IDLE\n"
    first, second = read("slurm_nodes", text, cluster="alpha", time_zone="UTC").accepted
    assert (first["reason"], first["reason_at"]) == ("xid 79 [again]", datetime(2026, 1, 1, 10))
    assert (second["reason"], second["reason_at"]) == (None, None)
