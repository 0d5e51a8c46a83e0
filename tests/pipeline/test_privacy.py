"""Users by their pseudonyms: nobody's name is in what is published or shown, everything else is as it was."""

import hashlib
import hmac
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import duckdb
import pytest
from click.testing import CliRunner

from capacity_dagster.building import BuildResult, build_site, check_landing
from capacity_dagster.cli import EXIT_UNUSABLE, main
from capacity_dagster.errors import SiteFileError
from capacity_dagster.outcome import Outcome
from capacity_dagster.privacy import pseudonym, pseudonym_key
from capacity_dagster.site_file import Site, load_site
from capacity_dagster.tables.catalogue import Catalogue, personal_columns
from capacity_dagster.versions import current

KEY, OTHER_KEY = "correct-horse-battery-staple-0123456789", "x" * 100
USERS = ("wilhelmina", "bartholomew", "o'żółw-zzyzx")
SITE = """
[site]
name = "discreet"
first_day = 2026-02-01

[clusters.alpha]
time_zone = "UTC"

[accelerators.h100]

[[sources]]
kind = "slurm_jobs"
files = "jobs*.psv"

[[sources]]
kind = "slurm_account_usage"
files = "accounts.psv"

[[sources]]
kind = "slurm_node_events"
files = "events.psv"

[[sources]]
kind = "slurm_queue"
files = "queue.psv"
cluster = "alpha"

[[sources]]
kind = "org_mapping"
files = "teams.csv"

[[sources]]
kind = "inventory"
files = "inventory.csv"
"""
PRIVACY = '\n[privacy]\npseudonymise_users = true\nkey_file = "users.key"\n'
T0 = 1_769_940_000  # 2026-02-01T10:00:00Z
HEADER = "Cluster|JobIDRaw|Submit|Eligible|Start|End|State|Account|User|AllocTRES|NodeList|JobName\n"
LAST = f"alpha|3|{T0}|{T0}|{T0 + 100}|{T0 + 140}|COMPLETED|lab|{USERS[2]}|gres/gpu=1|h1|x\n"
FILES = {
    "as_of.txt": "2026-02-01T12:00:00Z\n",
    "inventory.csv": "cluster,node,pool,accelerator_model,accelerators,in_service_at,retired_at\n"
    "alpha,h1,training,h100,4,2026-01-01T00:00:00Z,\n",
    "jobs.psv": HEADER
    + f"alpha|1|{T0}|{T0}|{T0 + 60}|{T0 + 1060}|COMPLETED|lab|{USERS[0]}|gres/gpu=1|h1|{USERS[0]}-train\n"
    + f"alpha|2|{T0}|{T0}|{T0 + 60}|{T0 + 160}|CANCELLED by {USERS[1]}|lab|{USERS[1]}|gres/gpu=1|h1|\n"
    + LAST
    + f"alpha|4|yesterday|{T0}|{T0 + 100}|{T0 + 140}|COMPLETED|lab|{USERS[0]}|gres/gpu=1|h1|{USERS[1]}-rejected\n",
    "accounts.psv": "Cluster/Account/User Utilization 2026-02-01T10:00:00 - 2026-02-01T10:59:59 (3600 secs)\n"
    "Usage reported in TRES Seconds\nCluster|Account|Login|Proper Name|TRES Name|Used\n"
    f"alpha|lab|||gres/gpu|1140\nalpha|lab|{USERS[0]}|Wilhelmina|gres/gpu|1000\n"
    f"alpha|lab|{USERS[1]}|B.|gres/gpu|100\nalpha|lab|{USERS[2]}|Z.|gres/gpu|40\n",
    "events.psv": "Cluster|NodeName|TimeStart|TimeEnd|State|Reason|User\n"
    f"alpha|h1|2026-02-01T11:00:00|2026-02-01T11:30:00|DOWN|{USERS[1]} broke it|{USERS[0]}(1000)\n"
    f"alpha|h1|tomorrow|2026-02-01T11:30:00|DOWN|{USERS[1]} broke it|{USERS[0]}(1000)\n",
    "queue.psv": "JOBID|STATE|SUBMIT_TIME|PARTITION|ACCOUNT|USER|QOS|REASON\n"
    f"9|PENDING|{T0}|p|lab|{USERS[0]}|q|Priority\n",
    "teams.csv": "cluster,account,user,team,valid_from,valid_to\n"
    f",lab,,lab,2026-01-01,\n,,{USERS[0]},vision,2026-01-01,\n",
}
CONTENT = """
    select job_id, team, account, user_name, job_name, accelerators from mart.attempts order by all;
    select distinct user_name, team from mart.attempt_hours order by all;
    select subject_kind, user_name, ours, theirs, unexplained from report.reconciliation_daily order by all
"""


