"""Explained numbers of the example site: what they are is worked out by hand in docs/metrics.md, and the lines that
they end in are those of its files.
"""

import json
import shutil
from collections.abc import Callable
from datetime import date
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from test_casebook_costs import TOML, charge, gpus, text

from capacity_dagster.cli import main
from capacity_dagster.closing import close_month
from capacity_dagster.errors import ExplainError
from capacity_dagster.explain.chain import explain
from capacity_dagster.explain.explanation import Explanation, SourceLine, Step
from capacity_dagster.site_file import Site, load_site
from capacity_dagster.warehouse import Warehouse

EXAMPLE = Path(__file__).parents[2] / "docs" / "example-site"
DAY = "2026-03-02"
FLEET = "report.fleet_efficiency_daily"
JOBS = "main/jobs-20260303T000000Z.psv"
LATER = "main/jobs-20260303T010000Z.psv"
Publish = Callable[..., dict[str, str]]


@pytest.fixture(scope="module")
def example(tmp_path_factory: pytest.TempPathFactory, published_by: Publish) -> Site:
    """The example site, published; not to be changed."""
    folder = tmp_path_factory.mktemp("explain") / "site"
    shutil.copytree(EXAMPLE, folder, ignore=shutil.ignore_patterns("work", "published"))
    site = load_site(folder)
    published_by(site)
    return site


@pytest.fixture(scope="module")
def corrected(example: Site, tmp_path_factory: pytest.TempPathFactory, published_by: Publish) -> Site:
    """The same site after a later file, in which job 1 ended at 05 and not at 06, was published too."""
    folder = tmp_path_factory.mktemp("corrected") / "site"
    shutil.copytree(example.folder, folder, symlinks=True)
    header, job_1 = (EXAMPLE / "landing" / JOBS).read_text(encoding="utf-8").splitlines()[:2]
    line = job_1.replace("|1772431200|21600|", "|1772427600|18000|")
    assert line != job_1
    (folder / "landing" / LATER).write_text(f"{header}\n{line}\n", encoding="utf-8")
    site = load_site(folder)
    published_by(site)
    return site


def asked(site: Site, *words: str) -> Result:
    return CliRunner().invoke(main, ["explain", "--site", str(site.path), *words])


def step(told: Explanation, table: str) -> Step:
    return next(each for each in told.steps if each.table == table)


def test_an_efficiency_is_followed_to_the_sacct_line(example: Site) -> None:
    told = explain(example, FLEET, [DAY, "main", "training", "h100", "allocated_hours"], rows=10)
    assert (told.value, told.unit, told.rows) == (192, "accelerator-hours", 1)
    assert (told.published_version, told.known_now, told.not_read_because) == (1, 192, None)
    assert [(each.table, each.read_by, each.rows_are) for each in told.steps] == [
        (FLEET, None, "the number"),
        ("mart.capacity_ledger_hourly", FLEET, "summands"),
        ("mart.attempt_hours", "mart.capacity_ledger_hourly", "summands"),
        ("mart.attempts", "mart.attempt_hours", "records"),
        ("core.attempts", "mart.attempts", "records"),
        ("raw.slurm_jobs", "core.attempts", "records"),
    ]
    # 192 accelerator-hours are 192 × 302,400,000 unit-seconds, as often as they are written down.
    ledger = step(told, "mart.capacity_ledger_hourly")
    assert ledger.only == "(state = 'allocated')"
    assert [step(told, name).proof.total for name in ("mart.capacity_ledger_hourly", "mart.attempt_hours")] == [
        192 * 302_400_000
    ] * 2
    # "Held and allocated": what each job was given on the nodes of the pool.
    records = step(told, "raw.slurm_jobs")
    jobs = [row[records.sample_columns.index("job_id")] for row in records.sample]
    assert sorted(zip(jobs, records.parts, strict=True)) == [
        ("1", 48), ("2", 40), ("3", 16), ("4", 16), ("5", 24), ("6", 8), ("7", 16), ("8", 24),
    ]  # fmt: skip
    lines = (EXAMPLE / "landing" / JOBS).read_text(encoding="utf-8").splitlines()
    assert {(line.file, line.line): line.text for line in records.lines} == {
        (JOBS, number): lines[number - 1] for number in (2, 3, 4, 6, 7, 8, 9, 10)
    }


