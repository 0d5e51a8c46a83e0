"""Owned capacity as a bill in FOCUS's terms: what is published is read again as a bill, and keeps the specification."""

import csv
import gzip
import json
from collections.abc import Callable
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
from test_closing import SLURM, STANDING
from test_focus_conformance import Rule, breaks, functions

from capacity_dagster.site_file import Site, load_site
from capacity_dagster.versions import current

AS_OF = datetime(2026, 2, 3, 7, tzinfo=UTC)
NAMES = '=1+2 "quoted"; <b>team</b>'
READER = """
[site]
name = "reader"
first_day = 2026-01-28
reporting_time_zone = "Asia/Kolkata"
[clusters.books]
scheduler = "none"
[accelerators.h100]
[[sources]]
kind = "focus_charges"
files = "*"
[[charge_rules]]
cluster = "books"
pool = "train"
accelerator_model = "h100"
charges = { ResourceName = "train" }
[[charge_rules]]
cluster = "books"
pool = "infer"
accelerator_model = "h100"
charges = { ResourceName = "infer" }
"""

CONTRADICTED = {
    "BilledCost-C-005-C",
    "ConsumedQuantity-C-006-C",
    "CapacityReservationStatus-C-003-C",
    "CapacityReservationStatus-C-004-C",
    "CommitmentDiscountQuantity-C-005-C",
    "CommitmentDiscountStatus-C-003-C",
    "CommitmentDiscountStatus-C-004-C",
    "CommitmentDiscountStatus-C-005-M",
    "InvoiceId-C-004-C",
    "InvoiceId-C-005-C",
    "PricingCurrencyEffectiveCost-C-004-M",
}
"""Rules that, as the model writes them, contradict the specification or each other (docs/sources/focus_charges.md)."""


UNCHECKED = {
    *("TypeString", "FormatString", "TypeDecimal", "TypeDateTime"),
    *("CheckDistinctCount", "CheckSameValue", "CheckNationalCurrency", "CheckDecimalValue", "CheckNotSameValue"),
}
"""Types, which a test below holds against the Parquet; rules over several charges; a list of currencies in force."""


@pytest.fixture(scope="module")
def books(tmp_path_factory: pytest.TempPathFactory, published_by: Callable[..., Any]) -> Site:
    """A site with costs and teams, one of which has a name that nobody should trust, published."""
    folder = tmp_path_factory.mktemp("books") / "site"
    (folder / "landing").mkdir(parents=True)
    settings = 'reporting_time_zone = "Asia/Kolkata"\n[costs]\nidle_policy = "hybrid"\n[clusters.alpha]'
    toml = SLURM.replace("[clusters.alpha]", settings)
    (folder / "site.toml").write_text(toml, encoding="utf-8")
    for name, content in STANDING.items():
        (folder / "landing" / name).write_text(content, encoding="utf-8")
    quoted = '"' + NAMES.replace('"', '""') + '"'
    (folder / "landing" / "teams.csv").write_text(
        f"cluster,account,user,team,valid_from,valid_to\n,a,,{quoted},2026-01-01,\n,b,,b,2026-01-01,\n",
        encoding="utf-8",
    )
    site = load_site(folder)
    published_by(site, AS_OF)
    return site


def exported(site: Site, ending: str) -> list[Path]:
    publication = current(site.published)
    assert publication is not None
    return sorted((publication.folder / "focus").glob(f"*.{ending}"))


def as_text(site: Site) -> list[dict[str, str | None]]:
    rows: list[dict[str, str | None]] = []
    for file in exported(site, "csv.gz"):
        with gzip.open(file, "rt", encoding="utf-8", newline="") as lines:
            rows += [{name: value or None for name, value in row.items()} for row in csv.DictReader(lines)]
    return rows


@pytest.mark.parametrize("ending", ["csv.gz", "parquet"])
def test_it_is_read_again_as_a_bill(
    books: Site, ending: str, make_site: Callable[..., Site], build: Callable[..., Any], query: Callable[..., Any]
) -> None:
    reader = make_site(READER, {file.name: file.read_bytes() for file in exported(books, ending)})
    outcomes = build(reader)
    assert [problem for outcome in outcomes.values() for problem in outcome.problems] == []
    assert query(reader, "from report.focus_conformance") == []
    daily = "select usage_date, pool, sum(cost) from mart.cost_daily group by all order by all"
    assert query(reader, daily) == query(books, daily)
    billed = "select pool, sum(billed_unit_seconds) from mart.rented_hours_daily group by all order by all"
    allocated = "select pool, sum(allocated_unit_seconds) from report.fleet_efficiency_daily group by all order by all"
    for (pool, ours), (other, theirs) in zip(query(books, allocated), query(reader, billed), strict=True):
        assert pool == other
        assert abs(ours - theirs) <= 302_400 * 100, "a hundred charges, each rounded to a millionth of an hour"


def test_it_keeps_the_rules_of_the_model(books: Site, shared_data: Path) -> None:
    rules: dict[str, Rule] = json.loads((shared_data / "focus" / "model-1.2.json").read_text())["ModelRules"]
    rows = as_text(books)
    columns = {name.split("-")[0] for name, rule in rules.items() if rule["EntityType"] == "Column"}
    assert columns <= set(rows[0])
    checked = {
        name: rule
        for name, rule in rules.items()
        if rule["EntityType"] == "Column"
        and rule["Type"] == "Static"
        and rule["Function"] not in ("Composite", "Presence")
        and rule["ValidationCriteria"]["Keyword"] != "MAY"
        and not functions(rule["ValidationCriteria"]["Requirement"]) & UNCHECKED
        and name not in CONTRADICTED
    }
    assert len(checked) == 107
    assert {name: row for name, rule in checked.items() for row in rows if breaks(name, rule, row)} == {}


def test_prices_times_quantities_are_exact_and_types_are_the_specifications(books: Site) -> None:
    rows = as_text(books)
    assert {row["CapacityReservationStatus"] for row in rows} == {"Used", "Unused"}
    for row in rows:
        quantity, price = Decimal(str(row["PricingQuantity"])), Decimal(str(row["ListUnitPrice"]))
        assert quantity * price == Decimal(str(row["ListCost"])) == Decimal(str(row["ContractedCost"]))
    (first, *_) = exported(books, "parquet")
    schema = pq.read_schema(first)
    for name in schema.names:
        kind = "decimal128(38, 12)" if name.endswith(("Cost", "Price", "Quantity")) else "string"
        kind = "timestamp[us, tz=UTC]" if name.endswith(("PeriodStart", "PeriodEnd")) else kind
        assert str(schema.field(name).type) == kind, name


def test_a_name_that_a_spreadsheet_would_compute_is_text(books: Site) -> None:
    names = {row["SubAccountName"] for row in as_text(books)}
    assert names == {f"'{NAMES}", "a", "b", "central"}
    assert {json.loads(str(row["Tags"]))["team"] for row in as_text(books)} == {NAMES, "a", "b", "central"}
    tables = [pq.read_table(file) for file in exported(books, "parquet")]
    assert {name for table in tables for name in table["SubAccountName"].to_pylist()} == {NAMES, "a", "b", "central"}
