"""Names that nobody should trust, everywhere that a name can be: they are data wherever they come, and do nothing."""

import csv
import gzip
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import dagster as dg
import duckdb
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from click.testing import CliRunner

from capacity_dagster.building import BuildResult, build_site
from capacity_dagster.cli import main
from capacity_dagster.errors import SiteFileError
from capacity_dagster.site_file import Site, load_site
from capacity_dagster.versions import Publication, current

MARKS = ("drop", "script", "onerror", "invalid", "passwd", "HYPERLINK", "pwned", "\u202e", "frac", "[red]")
"""What would be seen of the names below."""
NAMES = (
    "'; drop table x; --",
    '"; drop schema mart cascade; --',
    "<script>alert(1)</script>",
    "<img src=x onerror=alert(1)>",
    "![x](http://x.invalid) `y` **z**",
    "../../etc/passwd",
    '=HYPERLINK("http://x.invalid","x")',
    "+1",
    "-1+1",
    "@SUM(1)",
    "\x1b]0;pwned\x07",
    "\u202egnp.pwned\u200b",
    "$cluster ${HOME} {braces} %s $1 ?",
    "[red]pwned[/red]",
    r"$\frac{1}{$",
    "pwned" * 1_000,
)
POOLS = (*NAMES, "two\nlines, pwned")
"""Comma-separated values can hold more than what Slurm's commands print."""
FILE_NAMES = (
    "jobs.psv",
    "jobs'; drop table x; --.psv",
    "jobs<img src=x onerror=alert(1)>.psv",
    "jobs\x1b]0;pwned\x07.psv",
    "jobs\npublished: pwned.psv",
    "jobs*.psv",
    "jobs?[a-z].psv",
    "jobs%s{0}$cluster[red].psv",
    "cluster=pwned/text=pwned/jobs\u202e.psv",
)
FOLDER = "it's a site; cluster=x $y {z} %s"
MODEL = "<b>h100</b> $x$ [red]"
SITE = f"""
[site]
name = "<script>alert(1)</script>"
first_day = 2026-02-01

[clusters.alpha]
time_zone = "UTC"

[accelerators."{MODEL}"]
aliases = ["h100"]

[pools]
{"".join(f"{json.dumps(name)} = {{}}" + chr(10) for name in POOLS if len(name) <= 200)}

[[sources]]
kind = "slurm_jobs"
files = "**/jobs*"

[[sources]]
kind = "slurm_node_events"
files = "events.psv"

[[sources]]
kind = "org_mapping"
files = "teams.csv"

[[sources]]
kind = "inventory"
files = "inventory.csv"

[[sources]]
kind = "flat_costs"
files = "costs.csv"
"""
T0 = 1_769_940_000  # 2026-02-01T10:00:00Z
COLUMNS = ("user_name", "account", "partition_name", "qos", "reservation_name", "job_name")
HEADER = (
    "Cluster|JobIDRaw|Submit|Eligible|Start|End|State|User|Account|Partition|QOS|Reservation|AllocTRES|NodeList|JobName"
)


def job(number: int, name: str, submitted: object = T0) -> str:
    values = ["alpha", number, submitted, T0, T0 + 60, T0 + 3660, "COMPLETED", *[name] * 5, "gres/gpu=1"]
    return "|".join(map(str, [*values, f"h{number}", name]))


def spreadsheet(header: str, rows: list[list[str]]) -> str:
    quoted = [",".join(f'"{value.replace(chr(34), chr(34) * 2)}"' for value in row) for row in rows]
    return "\n".join([header, *quoted, ""])


def write(site: Path) -> None:
    landing = site / "landing"
    landing.mkdir(parents=True)
    (site / "site.toml").write_text(SITE, encoding="utf-8")
    for place, file_name in enumerate(FILE_NAMES):
        lines = [job(number, name) for number, name in enumerate(NAMES) if number % len(FILE_NAMES) == place]
        file = landing / file_name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text("\n".join([HEADER, *lines, ""]), encoding="utf-8")
    with (landing / "jobs.psv").open("a", encoding="utf-8") as jobs:
        jobs.writelines(f"{job(90 + number, name, name)}\n" for number, name in enumerate(NAMES[:5]))  # rejected
    installed = [["alpha", f"h{number}", name, "h100", "1", "2026-01-01", ""] for number, name in enumerate(POOLS)]
    others = [["alpha", name, "nodes", "h100", "1", "2026-01-01", ""] for name in NAMES[:-1]]
    written = {
        "as_of.txt": "2026-02-03T00:00:00Z\n",
        "inventory.csv": spreadsheet(
            "cluster,node,pool,accelerator_model,accelerators,in_service_at,retired_at", [*installed, *others]
        ),
        "teams.csv": spreadsheet(
            "cluster,account,user,team,valid_from,valid_to", [["", name, "", name, "2026-01-01", ""] for name in NAMES]
        ),
        "costs.csv": spreadsheet(
            "cost_component,cluster,pool,amount,currency,period_start,period_end",
            [["colo", "alpha", name, "28", "USD", "2026-02-01", "2026-03-01"] for name in POOLS],
        ),
        "events.psv": "Cluster|NodeName|TimeStart|TimeEnd|State|User|Reason\n"
        + "".join(
            f"alpha|h{number}|2026-02-02T11:00:00|2026-02-02T11:30:00|DOWN|{name}|{name}\n"
            for number, name in enumerate(NAMES)
        ),
    }
    for name, text in written.items():
        (landing / name).write_text(text, encoding="utf-8")