def test_the_query_that_makes_a_number_is_cut_out(example: Site) -> None:
    told = explain(example, FLEET, [DAY, "main", "training", "allocated_hours"], depth=0)
    assert told.steps[0].query == "assets_sql/report/fleet_efficiency_daily/query.sql"
    assert told.steps[0].expressions == (
        "allocated_hours = unit_hours(measured.allocated_unit_seconds)",
        "joined.allocated_unit_seconds = coalesce(ledger.allocated_unit_seconds, 0)",
        "ledger.allocated_unit_seconds = CAST(sum(CASE WHEN capacity_ledger_hourly.state = 'allocated' "
        "THEN capacity_ledger_hourly.unit_seconds ELSE 0 END) AS BIGINT)",
    )


def test_a_cost_is_followed_to_the_lines_of_the_price_sheets(example: Site) -> None:
    """525,600 of the lot over 365 days, and 9,300 and 5,580 in March: 1,440 + 300 + 180 a day."""
    told = explain(example, "report.cost_per_accelerator_hour_daily", [DAY, "pool=training", "cost"])
    assert (told.value, told.unit) == (1920, "USD")
    costs = step(told, "mart.cost_daily")
    assert costs.proof is not None
    assert sorted(row[-1] for row in costs.sample) == [180, 300, 1440]
    assert step(told, "core.accruals").rows_are == "candidates"  # what of them is of the day is no sum of theirs
    assert [line for name in ("raw.purchase_lots", "raw.flat_costs") for line in step(told, name).lines] == [
        SourceLine("purchase_lots.csv", 3, "lot-1,main,training,h100,32,600000.00,74400.00,USD,2026-03-01,12"),
        SourceLine("flat_costs.csv", 3, "power,main,training,9300.00,USD,2026-03-01,2026-04-01"),
        SourceLine("flat_costs.csv", 4, "colo,main,training,5580.00,USD,2026-03-01,2026-04-01"),
    ]


def test_a_number_of_the_queue_is_followed_to_who_was_submitted(example: Site) -> None:
    told = explain(example, "report.queue_daily", [DAY, "main", "train", "jobs_submitted"], rows=20)
    assert told.value == 10
    assert [each.table for each in told.steps if each.proof] == ["mart.queue_waits", "mart.attempts"]
    attempts = step(told, "mart.attempts")
    jobs = [row[attempts.sample_columns.index("job_id")] for row in attempts.sample]
    assert sorted(jobs, key=int) == ["1", "2", "3", "3", "4", "5", "6", "7", "8", "14"]


def test_what_teams_owe_sums_to_what_was_paid(example: Site) -> None:
    told = explain(example, "report.showback_monthly", ["2026-03", "main", "idle_policy=central", "total_cost"])
    assert (told.value, told.rows) == (1920, 3)
    assert [(each.table, each.proof and each.proof.column) for each in told.steps[:3]] == [
        ("report.showback_monthly", None),
        ("report.showback_daily", "direct_cost + idle_cost"),
        ("mart.cost_daily", "cost"),
    ]


def test_what_is_counted_ends_in_what_it_counts(example: Site) -> None:
    told = explain(example, "report.data_trust_daily", [DAY, "slurm_jobs", "cluster=main", "rows_received"])
    assert told.value == 15  # thirteen records of one file, two of the other
    assert [each.table for each in told.steps] == ["report.data_trust_daily", "core.record_outcomes"]
    assert {"raw.slurm_jobs", "landing.deliveries"} <= set(told.steps[-1].counts)


