"""What came since somebody looked last, in folders with real files."""

import hashlib
import os
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import pytest

from capacity_dagster.errors import SourceError
from capacity_dagster.site_file import Site
from capacity_dagster.sources import landing
from capacity_dagster.sources.arrival import Arrival, Memory, look, recall, remember
from capacity_dagster.sources.landing import Fingerprints, scan

TOML = """
[site]
name = "test"
first_day = 2026-01-01

[clusters.alpha]

[[sources]]
kind = "slurm_jobs"
files = "jobs-*"
collected_at = 'collected-(?P<at>[0-9]{8}T[0-9]{6}Z)'

[[sources]]
kind = "org_mapping"
files = "teams.csv"
"""
AT = datetime(2026, 11, 28, 12, tzinfo=UTC)
LONG_AGO = AT - timedelta(hours=2)


def put(site: Site, path: str, content: str, at: datetime = LONG_AGO) -> Path:
    """Writes a file that was last modified at some time."""
    file = site.landing / path
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(content, encoding="utf-8")
    os.utime(file, (at.timestamp(), at.timestamp()))
    return file


@pytest.fixture
def site(make_site) -> Site:
    made = make_site(TOML)
    put(made, "jobs-2026-11-25", "one")
    put(made, "jobs-2026-11-26", "two, longer")
    put(made, "teams.csv", "teams")
    return made


@pytest.fixture
def known(site: Site) -> Memory:
    """What a look has seen after which nothing is left to build, with all digests known, as a build leaves them."""
    scan(site)
    return look(site, Memory(), AT).memory


def told(arrival: Arrival) -> dict[str, str]:
    return {change.path: change.what for change in arrival.changes}


def test_the_first_look_finds_everything_and_wants_a_build(site: Site) -> None:
    arrival = look(site, Memory(), AT)
    assert told(arrival) == dict.fromkeys(["jobs-2026-11-25", "jobs-2026-11-26", "teams.csv"], "new")
    assert arrival.kinds == ["org_mapping", "slurm_jobs"]
    assert arrival.due == {"new": 3}
    assert arrival.told == "3 new"


def test_nothing_new_is_told_hashes_nothing_and_leaves_the_memory(site: Site, known: Memory, monkeypatch) -> None:
    monkeypatch.setattr(landing.hashlib, "file_digest", None)
    arrival = look(site, known, AT + timedelta(days=1))
    assert (arrival.changes, arrival.due, arrival.memory) == ([], {}, known)
    assert arrival.told == "nothing new: 3 files as before"


def test_a_new_file_is_told_with_its_day_and_only_it_is_hashed(site: Site, known: Memory, monkeypatch) -> None:
    hashed = []
    real = hashlib.file_digest
    monkeypatch.setattr(
        landing.hashlib, "file_digest", lambda stream, digest: hashed.append(stream.name) or real(stream, digest)
    )
    file = put(site, "jobs-2026-11-27-collected-20261128T060000Z", "three")
    arrival = look(site, known, AT)
    (change,) = arrival.changes
    assert (change.path, change.what, change.day) == (file.name, "new", date(2026, 11, 27))
    assert (change.size_bytes, change.kinds, change.is_late) == (5, ("slurm_jobs",), False)
    assert arrival.due == {"new": 1}
    assert hashed == [str(file)]
    assert look(site, arrival.memory, AT).changes == []


@pytest.mark.parametrize(
    ("name", "day"),
    [
        ("jobs-2026-11-07-collected-20261128T060000Z", date(2026, 11, 7)),
        ("jobs-20261107.psv", date(2026, 11, 7)),
        ("jobs-collected-20261107T060000Z", date(2026, 11, 7)),
        ("jobs-20261399.psv", None),
        ("jobs-12026110712.psv", None),
        ("jobs-2026-11-31", None),
        ("jobs-november", None),
    ],
)
def test_the_day_of_a_file_is_in_its_name(site: Site, known: Memory, name: str, day: date | None) -> None:
    put(site, name, "other")
    (change,) = look(site, known, AT).changes
    assert change.day == day