def called(name: str, key: str = KEY) -> str:
    """What the definition says: HMAC-SHA-256, the first 64 bits."""
    return f"u_{hmac.new(key.encode(), name.encode(), hashlib.sha256).hexdigest()[:16]}"


def content(file: Path) -> list[list[tuple[Any, ...]]]:
    with duckdb.connect(str(file), read_only=True) as connection:
        return [connection.execute(sql).fetchall() for sql in CONTENT.split(";")]


def published(site: Site) -> list[list[tuple[Any, ...]]]:
    publication = current(site.published)
    assert publication is not None
    return content(publication.folder / "capacity.duckdb")


def texts(file: Path) -> Iterator[str]:
    """All that a file says: each value of a database or of Parquet, compressed text, else its bytes."""
    if file.suffix == ".duckdb":
        with duckdb.connect(str(file), read_only=True) as connection:
            named = connection.execute("select schema_name, table_name from duckdb_tables() where not temporary")
            for schema, table in named.fetchall():
                yield str(connection.execute(f'from "{schema}"."{table}"').fetchall())
            yield str(
                connection.execute(
                    "select sql from duckdb_views() union all select sql from duckdb_tables()"
                ).fetchall()
            )
    elif file.suffix == ".parquet":
        yield str(duckdb.sql(f"from read_parquet('{file}')").fetchall())
    elif file.suffix == ".gz":
        yield str(duckdb.sql(f"select content from read_text('{file}')").fetchall())
    yield file.read_bytes().decode("utf-8", errors="replace")


def found_in(folder: Path, words: tuple[str, ...]) -> list[str]:
    spelled = {word: {word, json.dumps(word)[1:-1], repr(word)[1:-1], word.replace("'", "''")} for word in words}
    return [
        f"{word} in {file.relative_to(folder)}"
        for file in sorted(folder.rglob("*"))
        if file.is_file() and not file.is_symlink()
        for text in texts(file)
        for word, forms in spelled.items()
        if any(form in text for form in forms)
    ]


@pytest.fixture(scope="module")
def discreet(tmp_path_factory: pytest.TempPathFactory) -> tuple[Site, list[BuildResult]]:
    """A site that names nobody: built through Dagster, then once more with a file that cannot be used."""
    folder = tmp_path_factory.mktemp("discreet") / "site"
    (folder / "landing").mkdir(parents=True)
    (folder / "users.key").write_text(f"{KEY}\n", encoding="utf-8")
    (folder / "site.toml").write_text(f"{SITE}{PRIVACY}drop_job_names = true\n", encoding="utf-8")
    for name, text in FILES.items():
        (folder / "landing" / name).write_text(text, encoding="utf-8")
    site = load_site(folder)
    results = [build_site(site, None, None, None)]
    (folder / "landing" / "jobs-without-a-header.psv").write_text(LAST, encoding="utf-8")
    results.append(build_site(site, None, None, None))
    return site, results


def test_pseudonyms_join_as_names_do(discreet: tuple[Site, list[BuildResult]]) -> None:
    site, (result, _) = discreet
    assert (result.problems, result.failures) == ([], [])
    first, second, third = map(called, USERS)
    attempts, hours, compared = published(site)
    assert attempts == [
        ("1", "vision", "lab", first, None, 1),
        ("2", "lab", "lab", second, None, 1),
        ("3", "lab", "lab", third, None, 1),
    ]
    assert hours == sorted([(first, "vision"), (second, "lab"), (third, "lab")])
    assert compared == [
        ("account", "", 1140, 1140, 0),
        *sorted([("user", first, 1000, 1000, 0), ("user", second, 100, 100, 0), ("user", third, 40, 40, 0)]),
    ]