def test_with_fewer_keys_it_is_the_sum_of_the_rows(example: Site) -> None:
    """main has 4 × 8 × 24 h, cut 2 × 24 h; `unassigned` nothing."""
    result = asked(example, FLEET, DAY, "installed_hours", "--depth", "1")
    assert result.exit_code == 0
    assert f"{FLEET}.installed_hours = 816 accelerator-hours\nusage_date {DAY}: the sum of 3 rows\n" in result.output
    assert f"sums to {816 * 302_400_000:,} unit-seconds" in result.output


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (
            (FLEET, DAY, "allocation_rate_installed"),
            "3 rows of report.fleet_efficiency_daily fit, and allocation_rate_installed never sums. It is "
            "allocated_unit_seconds / installed_unit_seconds: ask for each of those, or name one row. "
            "They differ in cluster: cut, main; pool: slices, training, unassigned",
        ),
        (
            ("report.showback_daily", DAY, "main", "idle_cost"),
            "which differ in idle_policy: their sum means nothing. Name one of them, such as idle_policy=central "
            "(central, entitlement, hybrid, proportional)",
        ),
        (("mart.node_timeline", "cluster=main", "installed_units"), "sums over what there is at one time only"),
        (("report.fleet_efficiency", DAY, "cost"), "(is report.fleet_efficiency_daily meant?)"),
        ((FLEET, DAY, "alocated_hours"), "no column 'alocated_hours' (is allocated_hours meant?)"),
        ((FLEET, DAY, "mane", "idle_hours"), "cluster = 'mane' where usage_date = 2026-03-02; there is 'cut', 'main'"),
        ((FLEET, "March", "idle_hours"), "daily is 'March'; expected a day such as 2026-11-07"),
        ((FLEET, DAY, *"abcd", "idle_hours"), "5 values without a name are too many (the first that is: 'd'"),
    ],
)  # fmt: skip
def test_what_names_no_number_is_refused_with_what_there_is(example: Site, words: tuple[str, ...], told: str) -> None:
    result = asked(example, *words)
    assert result.exit_code == 2
    assert told in " ".join(result.stderr.split())
    assert result.stdout == ""


def test_hostile_keys_do_nothing(example: Site) -> None:
    for hostile in ("'; drop table report.fleet_efficiency_daily; --", '" or 1=1 --', "[red]x[/red]", "\x1b[2J\u202e"):
        result = asked(example, FLEET, DAY, hostile, "allocated_hours")
        assert result.exit_code == 2
        assert "there is 'cut', 'main'" in " ".join(result.stderr.split())
        assert "\x1b" not in result.stderr
        assert "\u202e" not in result.stderr
    assert asked(example, "'; drop table x", DAY, "x").exit_code == 2
    assert asked(example, FLEET, DAY, "[red]x[/red]", "idle_hours").stderr.count("[red]x[/red]") == 1
    assert explain(example, FLEET, [DAY, "main", "training", "allocated_hours"], depth=0).value == 192


def test_while_a_build_writes_the_published_version_is_explained(example: Site) -> None:
    words = [DAY, "main", "training", "h100", "allocated_hours"]
    with Warehouse(example).write("build 1234abcd"):
        told = explain(example, FLEET, words, rows=1)
        result = asked(example, FLEET, *words)
    assert (told.value, told.is_known_now) == (192, False)
    assert told.not_read_because is not None
    assert told.not_read_because.startswith("build 1234abcd (process ")
    assert [(each.table, each.rows) for each in told.steps] == [
        (FLEET, 1), ("mart.capacity_ledger_hourly", 33), ("mart.attempt_hours", 33), ("mart.attempts", 8),
        ("core.attempts", None), ("raw.slurm_jobs", None),
    ]  # fmt: skip
    # The line is in the landing, whatever is built.
    (line,) = step(told, "mart.attempts").lines
    assert (line.file, line.line) == (JOBS, 2)
    assert line.text == (EXAMPLE / "landing" / JOBS).read_text(encoding="utf-8").splitlines()[1]
    assert result.exit_code == 0
    assert "The working tables cannot be read now (build 1234abcd (process " in " ".join(result.output.split())


def test_what_changed_it_last_is_told(corrected: Site) -> None:
    told = explain(corrected, FLEET, [DAY, "main", "training", "h100", "allocated_hours"])
    assert told.value == 184
    restated = told.changes.restated
    assert restated is not None
    assert (restated.version, restated.has_before, restated.before) == (2, True, 192)
    assert restated.because == [f"{LATER} is new", "another as_of"]
    (row,) = told.changes.journal
    line = dict(zip(told.changes.journal_columns, row, strict=True))
    assert (line["version_before"], line["amount_before"], line["amount_now"], line["because"]) == (1, 192, 184, LATER)
    by_file = {each.table: each.files for each in told.changes.tables}
    assert by_file["core.attempts"] == [(LATER, 1)]
    assert step(told, "raw.slurm_jobs").lines[0].file in (JOBS, LATER)