@pytest.fixture(scope="module")
def hostile(tmp_path_factory: pytest.TempPathFactory) -> tuple[Site, BuildResult]:
    """A site in which everything has a name that is an attack somewhere, built through Dagster and published."""
    folder = tmp_path_factory.mktemp("hostile") / FOLDER
    write(folder)
    site = load_site(folder)
    return site, build_site(site, None, None, None)


@pytest.fixture(scope="module")
def published(hostile: tuple[Site, BuildResult]) -> Publication:
    site, result = hostile
    assert (result.problems, result.failures) == ([], [])
    found = current(site.published)
    assert found is not None
    return found


def column(file: Path, table: str, name: str) -> set[Any]:
    with duckdb.connect(str(file / "capacity.duckdb"), read_only=True) as connection:
        return {row[0] for row in connection.execute(f"select distinct {name} from {table}").fetchall()}


def test_names_arrive_as_they_were_delivered(published: Publication) -> None:
    for name in COLUMNS:
        assert column(published.folder, "mart.attempts", name) == set(NAMES)
        parquet = pq.read_table(published.folder / "parquet" / "mart" / "attempts", columns=[name])
        assert set(parquet[name].to_pylist()) == set(NAMES)
    assert column(published.folder, "report.team_efficiency_daily", "team") >= set(NAMES)
    assert column(published.folder, "report.cost_per_accelerator_hour_daily", "pool") == {*POOLS, "nodes"}
    assert column(published.folder, "mart.node_timeline", "node") >= set(NAMES[:-1])
    assert column(published.folder, "report.fleet_efficiency_daily", "accelerator_model") == {MODEL}
    assert column(published.folder, "mart.attempts", "source_file") == set(FILE_NAMES)
    assert {each["file"] for each in published.manifest["inputs"]} >= set(FILE_NAMES)


def test_each_attempt_is_placed_and_paid_for(published: Publication) -> None:
    """A name that changed something would cost somebody's hours."""
    allocated = "cast(sum(allocated_hours) as varchar)"
    assert column(published.folder, "report.fleet_efficiency_daily", allocated) == {f"{len(NAMES)}.000000"}
    cost = "cast(sum(cost) as double)"
    assert column(published.folder, "mart.cost_daily", cost) == {2.0 * len(POOLS)}


def test_nothing_is_written_elsewhere(hostile: tuple[Site, BuildResult], published: Publication) -> None:
    site, _ = hostile
    assert {path.name for path in site.folder.parent.iterdir()} == {FOLDER}
    assert {path.name for path in site.folder.iterdir()} == {"site.toml", "landing", "work", "published"}
    names = [path.name for folder in (site.work / "raw", site.published) for path in folder.rglob("*")]
    assert [name for name in names if any(mark in name for mark in MARKS)] == []


def metadata(site: Site) -> Iterator[tuple[str, dg.MetadataValue]]:
    """Everything that runs told of assets and checks."""
    with dg.DagsterInstance.from_config(str(site.dagster_home)) as instance:
        for run in instance.get_runs():
            for entry in instance.all_logs(run.run_id):
                event = entry.dagster_event
                if event is None:
                    continue
                if event.is_step_materialization or event.is_asset_observation:
                    told = event.asset_observation_data.asset_observation if event.is_asset_observation else None
                    told = told or event.step_materialization_data.materialization
                    yield from told.metadata.items()
                elif event.event_type == dg.DagsterEventType.ASSET_CHECK_EVALUATION:
                    yield from event.asset_check_evaluation_data.metadata.items()


def test_the_ui_renders_nothing_that_was_delivered(hostile: tuple[Site, BuildResult], published: Publication) -> None:
    """Markdown is rendered, and HTML in it: only what we wrote is Markdown. Tables and texts show what they hold."""
    site, _ = hostile
    found = list(metadata(site))
    rendered = [value.md_str for _, value in found if isinstance(value, dg.MarkdownMetadataValue)]
    assert len(rendered) > 50
    own = [text for text in rendered if "data:image/png;base64," not in text]
    assert [text for text in own if any(mark in text for mark in MARKS)] == []
    assert not any(isinstance(value, dg.UrlMetadataValue | dg.NotebookMetadataValue) for _, value in found)
    cells = [
        cell
        for _, value in found
        if isinstance(value, dg.TableMetadataValue)
        for record in value.records
        for cell in record.data.values()
    ]
    assert any("<script>alert(1)</script>" in str(cell) for cell in cells), "rejected records are shown, as text"