def test_nobody_is_named_in_what_is_published_or_shown(discreet: tuple[Site, list[BuildResult]]) -> None:
    site, _ = discreet
    assert found_in(site.landing, USERS), "what is looked for is delivered"
    assert found_in(site.published, USERS) == []
    assert found_in(site.dagster_home, USERS) == []
    assert found_in(site.dagster_home, ("yesterday", "tomorrow")) == [], "what is rejected is not quoted"
    assert [line for line in found_in(site.work, USERS) if "capacity.duckdb" in line] == []


def test_nobody_is_named_on_the_terminal(discreet: tuple[Site, list[BuildResult]]) -> None:
    site, results = discreet
    printed = [line for each in results for line in (each.told, *each.problems, *each.failures, *each.warnings)]
    assert "jobs-without-a-header.psv: line 1 has no column" in "\n".join(printed)
    assert [line for line in printed if any(user in line for user in USERS)] == []
    _, problems = check_landing(site, lambda _: None)
    assert len(problems) == 1
    assert USERS[2] not in problems[0]
    assert "found: (withheld); expected" in problems[0]


@pytest.mark.parametrize(
    ("words", "is_about"),
    [
        ("rejects", "slurm_jobs unreadable_submit"),
        ("rejects --records 9", "slurm_jobs unreadable_submit"),
        ("rejects --json", "record_text"),
        ("rejects --records 9 --json", "record_text"),
        ("explain report.fleet_efficiency_daily 2026-02-01 alpha training h100 allocated_hours", "raw.slurm_jobs"),
        (
            "explain report.fleet_efficiency_daily 2026-02-01 alpha training h100 allocated_hours --json",
            "raw.slurm_jobs",
        ),
        ("explain core.attempts alpha/1/1769940000 user_name", "core.attempts.user_name"),
        ("explain raw.slurm_account_usage used_seconds", "raw.slurm_account_usage"),
        ("explain raw.slurm_jobs user_name=nobody job_id", "there is"),
    ],
)
def test_commands_show_what_was_delivered_only_where_that_is_asked_for(
    discreet: tuple[Site, list[BuildResult]], words: str, is_about: str
) -> None:
    site, _ = discreet
    arguments = [*words.split(), "--site", str(site.path)]
    told = CliRunner().invoke(main, arguments).output
    assert is_about in told
    assert "withheld" in told
    assert [user for user in USERS if user in told] == []
    assert [user for user in USERS if user in CliRunner().invoke(main, [*arguments, "--show-people"]).output] != []


def test_the_key_is_nowhere_but_in_its_file(discreet: tuple[Site, list[BuildResult]]) -> None:
    site, _ = discreet
    padded = [bytes(byte ^ pad for byte in KEY.encode().ljust(64, b"\0")) for pad in (0x36, 0x5C)]
    assert found_in(site.folder, (KEY,)) == [f"{KEY} in users.key"]
    files = [file for file in site.folder.rglob("*") if file.is_file() and file.name != "users.key"]
    assert [str(file) for file in files if any(key in file.read_bytes() for key in (KEY.encode(), *padded))] == []
    assert KEY not in f"{site!r} {site.content!r} {vars(site)}"


def test_what_the_key_is_given_for_is_rebuilt_and_nothing_else(
    make_site: Callable[..., Site], build: Callable[..., dict[str, Outcome]], monkeypatch: pytest.MonkeyPatch
) -> None:
    site = make_site(SITE, FILES)
    build(site)
    named = content(site.work / "capacity.duckdb")
    assert {row[3] for row in named[0]} == set(USERS)
    assert named[0][0][4] == f"{USERS[0]}-train"

    def rebuilt(privacy: str) -> set[str]:
        (site.folder / "site.toml").write_text(SITE + privacy, encoding="utf-8")
        return {name for name, outcome in build(load_site(site.folder)).items() if not outcome.was_up_to_date}

    # What is compared with the scheduler is found by user; how well that agrees is seen again, and is as it was.
    shows_names = {"mart.attempts", "mart.attempt_hours", "report.reconciliation_daily", "report.trust_daily"}
    variable = PRIVACY.replace('key_file = "users.key"', 'key_variable = "USERS_KEY"')
    monkeypatch.setenv("USERS_KEY", KEY)
    assert rebuilt(variable) == shows_names
    pseudonymous = content(site.work / "capacity.duckdb")
    assert {row[3] for row in pseudonymous[0]} == set(map(called, USERS))
    assert rebuilt(variable) == set()

    monkeypatch.setenv("USERS_KEY", OTHER_KEY)
    assert rebuilt(variable) == shows_names
    assert {row[3] for row in content(site.work / "capacity.duckdb")[0]} == {called(name, OTHER_KEY) for name in USERS}

    assert rebuilt(f"{variable}drop_job_names = true\n") == {"mart.attempts"}
    assert {row[4] for row in content(site.work / "capacity.duckdb")[0]} == {None}
    assert rebuilt("") == shows_names
    assert content(site.work / "capacity.duckdb") == named