def test_a_number_that_did_not_change_is_as_old_as_what_is_kept(corrected: Site) -> None:
    restated = explain(corrected, FLEET, [DAY, "main", "training", "installed_hours"], depth=0).changes.restated
    assert restated is not None
    assert (restated.version, restated.has_before, restated.because) == (1, False, [])


def test_a_file_that_was_changed_since_is_not_shown_as_the_source(corrected: Site) -> None:
    file = corrected.landing / "purchase_lots.csv"
    as_read = file.read_bytes()
    file.write_bytes(as_read.replace(b"600000.00", b"700000.00"))
    told = explain(corrected, "report.cost_per_accelerator_hour_daily", [DAY, "pool=training", "cost"])
    (line,) = step(told, "raw.purchase_lots").lines
    assert (line.text, line.why_not) == (None, "has another content now than the one that was read")
    file.unlink()
    told = explain(corrected, "report.cost_per_accelerator_hour_daily", [DAY, "pool=training", "cost"])
    (line,) = step(told, "raw.purchase_lots").lines
    assert (line.text, line.why_not) == (None, "is not in the landing any more")
    file.write_bytes(as_read)


def test_a_closed_month_is_explained_with_what_is_known_now(
    make_site: Callable[..., Site], published_by: Publish
) -> None:
    """P58: 50,000 were signed for January; a correction of -1,000 came afterwards."""
    used = charge(date(2026, 1, 1), "50000", until=date(2026, 2, 1), **gpus("25000"))
    then = charge(date(2026, 2, 1), "40000", until=date(2026, 3, 1), **gpus("20000"))
    site = make_site(TOML, {"bills/0.csv": text([used]), "bills/1.csv": text([then])})
    published_by(site)
    close_month(site, date(2026, 1, 1))
    of_january = charge(
        date(2026, 1, 1), "-1000", until=date(2026, 2, 1), billed=date(2026, 2, 1),
        ChargeClass="Correction", **gpus("", PricingUnit=""),
    )  # fmt: skip
    (site.landing / "bills" / "1-at-20260301T120000Z.csv").write_text(text([then, of_january]), encoding="utf-8")
    published_by(site)
    told = explain(site, "report.cost_per_accelerator_hour_monthly", ["2026-01", "cloud", "cost"])
    assert (told.value, told.known_now, told.changes.closed_months) == (50000, 49000, [date(2026, 1, 1)])
    amounts = [dict(zip(told.changes.journal_columns, row, strict=True)) for row in told.changes.journal]
    assert {(row["is_month_closed"], row["because"]) for row in amounts} == {(True, "bills/1-at-20260301T120000Z.csv")}
    result = asked(site, "report.cost_per_accelerator_hour_monthly", "2026-01", "cloud", "cost")
    assert "What is known now is 49,000: 2026-01 is closed and stays as it was signed." in result.output
    assert "raw.focus_charges" in result.output


def test_a_machine_gets_the_same(example: Site) -> None:
    words = (FLEET, DAY, "main", "training", "h100", "allocated_hours", "--rows", "1")
    told = json.loads(asked(example, *words, "--json").stdout)
    assert (told["value"], told["unit"], told["keys"]["usage_date"]) == ("192.000000", "accelerator-hours", DAY)
    assert told["steps"][-1]["table"] == "raw.slurm_jobs"
    assert told["steps"][-1]["lines"][0]["line"] == 2


def test_all_of_the_lineage_can_be_followed(example: Site) -> None:
    words = [DAY, "main", "training", "h100", "allocated_hours"]
    told = explain(example, FLEET, words, rows=0, every=True)
    tables = {each.table for each in told.steps}
    assert {"mart.node_timeline", "core.node_capacity", "core.inventory", "raw.inventory", "raw.slurm_jobs"} <= tables
    assert [each.decides for each in told.steps if each.decides] == []


def test_nothing_to_explain_is_said(tmp_path: Path) -> None:
    folder = tmp_path / "site"
    shutil.copytree(EXAMPLE, folder, ignore=shutil.ignore_patterns("work", "published"))
    with pytest.raises(ExplainError, match=r"nothing is published.*expected a built site: `capacity build`"):
        explain(load_site(folder), FLEET, [DAY, "idle_hours"])
    assert not (folder / "work").exists()