def test_a_folder_may_name_the_day(make_site) -> None:
    site = make_site(TOML.replace("jobs-*", "**/jobs"))
    put(site, "2026/11/07/jobs", "x")
    assert [change.day for change in look(site, Memory(), AT).changes] == [date(2026, 11, 7)]


@pytest.mark.parametrize(("day", "what"), [("2026-11-23", "new"), ("2026-11-22", "late"), ("2026-01-01", "late")])
def test_a_day_more_than_three_days_before_the_newest_is_late(site: Site, known: Memory, day: str, what: str) -> None:
    put(site, f"jobs-{day}", "late")
    arrival = look(site, known, AT)
    assert told(arrival) == {f"jobs-{day}": what}
    assert arrival.changes[0].is_late == (what == "late")


def test_a_file_that_was_written_anew_has_changed_or_shrunk(site: Site, known: Memory) -> None:
    put(site, "jobs-2026-11-25", "one more", AT - timedelta(hours=1))
    put(site, "jobs-2026-11-26", "two", AT - timedelta(hours=1))
    arrival = look(site, known, AT)
    assert told(arrival) == {"jobs-2026-11-25": "changed", "jobs-2026-11-26": "shrunk"}
    assert [change.note for change in arrival.changes] == ["3 bytes before", "11 bytes before"]
    assert arrival.due == {"changed": 1, "shrunk": 1}


def test_the_same_content_again_is_told_and_needs_no_build(site: Site, known: Memory) -> None:
    put(site, "teams.csv", "teams", AT - timedelta(hours=1))
    arrival = look(site, known, AT)
    assert told(arrival) == {"teams.csv": "delivered again"}
    assert arrival.due == {}
    put(site, "teams.csv", "steam", AT - timedelta(minutes=30))
    assert told(look(site, arrival.memory, AT)) == {"teams.csv": "changed"}


def test_the_same_content_under_another_name_says_whose_it_is(site: Site, known: Memory) -> None:
    put(site, "jobs-2026-11-27", "one")
    arrival = look(site, known, AT)
    assert told(arrival) == {"jobs-2026-11-27": "delivered again"}
    assert arrival.changes[0].note == "the content of jobs-2026-11-25"
    assert arrival.due == {"delivered again": 1}


def test_a_file_that_came_went_and_came_again_is_told_each_time(site: Site, known: Memory) -> None:
    (site.landing / "teams.csv").unlink()
    gone = look(site, known, AT)
    assert told(gone) == {"teams.csv": "vanished"}
    assert gone.due == {"vanished": 1}
    put(site, "teams.csv", "teams")
    back = look(site, gone.memory, AT)
    assert told(back) == {"teams.csv": "new"}
    assert back.due == {"new": 1}


def test_a_file_that_two_kinds_read_is_told_to_both(make_site) -> None:
    site = make_site(TOML + '[[sources]]\nkind = "slurm_node_events"\nfiles = "jobs-2026*"\n')
    put(site, "jobs-2026-11-25", "one")
    arrival = look(site, Memory(), AT)
    assert arrival.kinds == ["slurm_jobs", "slurm_node_events"]
    assert [change.path for change in arrival.of_kind("slurm_node_events")] == ["jobs-2026-11-25"]


def test_when_files_were_collected_is_part_of_what_arrives(make_site) -> None:
    site = make_site(TOML.replace("collected_at", "# collected_at"))
    put(site, "jobs-2026-11-25", "one")
    before = look(site, Memory(), AT).memory
    put(site, "as_of.txt", "2026-11-26")
    arrival = look(site, before, AT)
    assert told(arrival) == {"as_of.txt": "new"}
    assert arrival.kinds == ["slurm_jobs"]


# Files that are being written.


