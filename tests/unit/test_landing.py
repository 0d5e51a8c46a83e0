"""The landing: which files are found, when they are hashed, and when they say that they were collected."""

import gzip
import hashlib
import os
from datetime import UTC, datetime
from pathlib import Path

import pytest

from capacity_dagster.errors import SourceError
from capacity_dagster.site_file import Site
from capacity_dagster.sources import landing
from capacity_dagster.sources.landing import fingerprint, parse_instant, scan
from capacity_dagster.sources.reader import Reader

TOML = """
[site]
name = "test"
first_day = 2026-01-01

[clusters.alpha]

[[sources]]
kind = "slurm_jobs"
files = "*/jobs*.psv"
"""


@pytest.fixture
def hashed(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The contents that were hashed, one by one."""
    contents: list[str] = []
    real = hashlib.file_digest

    def counting(stream, digest):
        contents.append(Path(stream.name).name)
        return real(stream, digest)

    monkeypatch.setattr(landing.hashlib, "file_digest", counting)
    return contents


def replace(file: Path, content: bytes) -> None:
    """Writes other content of the same size and gives the file its old modification time."""
    status = file.stat()
    file.write_bytes(content)
    os.utime(file, ns=(status.st_atime_ns, status.st_mtime_ns))


def test_files_are_found_in_the_order_of_their_paths(make_site) -> None:
    site = make_site(TOML, {"b/jobs.psv": "2", "a/jobs-2.psv": "3", "a/jobs-1.psv": "1", "a/other.psv": "x"})
    found = scan(site)
    assert [delivery.path for delivery in found] == ["a/jobs-1.psv", "a/jobs-2.psv", "b/jobs.psv"]
    assert [delivery.size_bytes for delivery in found] == [1, 1, 1]
    assert [delivery.content_sha256 for delivery in found] == [
        hashlib.sha256(each).hexdigest() for each in (b"1", b"3", b"2")
    ]


def test_a_folder_that_matches_is_no_file(make_site) -> None:
    site = make_site(TOML, {"a/jobs.psv/inside.txt": "1", "b/jobs.psv": "2"})
    assert [delivery.path for delivery in scan(site)] == ["b/jobs.psv"]


def test_a_file_is_hashed_once_while_its_size_and_time_stay(make_site, hashed) -> None:
    site = make_site(TOML, {"a/jobs.psv": "one"})
    before = scan(site)
    after = scan(site)
    assert hashed == ["jobs.psv"]
    assert [each.content_sha256 for each in before] == [each.content_sha256 for each in after]


def test_a_changed_time_alone_hashes_again(make_site, hashed) -> None:
    site = make_site(TOML, {"a/jobs.psv": "one"})
    scan(site)
    os.utime(site.landing / "a/jobs.psv", (1_000_000_000, 1_000_000_000))
    (delivery,) = scan(site)
    assert hashed == ["jobs.psv", "jobs.psv"]
    assert delivery.content_sha256 == hashlib.sha256(b"one").hexdigest()


def test_a_changed_size_alone_hashes_again(make_site, hashed) -> None:
    site = make_site(TOML, {"a/jobs.psv": "one"})
    scan(site)
    replace(site.landing / "a/jobs.psv", b"three")
    (delivery,) = scan(site)
    assert hashed == ["jobs.psv", "jobs.psv"]
    assert delivery.content_sha256 == hashlib.sha256(b"three").hexdigest()


def test_neither_changed_is_taken_for_unchanged(make_site, hashed) -> None:
    site = make_site(TOML, {"a/jobs.psv": "one"})
    (before,) = scan(site)
    replace(site.landing / "a/jobs.psv", b"two")
    (after,) = scan(site)
    assert hashed == ["jobs.psv"]
    assert after.content_sha256 == before.content_sha256


def test_one_changed_file_of_several_is_hashed(make_site, hashed) -> None:
    site = make_site(TOML, {"a/jobs-1.psv": "1", "a/jobs-2.psv": "2"})
    scan(site)
    (site.landing / "a/jobs-2.psv").write_bytes(b"two")
    scan(site)
    assert hashed == ["jobs-1.psv", "jobs-2.psv", "jobs-2.psv"]


def test_fingerprints_that_a_crash_cut_off_are_made_again(make_site, hashed) -> None:
    site = make_site(TOML, {"a/jobs.psv": "one"})
    scan(site)
    (site.work / "fingerprints.json").write_text('{"/landing/a/jobs', encoding="utf-8")
    (delivery,) = scan(site)
    assert hashed == ["jobs.psv", "jobs.psv"]
    assert delivery.content_sha256 == hashlib.sha256(b"one").hexdigest()


def test_scanning_one_kind_forgets_no_fingerprint_of_another(make_site, hashed) -> None:
    site = make_site(
        TOML + '[[sources]]\nkind = "inventory"\nfiles = "inventory.csv"\n',
        {"a/jobs.psv": "1", "inventory.csv": "2"},
    )
    scan(site)
    scan(site, "inventory")
    scan(site)
    assert sorted(hashed) == ["inventory.csv", "jobs.psv"]


# When a delivery was collected.


def collected(site: Site) -> list[datetime | None]:
    return [delivery.collected_at for delivery in scan(site)]


def test_as_of_declares_for_the_files_beside_it_and_no_others(make_site) -> None:
    site = make_site(TOML, {"a/jobs.psv": "1", "a/as_of.txt": "2026-11-21T23:12:56Z\n", "b/jobs.psv": "2"})
    assert collected(site) == [datetime(2026, 11, 21, 23, 12, 56, tzinfo=UTC), None]


@pytest.mark.parametrize(
    ("text", "instant"),
    [
        ("2026-11-21T23:12:56Z", datetime(2026, 11, 21, 23, 12, 56, tzinfo=UTC)),
        ("2026-11-22T00:12:56+01:00", datetime(2026, 11, 21, 23, 12, 56, tzinfo=UTC)),
        ("1795302776", datetime(2026, 11, 21, 23, 12, 56, tzinfo=UTC)),
        ("2026-11-21", datetime(2026, 11, 21, tzinfo=UTC)),
        ("20261121", datetime(2026, 11, 21, tzinfo=UTC)),
        ("20261121T231256Z", datetime(2026, 11, 21, 23, 12, 56, tzinfo=UTC)),
    ],
)
def test_a_collection_time_may_be_spelled_in_these_ways(make_site, text: str, instant: datetime) -> None:
    assert collected(make_site(TOML, {"a/jobs.psv": "1", "a/as_of.txt": text})) == [instant]


@pytest.mark.parametrize("text", ["yesterday", "2026-11-21T23:12:56", "", "2026-13-01"])
def test_an_unreadable_collection_time_is_an_error(make_site, text: str) -> None:
    site = make_site(TOML, {"a/jobs.psv": "1", "a/as_of.txt": text})
    with pytest.raises(SourceError) as raised:
        scan(site)
    said = str(raised.value)
    assert "a/jobs.psv" in said
    assert "as_of.txt" in said
    assert f"'{text}'" in said
    assert said.count("expected") == 1


def test_a_pattern_finds_the_collection_time_in_the_files_name(make_site) -> None:
    toml = TOML + "collected_at = 'jobs-(?P<at>[0-9TZ]+)'\n"
    site = make_site(toml, {"a/jobs-20261107T060000Z.psv": "1", "a/jobs-20261108.psv": "2"})
    assert collected(site) == [datetime(2026, 11, 7, 6, tzinfo=UTC), datetime(2026, 11, 8, tzinfo=UTC)]


def test_a_pattern_goes_before_as_of(make_site) -> None:
    toml = TOML + "collected_at = 'jobs-(?P<at>[0-9]+)'\n"
    site = make_site(toml, {"a/jobs-20261108.psv": "2", "a/as_of.txt": "2026-01-01"})
    assert collected(site) == [datetime(2026, 11, 8, tzinfo=UTC)]


@pytest.mark.parametrize("pattern", ["jobs-(?P<at>[0-9]+)", "jobs(-(?P<at>[0-9]+))?"])
def test_a_name_without_a_time_declares_none(make_site, pattern: str) -> None:
    assert collected(make_site(TOML + f"collected_at = '{pattern}'\n", {"a/jobs.psv": "2"})) == [None]


def test_a_name_with_an_unreadable_time_is_an_error(make_site) -> None:
    site = make_site(TOML + "collected_at = 'jobs-(?P<at>.+)[.]psv'\n", {"a/jobs-late.psv": "2"})
    with pytest.raises(SourceError, match=r"the file's name by the pattern .* declares 'late'.*expected an instant"):
        scan(site)


def test_an_instant_is_never_without_a_zone() -> None:
    assert parse_instant("2026-01-01T00:00:00+05:30") == datetime(2025, 12, 31, 18, 30, tzinfo=UTC)
    with pytest.raises(ValueError, match="offset or Z"):
        parse_instant("2026-01-01T00:00:00")


# What cannot be used.


def test_a_pattern_that_matches_nothing_names_the_landing_and_the_pattern(make_site) -> None:
    site = make_site(TOML, {"a/other.psv": "1"})
    with pytest.raises(SourceError) as raised:
        scan(site)
    said = str(raised.value)
    assert "no file in" in said
    assert str(site.landing) in said
    assert "'*/jobs*.psv'" in said
    assert "expected at least one delivered file" in said


def test_an_empty_landing_says_so_for_each_source(make_site) -> None:
    site = make_site(TOML + '[[sources]]\nkind = "inventory"\nfiles = "inventory.csv"\n')
    with pytest.raises(SourceError) as raised:
        scan(site)
    assert "'slurm_jobs'" in str(raised.value)
    assert "'inventory'" in str(raised.value)


def test_a_missing_landing_names_the_folder_and_the_site_file(make_site) -> None:
    site = make_site(TOML)
    site.landing.rmdir()
    with pytest.raises(SourceError, match="is not a folder") as raised:
        scan(site)
    assert str(site.landing) in str(raised.value)
    assert str(site.path) in str(raised.value)


def test_two_sources_of_one_kind_may_not_name_one_file(make_site) -> None:
    site = make_site(TOML + '[[sources]]\nkind = "slurm_jobs"\nfiles = "a/*"\n', {"a/jobs.psv": "1"})
    with pytest.raises(SourceError, match=r"two sources of kind 'slurm_jobs' name a/jobs\.psv; expected one"):
        scan(site)


def test_two_kinds_may_name_one_file(make_site) -> None:
    site = make_site(TOML + '[[sources]]\nkind = "slurm_node_events"\nfiles = "a/*"\n', {"a/jobs.psv": "1"})
    assert [delivery.kind for delivery in scan(site)] == ["slurm_jobs", "slurm_node_events"]


def test_the_digest_of_a_landing_is_that_of_its_contents(make_site) -> None:
    one = make_site(TOML, {"a/jobs-1.psv": "1", "a/jobs-2.psv": "2"}, folder="one")
    renamed = make_site(TOML, {"b/jobs-x.psv": "2", "b/jobs.psv": "1"}, folder="renamed")
    other = make_site(TOML, {"a/jobs-1.psv": "1", "a/jobs-2.psv": "3"}, folder="other")
    assert fingerprint(scan(one)) == fingerprint(scan(renamed))
    assert fingerprint(scan(one)) != fingerprint(scan(other))


def test_a_link_that_leads_nowhere_is_told(make_site) -> None:
    site = make_site(TOML, {"a/jobs.psv": gzip.compress(b"x")})
    (site.landing / "a/jobs-2.psv").symlink_to(site.landing / "gone")
    with pytest.raises(SourceError, match=r"^a/jobs-2\.psv: is a link that leads nowhere .*expected a readable file"):
        scan(site)


# Files that are being written.


@pytest.mark.parametrize(
    "name", ["a/.jobs.psv", "a/jobs.psv.part", "a/jobs.psv.PARTIAL", "a/jobs.psv.tmp", "a/jobs.psv~", ".a/jobs.psv"]
)
def test_a_temporary_name_is_no_delivery(make_site, name: str) -> None:
    toml = TOML.replace("*/jobs*.psv", "**/*")
    assert [delivery.path for delivery in scan(make_site(toml, {"a/jobs.psv": "1", name: "half"}))] == ["a/jobs.psv"]


def test_where_all_that_matches_is_half_written_the_message_says_so(make_site) -> None:
    site = make_site(TOML.replace("jobs*.psv", "jobs*"), {"a/jobs.psv.part": "half"})
    with pytest.raises(SourceError, match=r"matches '\*/jobs\*' \(1 file under a temporary name\); expected at least"):
        scan(site)


def test_a_file_that_changes_while_it_is_hashed_is_an_error_until_it_does_not(make_site, monkeypatch) -> None:
    site = make_site(TOML, {"a/jobs.psv": "half"})
    real = hashlib.file_digest

    def growing(stream, digest):
        found = real(stream, digest)
        (site.landing / "a/jobs.psv").write_text("half and half", encoding="utf-8")
        return found

    with monkeypatch.context() as patched:
        patched.setattr(landing.hashlib, "file_digest", growing)
        with pytest.raises(SourceError, match=r"a/jobs.psv: changed while it was read"):
            scan(site)
    (delivery,) = scan(site)
    assert delivery.content_sha256 == hashlib.sha256(b"half and half").hexdigest()


@pytest.mark.parametrize("is_removed", [False, True])
def test_a_file_that_changes_before_it_is_read_leaves_no_records(make_site, catalogue, reading, is_removed) -> None:
    header = "Cluster|JobIDRaw|Submit|Start|End|State|AllocTRES|NodeList\n"
    site = make_site(TOML, {"a/jobs.psv": header + "alpha|1|100|100|200|COMPLETED|gres/gpu=1|n1\n"})
    (delivery,) = scan(site)
    if is_removed:
        delivery.file.unlink()
    else:
        delivery.file.write_text(header, encoding="utf-8")
    reader = Reader(site, catalogue["raw.slurm_jobs"])
    with pytest.raises(SourceError, match=r"a/jobs.psv: changed while it was read; expected a whole file"):
        reader.read(reading, delivery)
    assert not site.records_file("slurm_jobs", reader.load_id(delivery)).exists()