@pytest.mark.parametrize("length", [32, 63, 64, 65, 200])
def test_sql_hashes_as_the_standard_library_does(
    make_site: Callable[..., Site], query: Callable[..., Any], length: int
) -> None:
    key = "".join(chr(33 + number % 90) for number in range(length))
    site = make_site(SITE + PRIVACY)
    (site.folder / "users.key").write_text(key, encoding="utf-8")
    names = ["", "a", "Jürgen", "\u202eevil\u200b", "'; drop table x; --", "n" * 10_000]
    rows = query(site, "select name, pseudonym(name) from (select unnest(?::varchar[]) as name)", [names])
    assert dict(rows) == {name: called(name, key) for name in names}
    assert [pseudonym(key.encode(), name) for name in names] == [called(name, key) for name in names]


def test_without_a_key_sql_hashes_nothing(make_site: Callable[..., Site], query: Callable[..., Any]) -> None:
    assert query(make_site(SITE), "select pseudonym('ann')") == [(None,)]


@pytest.mark.parametrize(
    ("privacy", "expected"),
    [
        ('key_file = "users.key"', "users.key that privacy.key_file names cannot be read (No such file or directory)"),
        ('key_file = "short.key"', "short.key that privacy.key_file names has 31 bytes; expected at least 32 bytes"),
        ('key_file = "landing/users.key"', "is inside"),
        ('key_variable = "NO_SUCH_KEY"', "'NO_SUCH_KEY' that privacy.key_variable names is not set"),
    ],
)
def test_a_key_that_cannot_be_used_is_told(make_site: Callable[..., Site], privacy: str, expected: str) -> None:
    site = make_site(f"{SITE}\n[privacy]\npseudonymise_users = true\n{privacy}\n", {"users.key": KEY})
    (site.folder / "short.key").write_text("k" * 31 + "\n", encoding="utf-8")
    with pytest.raises(SiteFileError) as told:
        pseudonym_key(site)
    assert expected in str(told.value)
    for command in ("check", "build"):
        assert CliRunner().invoke(main, [command, "--site", str(site.path)]).exit_code == EXIT_UNUSABLE


@pytest.mark.parametrize(
    ("privacy", "expected"),
    [
        ("", "expected a key 'key_file' or 'key_variable'"),
        ('key_file = "a"\nkey_variable = "b"', "expected one of them"),
        ('key = "correct-horse-battery-staple"', "unknown key 'privacy.key'; expected one of"),
    ],
)
def test_a_section_that_cannot_be_used_is_told(make_site: Callable[..., Site], privacy: str, expected: str) -> None:
    with pytest.raises(SiteFileError) as told:
        make_site(f"{SITE}\n[privacy]\npseudonymise_users = true\n{privacy}\n")
    assert expected in str(told.value)
    assert "staple" not in str(told.value)


def test_every_column_of_a_user_is_known_to_be_one(catalogue: Catalogue) -> None:
    """Samples of rows are shown: a column that names users, under whatever name, must be concealed there."""
    columns = {name for table in catalogue for name in table.columns}
    assert {name for name in columns if "user_name" in name} == {
        name for name, kind in personal_columns().items() if kind == "user"
    }
    texts = {name for name, kind in personal_columns().items() if kind == "text"}
    assert {name for table in catalogue if table.is_published for name in texts.intersection(table.columns)} == {
        "job_name"
    }
    renamed = [
        check.name
        for table in catalogue
        for check in table.checks
        for name in personal_columns()
        if f"{name} as " in check.sql
    ]
    assert renamed == []