def test_a_file_that_was_just_touched_waits_until_it_has_settled(site: Site, known: Memory) -> None:
    put(site, "jobs-2026-11-27", "hal", AT - timedelta(seconds=10))
    first = look(site, known, AT)
    assert (first.changes, first.due) == ([], {})
    assert [change.path for change in first.unfinished] == ["jobs-2026-11-27"]
    assert first.told == "nothing new: 3 files as before; 1 file still being written"
    second = look(site, first.memory, AT + timedelta(seconds=49))
    assert second.changes == []
    third = look(site, second.memory, AT + timedelta(seconds=50))
    assert told(third) == {"jobs-2026-11-27": "new"}
    assert third.due == {"new": 1}


def test_a_file_that_grows_waits_whatever_its_time_says(site: Site, known: Memory) -> None:
    in_future = AT + timedelta(days=1)
    put(site, "jobs-2026-11-27", "h", in_future)
    memory = look(site, known, AT).memory
    put(site, "jobs-2026-11-27", "ha", in_future)
    memory = look(site, memory, AT + timedelta(seconds=60)).memory
    put(site, "jobs-2026-11-27", "half", LONG_AGO)
    arrival = look(site, memory, AT + timedelta(seconds=120))
    assert arrival.changes == []
    arrival = look(site, arrival.memory, AT + timedelta(seconds=180))
    assert told(arrival) == {"jobs-2026-11-27": "new"}


def test_a_known_file_that_is_written_anew_is_neither_gone_nor_changed_until_it_is_whole(
    site: Site, known: Memory
) -> None:
    put(site, "teams.csv", "te", AT)
    during = look(site, known, AT)
    assert during.changes == []
    put(site, "teams.csv", "teams", AT + timedelta(seconds=1))
    arrival = look(site, during.memory, AT + timedelta(seconds=5))
    assert arrival.changes == []
    assert told(look(site, arrival.memory, AT + timedelta(seconds=70))) == {"teams.csv": "delivered again"}


def test_others_are_told_at_once_but_built_when_all_is_whole(site: Site, known: Memory) -> None:
    put(site, "jobs-2026-11-27", "whole")
    put(site, "jobs-2026-11-28", "half", AT)
    first = look(site, known, AT)
    assert told(first) == {"jobs-2026-11-27": "new"}
    assert first.due == {}
    second = look(site, first.memory, AT + timedelta(seconds=61))
    assert told(second) == {"jobs-2026-11-28": "new"}
    assert second.due == {"new": 2}
    assert look(site, second.memory, AT + timedelta(seconds=62)).due == {}


def test_files_that_never_stop_coming_hold_no_build_back_for_ever(site: Site, known: Memory) -> None:
    put(site, "jobs-2026-11-27", "whole")
    memory, requested_at = known, []
    for second in range(0, 1921, 60):
        at = AT + timedelta(seconds=second)
        put(site, "jobs-log", "x" * second, at)
        arrival = look(site, memory, at)
        memory = arrival.memory
        if arrival.due:
            requested_at.append(second)
    assert requested_at == [900, 1860]  # written anew from 960 on


@pytest.mark.parametrize("name", ["jobs-2026-11-27.part", "jobs-2026-11-27.TMP", "jobs-2026-11-27~"])
def test_a_temporary_name_never_arrives_and_holds_builds_only_while_it_is_fresh(
    site: Site, known: Memory, name: str
) -> None:
    file = put(site, name, "half", AT)
    put(site, "jobs-2026-11-20", "late")
    first = look(site, known, AT)
    assert told(first) == {"jobs-2026-11-20": "late"}
    assert first.due == {}
    later = look(site, first.memory, AT + timedelta(seconds=60))
    assert (later.changes, later.due) == ([], {"late": 1})
    file.rename(site.landing / "jobs-2026-11-27")
    assert told(look(site, later.memory, AT + timedelta(seconds=120))) == {"jobs-2026-11-27": "new"}


