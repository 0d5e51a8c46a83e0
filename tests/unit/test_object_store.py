"""A landing on an object store, with a server of its own that speaks S3."""

import json
import logging
import os
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import boto3
import dagster as dg
import pytest
from moto.backends import get_backend
from moto.server import ThreadedMotoServer

from capacity_dagster.building import check_landing
from capacity_dagster.defs.arrival import arrivals
from capacity_dagster.defs.resources import WarehouseResource
from capacity_dagster.errors import CollectionError, SiteFileError, SourceError
from capacity_dagster.locks import locked
from capacity_dagster.site_file import SITE_VARIABLE, Site
from capacity_dagster.sources import object_store
from capacity_dagster.sources.landing import files_of, matches, scan
from capacity_dagster.sources.object_store import Mirrored, mirror
from capacity_dagster.sources.slurm_collector import collect_slurm

BUCKET = "deliveries"
TOML = """
[site]
name = "test"
first_day = 2026-01-01
landing = "s3://deliveries/site/a"

[landing]
endpoint = "{endpoint}"
region = "us-east-1"

[clusters.alpha]

[[sources]]
kind = "slurm_jobs"
files = "*/jobs*"

[[sources]]
kind = "org_mapping"
files = "teams.csv"
"""


@pytest.fixture(scope="module")
def endpoint() -> Iterator[str]:
    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    with pytest.MonkeyPatch.context() as patched:
        patched.setenv("AWS_ACCESS_KEY_ID", "a-key")
        patched.setenv("AWS_SECRET_ACCESS_KEY", "a-secret")
        yield f"http://{host}:{port}"
    server.stop()


@pytest.fixture
def bucket(endpoint: str) -> Iterator[Any]:
    """An empty bucket."""
    found = boto3.resource("s3", endpoint_url=endpoint, region_name="us-east-1").Bucket(BUCKET)
    found.create()
    yield found
    found.objects.delete()
    found.delete()


@pytest.fixture
def put(bucket: Any) -> Callable[[str, str], None]:
    """put(path, content): writes an object below the site's prefix."""

    def write(path: str, content: str) -> None:
        bucket.put_object(Key=f"site/a/{path}", Body=content.encode())

    return write