def test_readme_and_manifest_hold_what_we_wrote(published: Publication) -> None:
    readme = (published.folder / "README.md").read_text(encoding="utf-8")
    assert [mark for mark in MARKS if mark in readme] == []
    manifest = json.loads((published.folder / "manifest.json").read_text(encoding="utf-8"))
    del manifest["inputs"]
    assert [mark for mark in MARKS if mark in json.dumps(manifest, ensure_ascii=False)] == []


def test_no_spreadsheet_computes_what_was_delivered(published: Publication) -> None:
    names: set[str] = set()
    for file in (published.folder / "focus").glob("*.csv.gz"):
        with gzip.open(file, "rt", encoding="utf-8", newline="") as lines:
            for row in csv.DictReader(lines):
                texts = [value for name, value in row.items() if not name.endswith(("Cost", "Quantity", "UnitPrice"))]
                assert [value for value in texts if value.startswith(("=", "+", "-", "@", "\t", "\r"))] == []
                names.add(row["ResourceName"])
    assert names == {f"'{name}" if name[0] in "=+-@" else name for name in POOLS}
    parquet = pq.read_table(published.folder / "focus" / "2026-02.parquet", columns=["ResourceName"])
    assert set(parquet["ResourceName"].to_pylist()) == set(POOLS)


def test_a_terminal_is_not_obeyed(hostile: tuple[Site, BuildResult], published: Publication) -> None:
    site, _ = hostile
    bad = site.landing / "jobs-bad\x1b]0;pwned\x07\npublished: [red]pwned.psv"
    bad.write_text("\x1b]0;pwned\x07 <script>|b and a long enough header so that it is taken for text\nx|y\n")
    try:
        told = CliRunner().invoke(main, ["check", "--site", str(site.path)])
    finally:
        bad.unlink()
    assert told.exit_code == 2
    assert "jobs-bad\\x1b]0;pwned\\x07\\npublished: [red]pwned.psv: line 1 has no column" in told.output
    assert "jobs\\x1b]0;pwned\\x07.psv: " in told.output
    assert "cluster=pwned/text=pwned/jobs\\u202e.psv: " in told.output
    assert [line for line in told.output.splitlines() if not line.isprintable()] == []


def test_a_file_is_read_as_itself(
    make_site: Callable[..., Site], build: Callable[..., Any], query: Callable[..., Any]
) -> None:
    """Neither a pattern in a file's name nor `name=value` in its folder's is anything to the engine."""
    contents = {}
    for file, team in (
        ("team=pwned/t*.parquet", "stars"),
        ("team=pwned/tt.parquet", "tees"),
        ("[t]?.parquet", "marks"),
    ):
        rows = pa.table({"account": [team], "team": [team], "valid_from": ["2026-01-01T00:00Z"], "valid_to": [""]})
        sink = pa.BufferOutputStream()
        pq.write_table(rows, sink)
        contents[file] = sink.getvalue().to_pybytes()
    sources = '[[sources]]\nkind = "org_mapping"\nfiles = "**/*.parquet"\n'
    site = make_site(f'[site]\nname = "x"\nfirst_day = 2026-02-01\n[clusters.alpha]\n{sources}', contents)
    assert build(site, "core.teams")["raw.org_mapping"].problems == []
    rows = query(site, "select account, team, source_file from core.teams order by all")
    assert rows == sorted((team, team, file) for file, team in zip(contents, ("stars", "tees", "marks"), strict=True))


LITTLE = """
[site]
name = "x"
first_day = 2026-02-01
[clusters.alpha]
[[sources]]
kind = "slurm_jobs"
files = "*"
"""


@pytest.mark.parametrize("folder", ["a*", "a?", "[a]"])
def test_a_folder_in_which_dagster_would_not_find_its_settings_is_refused(
    make_site: Callable[..., Site], folder: str
) -> None:
    with pytest.raises(SiteFileError, match="expected another folder"):
        make_site(LITTLE, folder=folder)


def test_a_name_that_is_no_text_is_told(make_site: Callable[..., Site]) -> None:
    site = make_site(LITTLE)
    (site.landing / "jobs\udcff.psv").write_text("x")
    told = CliRunner().invoke(main, ["check", "--site", str(site.path)])
    assert told.exit_code == 2
    assert "jobs\\xff.psv': has a name that is not UTF-8" in told.output


@pytest.mark.parametrize("name", ["..", ".hidden", "-o", "a/b", "a\n", ""])
def test_a_cluster_is_not_called_like_a_folder_or_an_option(make_site: Callable[..., Site], name: str) -> None:
    with pytest.raises(SiteFileError, match="clusters"):
        make_site(LITTLE.replace("clusters.alpha", f"clusters.{json.dumps(name)}"))