def test_a_hidden_file_is_none_even_where_a_pattern_matches_it(make_site) -> None:
    site = make_site(TOML.replace("jobs-*", "*/*"))
    put(site, "a/jobs", "one")
    put(site, "a/.jobs.part", "half", LONG_AGO)
    put(site, ".b/jobs", "half", LONG_AGO)
    assert told(look(site, Memory(), AT)) == {"a/jobs": "new"}


# What is not lost.


def test_what_arrives_while_a_build_runs_is_told_at_once_and_built_after_it(site: Site, known: Memory) -> None:
    put(site, "jobs-2026-11-27", "three")
    during = look(site, known, AT, is_building=True)
    assert told(during) == {"jobs-2026-11-27": "new"}
    assert during.due == {}
    assert during.told == "1 new; one more build follows the one that is queued or running"
    put(site, "jobs-2026-11-28", "four")
    still = look(site, during.memory, AT, is_building=True)
    assert still.due == {}
    assert look(site, still.memory, AT).due == {"new": 2}


def test_a_memory_is_kept_and_recalled(site: Site, known: Memory) -> None:
    put(site, "jobs-2026-11-27", "whole")
    put(site, "jobs-2026-11-28", "half", AT)
    memory = look(site, known, AT).memory
    assert memory.unfinished
    assert memory.unbuilt
    cursor = remember(site, memory, None)
    assert recall(site, cursor) == memory
    assert len(cursor) == 64


def test_the_memory_of_the_cursor_before_stays_until_the_new_one_is_stored(site: Site, known: Memory) -> None:
    one = remember(site, known, None)
    two = remember(site, replace(known, unbuilt={"new": 1}), one)
    assert recall(site, one) == known
    for count in range(2, 20):
        last = remember(site, replace(known, unbuilt={"new": count}), two)
    assert recall(site, one) == Memory()
    assert recall(site, two).unbuilt == {"new": 1}
    assert recall(site, last).unbuilt == {"new": 19}
    assert len(list((site.work / "arrivals").iterdir())) < 12


def test_two_daemons_that_look_at_one_landing_keep_their_memories(site: Site, known: Memory) -> None:
    one = remember(site, known, None)
    two = remember(site, replace(known, unbuilt={"new": 1}), None)
    assert recall(site, one) == known
    assert recall(site, two).unbuilt == {"new": 1}


@pytest.mark.parametrize("cursor", [None, "", "../../etc/passwd", "f" * 64])
def test_a_lost_cursor_is_a_first_look(site: Site, cursor: str | None) -> None:
    assert recall(site, cursor) == Memory()


def test_a_memory_that_was_cut_off_is_a_first_look(site: Site, known: Memory) -> None:
    cursor = remember(site, known, None)
    (file,) = (site.work / "arrivals").glob("*.json")
    file.write_text(file.read_text(encoding="utf-8")[:40], encoding="utf-8")
    assert recall(site, cursor) == Memory()


# A landing that cannot be looked at.


def test_a_missing_landing_says_so(make_site) -> None:
    site = make_site(TOML)
    site.landing.rmdir()
    with pytest.raises(SourceError, match="is not a folder; expected the landing folder"):
        look(site, Memory(), AT)


def test_a_landing_that_lost_everything_at_once_is_a_mount_that_is_gone(site: Site, known: Memory) -> None:
    for file in site.landing.iterdir():
        file.unlink()
    with pytest.raises(SourceError, match=r"nothing is left of 3 files.*Is it mounted\?"):
        look(site, known, AT)


def test_an_empty_landing_is_no_error_where_nothing_was(make_site) -> None:
    assert look(make_site(TOML), Memory(), AT).told == "nothing new: 0 files as before"


def test_a_digest_of_the_sensor_is_the_builds(site: Site, known: Memory, monkeypatch) -> None:
    file = put(site, "jobs-2026-11-27", "three")
    look(site, known, AT)
    status = file.stat()
    expected = hashlib.sha256(b"three").hexdigest()
    assert Fingerprints(site).known(file, status.st_size, status.st_mtime_ns) == expected