@pytest.fixture
def site(make_site, endpoint: str, put) -> Site:
    put("alpha/jobs-1.psv", "one")
    put("alpha/jobs-2.psv.gz", "not unpacked")
    put("teams.csv", "teams")
    return make_site(TOML.format(endpoint=endpoint))


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The keys of the objects that were fetched."""
    keys: list[str] = []
    real = object_store._Store.fetch

    def fetch(store, listed, etag, target):
        keys.append(listed.key.removeprefix(f"{BUCKET}/site/a/"))
        return real(store, listed, etag, target)

    monkeypatch.setattr(object_store._Store, "fetch", fetch)
    return keys


def later() -> datetime:
    """A time at which what was written just now is old."""
    return datetime.now(UTC) + timedelta(minutes=1)


def copy_of(site: Site) -> dict[str, str]:
    return {
        file.relative_to(site.landing).as_posix(): file.read_text(encoding="utf-8")
        for file in sorted(site.landing.rglob("*"))
        if file.is_file()
    }


WHOLE = {"alpha/jobs-1.psv": "one", "alpha/jobs-2.psv.gz": "not unpacked", "teams.csv": "teams"}


def test_what_sources_name_is_copied_below_work_and_scanned_there(site: Site, put) -> None:
    put("alpha/other.psv", "nobody names it")
    put("alpha/.jobs-3.psv", "hidden")
    put("alpha/jobs-3.psv.part", "half")
    put("as_of.txt", "2026-11-28")
    put("beta/as_of.txt", "beside nothing")
    assert mirror(site).fetched == [*sorted([*WHOLE, "as_of.txt"])]
    assert site.landing == site.work / "landing"
    assert copy_of(site) == WHOLE | {"as_of.txt": "2026-11-28"}
    assert [(each.path, each.collected_at) for each in scan(site)] == [
        ("teams.csv", datetime(2026, 11, 28, tzinfo=UTC)),
        ("alpha/jobs-1.psv", None),
        ("alpha/jobs-2.psv.gz", None),
    ]


def test_a_copy_bears_the_objects_time(site: Site, bucket: Any) -> None:
    mirror(site)
    (told,) = bucket.objects.filter(Prefix="site/a/teams.csv")
    assert (site.landing / "teams.csv").stat().st_mtime == told.last_modified.timestamp()


def test_only_what_is_new_or_changed_is_fetched_and_what_is_gone_is_removed(site: Site, put, bucket, asked) -> None:
    mirror(site, at=later())
    asked.clear()
    assert mirror(site, at=later()) == Mirrored()
    put("beta/jobs-1.psv", "three")
    put("teams.csv", "other teams")
    bucket.Object("site/a/alpha/jobs-1.psv").delete()
    assert mirror(site, at=later()) == Mirrored(["beta/jobs-1.psv", "teams.csv"], ["alpha/jobs-1.psv"])
    assert sorted(asked) == ["beta/jobs-1.psv", "teams.csv"]
    assert copy_of(site) == {
        "alpha/jobs-2.psv.gz": "not unpacked",
        "beta/jobs-1.psv": "three",
        "teams.csv": "other teams",
    }


def test_other_content_of_the_same_size_in_the_same_second_is_seen(site: Site, put, asked) -> None:
    mirror(site)
    put("teams.csv", "steam")
    mirror(site)
    assert copy_of(site)["teams.csv"] == "steam"


def test_the_same_content_written_anew_is_not_fetched_but_has_a_new_time(site: Site, bucket, asked) -> None:
    mirror(site, at=later())
    index = json.loads((site.work / "landing.json").read_text(encoding="utf-8"))
    index["objects"]["teams.csv"][1] = 1_000_000_000  # as if it had been fetched long ago
    (site.work / "landing.json").write_text(json.dumps(index), encoding="utf-8")
    os.utime(site.landing / "teams.csv", (1, 1))
    asked.clear()
    assert mirror(site, at=later()) == Mirrored()
    assert asked == []
    (told,) = bucket.objects.filter(Prefix="site/a/teams.csv")
    assert (site.landing / "teams.csv").stat().st_mtime == told.last_modified.timestamp()


def test_a_copy_that_somebody_changed_is_mended(site: Site) -> None:
    mirror(site)
    (site.landing / "teams.csv").write_text("mine", encoding="utf-8")
    (site.landing / "alpha" / "jobs-1.psv").unlink()
    (site.landing / "stray").mkdir()
    (site.landing / "stray" / "jobs-9").write_text("not from the store", encoding="utf-8")
    mirror(site)
    assert copy_of(site) == WHOLE
    assert not (site.landing / "stray").exists()


def test_a_lost_index_fetches_everything_again(site: Site, asked) -> None:
    mirror(site)
    (site.work / "landing.json").write_text('{"url": "s3://deliv', encoding="utf-8")
    asked.clear()
    mirror(site)
    assert len(asked) == 3


def test_a_file_may_become_a_folder_and_a_folder_a_file(make_site, endpoint: str, put, bucket) -> None:
    site = make_site(TOML.format(endpoint=endpoint).replace("*/jobs*", "**/*"))
    put("a", "file")
    put("b/c", "in a folder")
    mirror(site)
    bucket.objects.delete()
    put("a/d", "in a folder")
    put("b", "file")
    mirror(site)
    assert copy_of(site) == {"a/d": "in a folder", "b": "file"}


# What fails.


def test_a_failure_half_way_leaves_the_copy_as_it_was_and_the_next_goes_on(
    site: Site, put, bucket, monkeypatch: pytest.MonkeyPatch, asked: list[str]
) -> None:
    mirror(site, at=later())
    put("beta/jobs-1.psv", "three")
    put("beta/jobs-2.psv", "four")
    put("teams.csv", "other teams")
    bucket.Object("site/a/alpha/jobs-1.psv").delete()
    counting = object_store._Store.fetch

    def failing(store, listed, etag, target):
        if listed.key.endswith("beta/jobs-2.psv"):
            raise OSError("the connection was reset\nand more")
        return counting(store, listed, etag, target)

    with monkeypatch.context() as patched:
        patched.setattr(object_store, "AT_ONCE", 1)
        patched.setattr(object_store._Store, "fetch", failing)
        with pytest.raises(SourceError) as raised:
            mirror(site, at=later())
    assert str(raised.value) == (
        "s3://deliveries/site/a/beta/jobs-2.psv: the connection was reset\n"
        "1 of 3 objects fetched; the copy stays as it was until all are"
    )
    assert copy_of(site) == WHOLE
    asked.clear()
    mirror(site, at=later())
    assert sorted(asked) == ["beta/jobs-2.psv", "teams.csv"]
    assert copy_of(site) == {
        "alpha/jobs-2.psv.gz": "not unpacked",
        "beta/jobs-1.psv": "three",
        "beta/jobs-2.psv": "four",
        "teams.csv": "other teams",
    }
    assert not (site.work / "landing.incoming").exists()


def test_a_look_that_has_no_time_left_goes_on_at_the_next(site: Site) -> None:
    with pytest.raises(SourceError, match=r"more is to be fetched; the next look goes on\n0 of 3 objects fetched"):
        mirror(site, at_most_seconds=0)
    assert not site.landing.exists()
    mirror(site, at_most_seconds=60)
    assert copy_of(site) == WHOLE


def test_an_object_that_is_replaced_while_it_is_fetched_is_not_taken(site: Site, put, monkeypatch) -> None:
    real = object_store.shutil.copyfileobj

    def replaced(stream, out, size):
        real(stream, out, size)
        put("teams.csv", "steam")

    with monkeypatch.context() as patched:
        patched.setattr(object_store.shutil, "copyfileobj", replaced)
        with pytest.raises(SourceError, match=r"teams.csv: was replaced while it was fetched"):
            mirror(site)
    assert not site.landing.exists()
    mirror(site)
    assert copy_of(site)["teams.csv"] == "steam"


def test_an_emptied_prefix_is_a_mistake_and_leaves_the_copy(site: Site, put, bucket) -> None:
    mirror(site)
    bucket.objects.delete()
    with pytest.raises(
        SourceError, match=r"s3://deliveries/site/a: cannot be listed: .*expected a prefix with objects"
    ):
        mirror(site)
    put("alpha/other", "nobody names it")
    with pytest.raises(SourceError, match=r"s3://deliveries/site/a: nothing is left of 3 objects"):
        mirror(site)
    assert copy_of(site) == WHOLE


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("s3://deliveries/site/a", "s3://no-such-bucket/a", "NO_SUCH_BUCKET"),
        ('endpoint = "http://', 'endpoint = "https://', "cannot be listed"),
    ],
)
def test_a_store_that_cannot_be_reached_says_where_to_look(make_site, endpoint, put, old: str, new: str, said) -> None:
    site = make_site(TOML.format(endpoint=endpoint).replace(old, new))
    with pytest.raises(SourceError) as raised:
        mirror(site)
    for part in (str(site.landing_url), said, str(site.path), "AWS_ACCESS_KEY_ID"):
        assert part in str(raised.value)
    assert "a-secret" not in str(raised.value)
    assert len(str(raised.value).splitlines()) == 1


@pytest.fixture
def put_untidy(bucket: Any, put) -> Callable[[str], None]:
    """put_untidy(path): writes an object past client and server, which would tidy its name up."""
    put("teams.csv", "teams")
    store = get_backend("s3")["123456789012"]["aws"]
    return lambda path: store.put_object(BUCKET, f"site/a/{path}", b"evil")


@pytest.mark.parametrize("path", ["../../jobs", "a/../jobs", "..", "./jobs", ".ssh/jobs"])
def test_a_name_that_leads_elsewhere_is_hidden_as_any_that_begins_with_a_dot(
    make_site, endpoint: str, put_untidy, path: str
) -> None:
    site = make_site(TOML.format(endpoint=endpoint).replace("*/jobs*", "**/*"))
    put_untidy(path)
    assert mirror(site) == Mirrored(["teams.csv"])


@pytest.mark.parametrize(
    ("path", "said"), [("a//jobs", "has an empty part in its name"), ("a/" + "jobs" * 70, "has too long a name")]
)
def test_a_name_that_is_none_for_a_file_is_refused(make_site, endpoint: str, put_untidy, path: str, said: str) -> None:
    site = make_site(TOML.format(endpoint=endpoint).replace("*/jobs*", "**/*"))
    put_untidy(path)
    with pytest.raises(SourceError, match=rf"s3://deliveries/site/a.*{said}.*expected"):
        mirror(site)
    assert not site.landing.exists()


def test_an_object_below_an_object_is_refused(make_site, endpoint: str, put) -> None:
    site = make_site(TOML.format(endpoint=endpoint).replace("*/jobs*", "**/*"))
    put("a", "file")
    put("a/b", "below")
    with pytest.raises(SourceError, match=r"s3://deliveries/site/a/a/b: cannot lie below a, which is an object too"):
        mirror(site)


def test_slurm_is_not_collected_into_a_store(site: Site) -> None:
    with pytest.raises(CollectionError, match=r"landing is s3://deliveries/site/a; expected a folder to collect into"):
        collect_slurm(site, ["alpha"])


# Who fetches.


JOBS = """\
Cluster|JobIDRaw|Submit|Start|End|State|AllocTRES|NodeList
alpha|1|1795860000|1795860000|1795863600|COMPLETED|gres/gpu=1|n1
"""


def test_what_is_checked_is_what_the_store_has(site: Site, put) -> None:
    put("alpha/jobs-1.psv", JOBS)
    put("alpha/jobs-2.psv.gz", JOBS)
    put("teams.csv", "cluster,account,team,valid_from,valid_to\nalpha,a,ml,2026-01-01T00:00:00Z,\n")
    loads, problems = check_landing(site, lambda _: None)
    assert problems == []
    assert {load.delivery.path: load.accepted_rows for load in loads} == {
        "alpha/jobs-1.psv": 1,
        "alpha/jobs-2.psv.gz": 1,
        "teams.csv": 1,
    }


def test_a_run_fetches_before_its_first_step_and_fails_with_the_reason(site: Site, put, bucket) -> None:
    resource = WarehouseResource(database=str(site.path))
    with resource.yield_for_execution(dg.build_init_resource_context()):
        assert copy_of(site) == WHOLE
    bucket.objects.delete()
    with (
        pytest.raises(SourceError, match="cannot be listed"),
        resource.yield_for_execution(dg.build_init_resource_context()),
    ):
        pass


def test_the_sensor_fetches_and_tells_unless_a_build_reads(make_site, endpoint: str, put, monkeypatch) -> None:
    put("alpha/jobs-1.psv", "one")
    site = make_site(TOML.format(endpoint=endpoint).replace("[landing]", "[landing]\nsettle_seconds = 0"))
    monkeypatch.setenv(SITE_VARIABLE, str(site.path))

    def tick(cursor: str | None) -> Any:
        with dg.DagsterInstance.ephemeral() as instance:
            return arrivals(dg.build_sensor_context(instance=instance, cursor=cursor))

    first = tick(None)
    assert [event.asset_key.path for event in first.asset_events] == [["landing", "slurm_jobs"]]
    assert len(first.run_requests) == 1
    put("teams.csv", "teams")
    with locked(site, "a build"):
        during = tick(first.cursor)
        assert (during.asset_events, during.run_requests) == ([], [])
        assert copy_of(site) == {"alpha/jobs-1.psv": "one"}
    after = tick(during.cursor)
    assert [event.asset_key.path for event in after.asset_events] == [["landing", "org_mapping"]]
    assert len(after.run_requests) == 1


# What the site file says.


@pytest.mark.parametrize(
    ("old", "new", "key"),
    [
        ("s3://deliveries/site/a", "s3://key:secret@deliveries/a", "site.landing"),
        ("s3://deliveries/site/a", "gs://deliveries/a", "site.landing"),
        ("s3://deliveries/site/a", "s3://deliveries/../a", "site.landing"),
        ("http://127.0.0.1:1", "http://key:secret@127.0.0.1:1", "landing.endpoint"),
        ("http://127.0.0.1:1", "127.0.0.1:1", "landing.endpoint"),
    ],
)
def test_a_place_that_is_none_is_told_with_its_key(make_site, old: str, new: str, key: str) -> None:
    with pytest.raises(SiteFileError, match=rf"key '{key}' is .*expected"):
        make_site(TOML.format(endpoint="http://127.0.0.1:1").replace(old, new))


def test_a_folder_is_no_store(make_site) -> None:
    site = make_site(TOML.format(endpoint="http://127.0.0.1:1").replace("s3://deliveries/site/a", "landing"))
    assert site.landing_url is None
    assert mirror(site) == Mirrored()
    assert not site.work.exists()


@pytest.mark.parametrize(
    "pattern",
    ["*", "jobs", "a/*", "*/jobs*", "**/jobs", "a/**/jobs", "**/*", "[ab]/jobs?1", "./a/jobs", "a/b/**/*.csv"],
)
def test_a_pattern_matches_an_object_as_it_does_a_file(make_site, pattern: str) -> None:
    paths = ["jobs", "a/jobs", "a/jobs-1", "b/jobs_1", "a/b/jobs", "a/b/c/jobs", "a/b/x.csv", "a/b/c/y.csv", "c/.jobs"]
    toml = TOML.format(endpoint="http://127.0.0.1:1").replace("s3://deliveries/site/a", "landing")
    site = make_site(toml.replace("*/jobs*", pattern), dict.fromkeys([path for path in paths if path != "jobs"], "x"))
    (site.landing / "jobs").write_text("x", encoding="utf-8")
    found = {file.relative_to(site.landing).as_posix() for file in files_of(site, site.content.sources[0])}
    assert found == {path for path in paths if matches(pattern, path)}
