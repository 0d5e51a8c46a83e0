"""The casebook's cases about rented capacity, from bills as FOCUS writes them to the published tables."""

import csv
import gzip
import io
import json
from collections.abc import Callable, Iterable, Mapping
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from capacity_dagster.errors import SourceError
from capacity_dagster.site_file import Site, load_site
from capacity_dagster.sources.landing import AS_OF_FILE
from capacity_dagster.tables.catalogue import assets_folder
from capacity_dagster.versions import current

TOML = """
[site]
name = "rented"
first_day = 2026-01-01

[clusters.cloud]
scheduler = "none"

[accelerators.h100]
aliases = ["nvidia-h100"]

[[sources]]
kind = "focus_charges"
files = "*/*"
collected_at = '-at-(?P<at>[0-9]{8}T[0-9]{6}Z)'

[[charge_rules]]
cluster = "cloud"
pool = "train"
charges = { ResourceName = "train-*" }

[[charge_rules]]
cluster = "cloud"
pool = "infer"
charges = { SubAccountId = "200", "Tags.team/unit~1" = "in_er" }
"""

Charge = Mapping[str, Any]

COLUMNS = [
    "CapacityReservationId",
    "CapacityReservationStatus",
    "BilledCost",
    "BillingAccountId",
    "BillingAccountName",
    "BillingCurrency",
    "BillingPeriodEnd",
    "BillingPeriodStart",
    "ChargeCategory",
    "ChargeClass",
    "ChargeDescription",
    "ChargeFrequency",
    "ChargePeriodEnd",
    "ChargePeriodStart",
    "CommitmentDiscountCategory",
    "CommitmentDiscountId",
    "CommitmentDiscountStatus",
    "CommitmentDiscountType",
    "ContractedCost",
    "EffectiveCost",
    "InvoiceIssuerName",
    "ListCost",
    "PricingCategory",
    "PricingQuantity",
    "PricingUnit",
    "ProviderName",
    "PublisherName",
    "ResourceId",
    "ResourceName",
    "ServiceCategory",
    "ServiceName",
    "SkuId",
    "SkuPriceDetails",
    "SkuPriceId",
    "SubAccountId",
    "Tags",
]


def at(day: date, hour: int = 0) -> str:
    return (datetime(day.year, day.month, day.day, tzinfo=UTC) + timedelta(hours=hour)).strftime("%Y-%m-%dT%H:%M:%SZ")


def first_of_next(month: date) -> date:
    return (month.replace(day=28) + timedelta(days=4)).replace(day=1)


def charge(day: date, cost: str, until: date | None = None, billed: date | None = None, **more: Any) -> Charge:
    """A charge for whole days; its bill is that of the month in which it begins, unless one is named."""
    month = (billed or day).replace(day=1)
    usual: dict[str, Any] = {
        "BilledCost": cost,
        "EffectiveCost": cost,
        "ListCost": cost,
        "ContractedCost": cost,
        "BillingAccountId": "100",
        "BillingAccountName": "all of us",
        "BillingCurrency": "USD",
        "BillingPeriodStart": at(month),
        "BillingPeriodEnd": at(first_of_next(month)),
        "ChargeCategory": "Usage",
        "ChargeDescription": "one of a kind",
        "ChargeFrequency": "Usage-Based",
        "ChargePeriodStart": at(day),
        "ChargePeriodEnd": at(until or day + timedelta(days=1)),
        "InvoiceIssuerName": "Cumulus",
        "PricingCategory": "Standard",
        "PricingQuantity": "1",
        "PricingUnit": "Requests",
        "ProviderName": "Cumulus",
        "PublisherName": "Cumulus",
        "ResourceId": "r-1",
        "ResourceName": "train-1",
        "ServiceCategory": "Compute",
        "ServiceName": "Machines",
        "SkuId": "S",
        "SkuPriceId": "S.1",
        "SubAccountId": "200",
    }
    return usual | more


def gpus(hours: str, count: int = 1, **more: Any) -> dict[str, Any]:
    """Hours of an instance with accelerators."""
    details = json.dumps({"GpuCount": count, "InstanceType": "p5.48xlarge"})
    return {"PricingQuantity": hours, "PricingUnit": "Hours", "SkuPriceDetails": details} | more


def text(charges: Iterable[Charge], columns: Iterable[str] = COLUMNS) -> str:
    out = io.StringIO()
    writer = csv.DictWriter(out, list(columns), restval="", lineterminator="\n", extrasaction="ignore")
    writer.writeheader()
    writer.writerows(charges)
    return out.getvalue()


@pytest.fixture
def bill(make_site: Callable[..., Site], build: Callable[..., Any]) -> Callable[..., Site]:
    """bill(charges, …, as_of=None): a site with one file for each list of charges, built."""

    def built(*files: Iterable[Charge], as_of: datetime | None = None) -> Site:
        site = make_site(TOML, {f"bills/{number}.csv": text(charges) for number, charges in enumerate(files)})
        build(site, as_of=as_of)
        return site

    return built


Query = Callable[..., list[tuple[Any, ...]]]

MONTHS = """
select usage_month, pool, accelerator_model, cost, tax_cost, credit_cost, installed_hours, cost_per_installed_hour,
    used_only_cost_per_installed_hour
from report.cost_per_accelerator_hour_monthly order by all
"""


@pytest.mark.case("P55")
def test_a_commitment_is_counted_once(bill: Callable[..., Site], query: Query) -> None:
    first = date(2026, 1, 1)
    commitment = {"CommitmentDiscountId": "c-1", "CommitmentDiscountCategory": "Usage", "CommitmentDiscountType": "RI"}
    bought = charge(first, "8760", until=date(2027, 1, 1), EffectiveCost="0", ChargeCategory="Purchase", **commitment)
    used = [
        charge(
            first + timedelta(days=day),
            "24",
            BilledCost="0",
            CommitmentDiscountStatus="Used",
            PricingCategory="Committed",
            **commitment,
            **gpus("24"),
        )
        for day in range(365)
    ]
    site = bill([bought, *used])
    assert query(site, "select sum(cost), sum(used_only_cost) from report.cost_per_accelerator_hour_daily") == [
        (Decimal(8760), Decimal(8760))
    ]
    bridge = "select charge_kind, sum(billed_cost), sum(cost) from report.bill_bridge_monthly group by 1 order by 1"
    assert query(site, bridge) == [
        ("commitment_purchase", Decimal(8760), Decimal(0)),
        ("usage", Decimal(0), Decimal(8760)),
    ]
    assert query(site, "select distinct tenure from mart.cost_daily") == [("committed",)]
    used_up = (
        "select min(commitment_utilisation), sum(used_commitment_cost), max(expires_at) from report.commitments_daily"
    )
    assert query(site, used_up) == [(1.0, Decimal(8760), datetime(2027, 1, 1))]


@pytest.mark.case("P56")
def test_what_is_unused_of_a_commitment_is_in_the_rate(bill: Callable[..., Site], query: Query) -> None:
    day = date(2026, 1, 1)
    commitment = {"CommitmentDiscountId": "c-1", "CommitmentDiscountCategory": "Usage", "CommitmentDiscountType": "RI"}
    used = charge(day, "120", CommitmentDiscountStatus="Used", **commitment, **gpus("60"))
    unused = charge(
        day,
        "80",
        CommitmentDiscountStatus="Unused",
        **commitment,
        **gpus("40", ResourceId="c-1", ResourceName="", SubAccountId=""),
    )
    site = bill([used, unused])
    rates = """
        select pool, cost, unused_commitment_cost, installed_hours, round(cost_per_installed_hour, 2),
            used_only_cost_per_installed_hour
        from report.cost_per_accelerator_hour_daily
    """
    assert query(site, rates) == [("train", Decimal(200), Decimal(80), Decimal(60), 3.33, 2.0)]


def test_a_commitment_that_pays_for_an_unused_reservation_is_used(bill: Callable[..., Site], query: Query) -> None:
    day = date(2026, 1, 1)
    paid = {"CommitmentDiscountId": "c-1", "CommitmentDiscountStatus": "Used"}
    reserved = {"CapacityReservationId": "odcr-1", "CapacityReservationStatus": "Unused"}
    site = bill([charge(day, "60", **paid, **gpus("60")), charge(day, "40", **paid, **reserved, **gpus("40"))])
    told = "select commitment_utilisation, used_commitment_cost, unused_commitment_cost from report.commitments_daily"
    assert query(site, told) == [(1.0, 100, 0)]
    rate = "select unused_commitment_cost, installed_hours from report.cost_per_accelerator_hour_daily"
    assert query(site, rate) == [(40, 60)]  # what nobody used of the reservation is unused all the same


def test_large_bills_are_shared_out_to_the_smallest_part(bill: Callable[..., Site], query: Query) -> None:
    day = date(2026, 1, 1)
    commitment = {"CommitmentDiscountId": "c-1", "CommitmentDiscountCategory": "Usage", "CommitmentDiscountType": "RI"}
    used = {"CommitmentDiscountStatus": "Used", **commitment}
    large = "999999999999.999999999999"
    site = bill(
        [
            charge(day, large, **used),
            charge(day, large, ResourceName="else", Tags='{"team/unit~1": "in_er"}', **used),
            charge(day, "130000000.000000000001", ResourceId="c-1", CommitmentDiscountStatus="Unused", **commitment),
        ]
    )
    unused = "select pool, unused_commitment_cost from mart.cost_daily where unused_commitment_cost > 0 order by pool"
    assert query(site, unused) == [("infer", Decimal(65_000_000)), ("train", Decimal("65000000.000000000001"))]
    assert query(site, "select sum(cost) from mart.cost_daily") == [
        (2 * Decimal(large) + Decimal("130000000.000000000001"),)
    ]


def test_seconds_are_hours_whatever_their_number(bill: Callable[..., Site], query: Query) -> None:
    site = bill([charge(date(2026, 1, 1), "100", **gpus("200000000", PricingUnit="Seconds"))])
    rented = "select round(rented_hours, 4)::double from report.cost_per_accelerator_hour_daily"
    assert query(site, rented) == [(55555.5556,)]


@pytest.mark.case("P57")
def test_the_count_of_accelerators_is_that_of_one_pricing_unit(bill: Callable[..., Site], query: Query) -> None:
    site = bill([charge(date(2026, 1, 1), "800", **gpus("10", 8))])
    rates = "select installed_hours, cost_per_installed_hour from report.cost_per_accelerator_hour_daily"
    assert query(site, rates) == [(Decimal(80), 10.0)]


@pytest.mark.case("P58")
def test_a_correction_restates_the_month_that_it_is_for(
    bill: Callable[..., Site], build: Callable[..., Any], query: Query
) -> None:
    january, february = date(2026, 1, 1), date(2026, 2, 1)
    used = charge(january, "50000", until=february, **gpus("25000"))
    then = charge(february, "40000", until=date(2026, 3, 1), **gpus("20000"))
    site = bill([used], [then])
    before = query(site, MONTHS)
    assert [(row[0], row[3], row[7]) for row in before] == [(january, 50000, 2.0), (february, 40000, 2.0)]

    correction = charge(
        january, "-1000", until=february, billed=february, ChargeClass="Correction", **gpus("", PricingUnit="")
    )
    newer = site.landing / "bills" / "1-at-20260301T120000Z.csv"
    newer.write_text(text([then, correction]), encoding="utf-8")
    build(site)
    after = query(site, MONTHS)
    assert [(row[0], row[3], row[7]) for row in after if row[0] < date(2026, 3, 1)] == [
        (january, 49000, 1.96),
        (february, 40000, 2.0),
    ]
    bridge = "select billing_month, cost, correction_cost from report.bill_bridge_monthly order by 1"
    assert query(site, bridge) == [(january, 50000, 0), (february, 39000, -1000)]
    trust = "select sum(rows_received), sum(rows_accepted), sum(rows_superseded) from report.data_trust_daily"
    assert query(site, trust) == [(4, 3, 1)]


@pytest.mark.case("P59")
def test_taxes_and_credits_are_beside_the_cost(bill: Callable[..., Site], query: Query) -> None:
    day = date(2026, 1, 1)
    none = {"PricingQuantity": "", "PricingUnit": "", "PricingCategory": "", "SkuId": "", "SkuPriceId": ""}
    site = bill(
        [
            charge(day, "100", **gpus("50")),
            charge(day, "20", ChargeCategory="Tax", **none),
            charge(day, "-100", ChargeCategory="Credit", **none),
        ]
    )
    rows = query(site, MONTHS)
    assert sum(row[3] for row in rows) == 100
    assert [row[4:6] for row in rows] == [(20, -100)]
    assert [row[6:8] for row in rows] == [(50, 2.0)]


def test_what_no_rule_assigns_is_visible_and_part_of_the_total(bill: Callable[..., Site], query: Query) -> None:
    day = date(2026, 1, 1)
    site = bill(
        [
            charge(day, "1"),
            charge(day, "2", ResourceName="else"),
            charge(day, "4", ResourceName="else", Tags='{"team/unit~1": "in_er"}'),
            charge(day, "8", ResourceName="else", Tags='{"team/unit~1": "inver"}'),  # `_` stands for itself
            charge(day, "16", ResourceName="else", Tags="not JSON"),
        ]
    )
    costs = "select cluster, pool, sum(cost) from mart.cost_daily group by all order by all"
    assert query(site, costs) == [("cloud", "infer", 4), ("cloud", "train", 1), ("unassigned", "unassigned", 26)]
    owed = "select idle_policy, sum(total_cost) from report.showback_monthly group by all order by all"
    assert query(site, owed) == [(policy, 31) for policy in ("central", "entitlement", "hybrid", "proportional")]
    assert query(site, "select sum(unassigned_cost), sum(cost) from report.bill_bridge_monthly") == [(26, 31)]


def test_unused_commitments_follow_who_used_them(bill: Callable[..., Site], query: Query) -> None:
    day = date(2026, 1, 1)
    commitment = {"CommitmentDiscountId": "c-1", "CommitmentDiscountCategory": "Usage", "CommitmentDiscountType": "RI"}
    used = {"CommitmentDiscountStatus": "Used", **commitment}
    unused = {"CommitmentDiscountStatus": "Unused", **commitment}
    site = bill(
        [
            charge(day, "2", **used),
            charge(day, "1", ResourceName="else", Tags='{"team/unit~1": "in_er"}', **used),
            charge(day + timedelta(days=5), "10", ResourceName="", **unused),
            charge(day + timedelta(days=40), "7", **unused),  # a rule would assign it, but nobody used the commitment
        ]
    )
    rows = query(
        site, "select usage_date, pool, unused_commitment_cost from mart.cost_daily where unused_commitment_cost > 0"
    )
    assert sorted(rows) == [
        (date(2026, 1, 6), "infer", Decimal("3.333333333333")),
        (date(2026, 1, 6), "train", Decimal("6.666666666667")),
        (date(2026, 2, 10), "unassigned", Decimal(7)),
    ]


def test_a_day_that_no_bill_reaches_has_no_cost(bill: Callable[..., Site], query: Query) -> None:
    first = date(2026, 1, 1)
    january = [charge(first + timedelta(days=day), "1", **gpus("1")) for day in range(31)]
    march = [charge(date(2026, 3, 1) + timedelta(days=day), "1", **gpus("1")) for day in range(2)]
    site = bill(january, march, as_of=datetime(2026, 3, 4, tzinfo=UTC))
    daily = query(
        site,
        "select usage_date, cost, missing_components from report.cost_per_accelerator_hour_daily order by usage_date",
    )
    unknown = (None, "bill of Cumulus")
    assert daily == [
        *((first + timedelta(days=day), 1, None) for day in range(31)),
        *((date(2026, 2, 1) + timedelta(days=day), *unknown) for day in range(28)),
        (date(2026, 3, 1), 1, None),
        (date(2026, 3, 2), 1, None),
        (date(2026, 3, 3), *unknown),
    ]


def test_a_day_that_no_bill_reaches_leaves_its_month_without_a_cost(
    make_site: Callable[..., Site], published_by: Callable[..., Any]
) -> None:
    first = date(2026, 1, 1)
    january = [charge(first + timedelta(days=day), "1", **gpus("2")) for day in range(2)]
    site = make_site(TOML, {"bills/0.csv": text(january)})
    published_by(site, datetime(2026, 1, 4, tzinfo=UTC))
    publication = current(site.published)
    assert publication is not None
    told = "accelerator_model, currency, cost, known_cost, days_counted, days_priced, cost_per_installed_hour"
    with duckdb.connect(str(publication.folder / "capacity.duckdb"), read_only=True) as connection:
        months = [
            connection.execute(f"select {told} from {source} order by 1").fetchall()
            for source in ("report.cost_per_accelerator_hour_monthly", "report.cost_per_hour('month')")
        ]
        days = connection.execute(
            "select accelerator_model, cost, days_counted, days_priced from report.cost_per_hour('day') order by all"
        ).fetchall()
        by_pool = assets_folder() / "published" / "queries" / "03_cost_chain_by_pool.sql"
        pools = connection.execute(f"select currency, cost, known_cost from ({by_pool.read_text()})").fetchall()
    assert months == [[("h100", "USD", None, 2, 3, 2, None), ("unassigned", "XXX", None, None, 1, 0, None)]] * 2
    assert days == [("h100", 1, 1, 1), ("h100", 1, 1, 1), ("unassigned", None, 1, 0)]
    assert pools == [("USD", None, 2), ("XXX", None, None)]


def test_an_account_that_ended_is_not_missed(
    make_site: Callable[..., Site], build: Callable[..., Any], query: Query
) -> None:
    first, noon = date(2026, 1, 1), "2026-01-02T12:00:00Z"
    stays = [charge(first + timedelta(days=day), "1", **gpus("1")) for day in range(4)]
    ends = [
        charge(first, "2", BillingAccountId="101", **gpus("2")),
        charge(date(2026, 1, 2), "1", BillingAccountId="101", **gpus("1"), ChargePeriodEnd=noon),
    ]
    site = make_site(TOML, {"bills/0.csv": text(stays), "bills/1.csv": text(ends)})
    as_of = datetime(2026, 1, 5, tzinfo=UTC)
    build(site, as_of=as_of)
    daily = (
        "select usage_date, cost, missing_components from report.cost_per_accelerator_hour_daily order by usage_date"
    )
    days = [first + timedelta(days=day) for day in range(4)]
    missing = "bill of Cumulus"
    assert query(site, daily) == [
        (days[0], 3, None),
        (days[1], None, missing),
        (days[2], None, missing),
        (days[3], None, missing),
    ]

    def ended(last_day: date, account: str = "101") -> tuple[list[tuple[Any, ...]], bool]:
        told = f'[[ended_accounts]]\nprovider = "Cumulus"\nbilling_account_id = "{account}"\nlast_day = {last_day}\n'
        site.path.write_text(TOML + told, encoding="utf-8")
        again = load_site(site.path.parent)
        checks = build(again, as_of=as_of)["report.cost_per_accelerator_hour_daily"].checks
        return query(again, daily), all(check.has_passed for check in checks)

    assert ended(days[1]) == ([(days[0], 3, None), (days[1], 2, None), (days[2], 1, None), (days[3], 1, None)], True)
    # A day that no bill tells of is missed as before, and so is one of an account that goes on.
    assert ended(days[2])[0] == [
        (days[0], 3, None),
        (days[1], None, missing),
        (days[2], None, missing),
        (days[3], 1, None),
    ]
    assert not ended(days[0])[1]
    assert not ended(days[1], account="102")[1]


FORMATS: dict[str, Callable[[Path, list[Charge]], None]] = {}


def written(name: str) -> Callable[[Callable[[Path, list[Charge]], None]], Callable[[Path, list[Charge]], None]]:
    def keep(write: Callable[[Path, list[Charge]], None]) -> Callable[[Path, list[Charge]], None]:
        FORMATS[name] = write
        return write

    return keep


@written("csv")
def _csv(folder: Path, charges: list[Charge]) -> None:
    (folder / "bill.csv").write_text(text(charges), encoding="utf-8")


@written("quoted, CR LF, gz, with the word NULL and without zones")
def _csv_gz(folder: Path, charges: list[Charge]) -> None:
    out = io.StringIO()
    writer = csv.writer(out, quoting=csv.QUOTE_ALL, lineterminator="\r\n")
    writer.writerow(COLUMNS)
    for each in charges:
        cells = [str(each.get(name) or "NULL") for name in COLUMNS]
        writer.writerow(
            cell.replace("T", " ").removesuffix("Z") if "Period" in name else cell
            for name, cell in zip(COLUMNS, cells, strict=True)
        )
    (folder / "bill.csv.gz").write_bytes(gzip.compress(out.getvalue().encode("utf-8-sig")))


@written("a line break inside quotes")
def _csv_with_line_breaks(folder: Path, charges: list[Charge]) -> None:
    broken = text([{**each, "ChargeDescription": "one of\na kind"} for each in charges])
    (folder / "bill.csv").write_text(broken, encoding="utf-8")


@written("the columns of FOCUS 1.3 in another order, and a provider's own")
def _later_version(folder: Path, charges: list[Charge]) -> None:
    names = {"ProviderName": "ServiceProviderName", "PublisherName": "HostProviderName"}
    renamed = [{names.get(name, name): value for name, value in each.items()} | {"x_Own": "1"} for each in charges]
    columns = ["x_Own", *(names.get(name, name) for name in reversed(COLUMNS))]
    (folder / "bill.csv").write_text(text(renamed, columns), encoding="utf-8")


@written("Parquet with numbers, times and maps")
def _parquet(folder: Path, charges: list[Charge]) -> None:
    arrays = {}
    for name in COLUMNS:
        cells = [each.get(name) or None for each in charges]
        if name.endswith(("Cost", "Quantity")):
            arrays[name] = pa.array([None if cell is None else float(cell) for cell in cells], pa.float64())
        elif "Period" in name:
            arrays[name] = pa.array([datetime.fromisoformat(str(cell)) for cell in cells], pa.timestamp("us", "UTC"))
        elif name == "Tags":
            pairs = [None if cell is None else list(json.loads(str(cell)).items()) for cell in cells]
            arrays[name] = pa.array(pairs, pa.map_(pa.string(), pa.string()))
        else:
            arrays[name] = pa.array(cells, pa.string())
    pq.write_table(pa.table(arrays), folder / "bill.parquet")


@pytest.mark.parametrize("name", sorted(FORMATS))
def test_a_bill_says_the_same_in_every_format(
    name: str, make_site: Callable[..., Site], build: Callable[..., Any], query: Query
) -> None:
    day = date(2026, 1, 1)
    charges = [
        charge(day, "0.1", **gpus("1.5", 8)),
        charge(day, "1e-08", ResourceName="else", Tags='{"team/unit~1": "in_er"}'),
        charge(day, "3", until=date(2026, 1, 4), ServiceCategory="Storage", ResourceName='train-disk, "big"'),
    ]
    site = make_site(TOML)
    (site.landing / "bills").mkdir()
    FORMATS[name](site.landing / "bills", charges)
    build(site)
    daily = """
        select usage_date, pool, cost_component, sum(cost), sum(billed_hours)
        from mart.cost_daily left join mart.rented_hours_daily using (usage_date, pool, accelerator_model)
        group by all order by all
    """
    assert query(site, daily) == [
        (day, "infer", "compute", Decimal("0.00000001"), None),
        (day, "train", "compute", Decimal("0.1"), Decimal(12)),
        (day, "train", "storage", Decimal(1), Decimal(12)),
        (date(2026, 1, 2), "train", "storage", Decimal(1), None),
        (date(2026, 1, 3), "train", "storage", Decimal(1), None),
    ]


def test_charges_that_cannot_be_read_are_kept_with_their_reason(read: Callable[..., Any]) -> None:
    day = date(2026, 1, 1)
    broken: dict[str, dict[str, str]] = {
        "unreadable_billed_cost": {"BilledCost": "1_0"},
        "unreadable_effective_cost": {"EffectiveCost": "ten"},
        "unreadable_currency": {"BillingCurrency": "$"},
        "unreadable_charge_category": {"ChargeCategory": "Refund"},
        "unreadable_charge_start": {"ChargePeriodStart": "yesterday"},
        "unreadable_charge_end": {"ChargePeriodEnd": "infinity"},
        "end_before_start": {"ChargePeriodEnd": at(day)},
        "unreadable_billing_start": {"BillingPeriodStart": ""},
        "unreadable_billing_end": {"BillingPeriodEnd": "2026-13-01T00:00:00Z"},
    }
    lines = [charge(day, "1"), *(charge(day, "1") | wrong for wrong in broken.values())]
    found = read("focus_charges", text(lines) + "too,short\n")
    assert [(row["source_line"], row["reject_reason"]) for row in found.rejected] == [
        *((line, reason) for line, reason in enumerate(broken, start=3)),
        (len(broken) + 3, "wrong_column_count"),
    ]
    assert [row["source_line"] for row in found.accepted] == [2]
    assert found.rejected[1]["record_text"].startswith(",,1,100,all of us,USD,")


def test_a_file_without_what_a_cost_needs_is_refused(read: Callable[..., Any]) -> None:
    with pytest.raises(
        SourceError, match=r"its header has no column .*'EffectiveCost'; found: .*expected at least ProviderName"
    ):
        read("focus_charges", "BilledCost,BillingAccountId,ProviderName\n1,2,3\n")


def test_two_undated_files_of_one_bill_do_not_count_twice_unseen(
    make_site: Callable[..., Site], build: Callable[..., Any]
) -> None:
    day = date(2026, 1, 1)
    one, other = charge(day, "1"), charge(day, "2", ResourceId="r-2")
    site = make_site(TOML, {"bills/a.csv": text([one, other]), "bills/b.csv": text([other])})
    checks = {check.name: check for check in build(site)["core.bills"].checks}
    assert not checks["bills_are_delivered_once"].has_passed
    site = make_site(TOML, {"bills/a.csv": text([one]), "bills/b.csv": text([other])}, folder="parts")
    checks = {check.name: check for check in build(site)["core.bills"].checks}
    assert checks["bills_are_delivered_once"].has_passed
    collected = {f"bills/{AS_OF_FILE}": "2026-02-01T00:00:00Z"}  # both at one time, so that neither replaces the other
    bills = {"bills/a.csv": text([one, other]), "bills/b.csv": text([other, one])}
    site = make_site(TOML, bills | collected, folder="at_once")
    checks = {check.name: check for check in build(site)["core.bills"].checks}
    assert not checks["bills_are_delivered_once"].has_passed


POWERED = """
[site]
name = "powered"
first_day = 2026-01-01

[clusters.alpha]
time_zone = "UTC"

# It has no times without a zone, and does not make those of the others unclear.
[clusters.cloud]
scheduler = "none"

[accelerators.h100]

[[sources]]
kind = "inventory"
files = "inventory.csv"

[[sources]]
kind = "power_rates"
files = "power*.csv"

[[sources]]
kind = "flat_costs"
files = "flat*.csv"
"""
INVENTORY = """\
cluster,node,pool,accelerator_model,accelerators,in_service_at,retired_at
alpha,h1,train,h100,8,2026-01-01T00:00:00Z,
"""
RATES = "cluster,pool,model,kw,pue,price_per_kwh,currency,valid_from,valid_to\n"


@pytest.mark.case("P65")
def test_power_is_draw_times_pue_times_tariff(
    make_site: Callable[..., Site], build: Callable[..., Any], query: Query
) -> None:
    rate = "alpha,train,h100,1.275,1.3,0.08,USD,2026-01-01,2026-01-03\n"
    site = make_site(POWERED, {"inventory.csv": INVENTORY, "power.csv": RATES + rate})
    build(site, as_of=datetime(2026, 1, 4, tzinfo=UTC))
    daily = """
        select usage_date, power_cost, power_cost / installed_hours, missing_components
        from report.cost_per_accelerator_hour_daily order by usage_date
    """
    day = (Decimal("25.4592"), 0.1326)
    assert query(site, daily) == [
        (date(2026, 1, 1), *day, None),
        (date(2026, 1, 2), *day, None),
        (date(2026, 1, 3), None, None, "power"),
    ]
    assert query(site, "select sum(energy_kwh) from mart.energy_daily") == [(Decimal("636.48"),)]
    header = "cost_component,cluster,pool,amount,currency,period_start,period_end\n"
    bill = header + "power,alpha,train,9,USD,2026-01-03,2026-01-04\n"
    (site.landing / "flat.csv").write_text(bill, encoding="utf-8")
    outcomes = build(site, as_of=datetime(2026, 1, 4, tzinfo=UTC))
    assert query(site, daily)[2] == (date(2026, 1, 3), Decimal(9), 9 / 192, None)
    assert all(check.has_passed for check in outcomes["core.power_rates"].checks)
    (site.landing / "flat.csv").write_text(bill.replace("2026-01-03,", "2026-01-02,"), encoding="utf-8")
    checks = {
        check.name: check for check in build(site, as_of=datetime(2026, 1, 4, tzinfo=UTC))["core.power_rates"].checks
    }
    assert not checks["power_is_paid_once"].has_passed


def test_power_in_another_currency_needs_a_rate(
    make_site: Callable[..., Site], build: Callable[..., Any], query: Query
) -> None:
    toml = POWERED + "[costs]\ncurrency = 'USD'\n[[sources]]\nkind = 'exchange_rates'\nfiles = 'rates.csv'\n"
    rate = "alpha,train,h100,1.275,1.3,0.08,EUR,2026-01-01,\n"
    site = make_site(toml, {"inventory.csv": INVENTORY, "power.csv": RATES + rate})

    def check() -> Any:
        outcomes = build(site, as_of=datetime(2026, 1, 2, tzinfo=UTC))
        return next(each for each in outcomes["mart.cost_daily"].checks if each.name == "power_has_an_exchange_rate")

    missing = check()
    assert missing.is_blocking
    assert [(row["usage_date"], row["source_file"], row["source_line"]) for row in missing.sample] == [
        ("2026-01-01", "power.csv", 2)
    ]
    rates = "from,to,rate,valid_from,valid_to,provider\nEUR,USD,2,2026-01-01T00:00:00Z,2026-01-02T00:00:00Z,\n"
    (site.landing / "rates.csv").write_text(rates, encoding="utf-8")
    assert check().has_passed
    assert query(site, "select currency, cost from mart.cost_daily") == [("USD", Decimal("50.9184"))]


@pytest.mark.case("P62")
def test_a_node_is_written_off_by_the_month_less_its_residual(
    make_site: Callable[..., Site], build: Callable[..., Any], query: Query
) -> None:
    lots = "\n[[sources]]\nkind = 'purchase_lots'\nfiles = 'lots.csv'\ntime_zone = 'UTC'\n"
    lot = (
        "lot_id,cluster,pool,accelerator_model,accelerators,price,residual,currency,in_service,life_months\n"
        "l1,alpha,train,h100,8,240000,24000,USD,2026-01-01,48\n"
    )
    site = make_site(POWERED + lots, {"inventory.csv": INVENTORY, "lots.csv": lot})
    build(site, as_of=datetime(2030, 1, 1, tzinfo=UTC))
    life = "select sum(depreciation_cost) / 48, round(sum(depreciation_cost) / (8 * 48 * 730), 4) "
    assert query(site, f"{life} from report.cost_per_accelerator_hour_daily") == [(4500, 0.7705)]


def test_power_rates_that_cannot_be_read_are_kept_with_their_reason(read: Callable[..., Any]) -> None:
    lines = {
        "unreadable_kilowatts": "alpha,train,h100,much,1.3,0.08,USD,2026-01-01,",
        "unreadable_pue": "alpha,train,h100,1,0.9,0.08,USD,2026-01-01,",
        "unreadable_price": "alpha,train,h100,1,1.3,8 ct,USD,2026-01-01,",
        "unreadable_currency": "alpha,train,h100,1,1.3,0.08,usd,2026-01-01,",
        "unreadable_valid_from": "alpha,train,h100,1,1.3,0.08,USD,,",
        "unreadable_valid_to": "alpha,train,h100,1,1.3,0.08,USD,2026-01-01,soon",
        "end_before_start": "alpha,train,h100,1,1.3,0.08,USD,2026-01-02,2026-01-01",
        "no_pool": "alpha,,h100,1,1.3,0.08,USD,2026-01-01,",
        "undeclared_cluster": "gamma,train,h100,1,1.3,0.08,USD,2026-01-01,",
    }
    found = read("power_rates", RATES + "\n".join(lines.values()) + "\n", time_zone="UTC")
    assert [row["reject_reason"] for row in found.rejected] == list(lines)
    assert not found.accepted


@pytest.mark.case("P60")
def test_currencies_are_added_only_at_a_rate(
    make_site: Callable[..., Site], build: Callable[..., Any], query: Query
) -> None:
    day = date(2026, 1, 1)
    bills = {"bills/1.csv": text([charge(day, "100"), charge(day, "100", BillingCurrency="EUR")])}
    costs = "select currency, sum(cost) from mart.cost_daily group by all order by all"
    apart = make_site(TOML, bills, folder="apart")
    build(apart)
    assert query(apart, costs) == [("EUR", 100), ("USD", 100)]

    toml = TOML + "[costs]\ncurrency = 'USD'\n[[sources]]\nkind = 'exchange_rates'\nfiles = 'rates.csv'\n"
    site = make_site(toml, bills, folder="one")
    checks = {check.name: check for check in build(site)["core.accruals"].checks}
    missing = checks["every_currency_has_a_rate"]
    assert missing.is_blocking
    assert not missing.has_passed
    assert [(row["source_file"], row["source_line"]) for row in missing.sample] == [("bills/1.csv", 3)]
    assert query(site, costs) == [("EUR", 100), ("USD", 100)]

    header = "from,to,rate,valid_from,valid_to,provider\n"
    invoiced = "EUR,USD,1.1,2026-01-01T00:00:00Z,2026-02-01T00:00:00Z,Cumulus\n"
    (site.landing / "rates.csv").write_text(header + invoiced, encoding="utf-8")
    checks = {check.name: check for check in build(site)["core.accruals"].checks}
    assert checks["every_currency_has_a_rate"].has_passed
    assert query(site, costs) == [("USD", 210)]
    owed = "select idle_policy, currency, sum(total_cost) from report.showback_monthly group by all order by all"
    assert [row[1:] for row in query(site, owed)] == [("USD", 210)] * 4


BOUGHT = (
    POWERED
    + """
[[sources]]
kind = "purchase_lots"
files = "lots.csv"

[[sources]]
kind = "exchange_rates"
files = "rates.csv"

[costs]
currency = "USD"
"""
)
LOTS = "lot_id,cluster,pool,model,accelerators,price,residual,currency,in_service_at,life_months,replacement_price\n"


def test_a_component_may_change_its_currency(
    make_site: Callable[..., Site], build: Callable[..., Any], query: Query
) -> None:
    files = {
        "inventory.csv": INVENTORY,
        "lots.csv": LOTS + "L,alpha,train,h100,8,140256,0,USD,2026-01-01T00:00:00Z,48,\n",  # 96 a day, of 1,461
        "flat.csv": "cost_component,cluster,pool,amount,currency,period_start,period_end\n"
        "colo,alpha,train,744,USD,2026-01-01,2026-02-01\n"  # 24 a day
        "colo,alpha,train,560,EUR,2026-02-01,2026-03-01\n",  # 20 a day, at 1.2
        "rates.csv": "from,to,rate,valid_from,valid_to\nEUR,USD,1.2,2026-02-01,2026-02-02\n",
    }
    site = make_site(BOUGHT, files)
    build(site, as_of=datetime(2026, 2, 3, tzinfo=UTC))
    daily = """
        select usage_date, currency, cost, colo_cost, missing_components
        from report.cost_per_accelerator_hour_daily where usage_date >= date '2026-01-31' order by usage_date
    """
    days = [date(2026, 1, 31), date(2026, 2, 1), date(2026, 2, 2)]
    assert query(site, daily) == [(day, "USD", 120, 24, None) for day in days]


@pytest.mark.case("P66")
def test_what_is_written_off_costs_nothing_and_what_it_would_cost_anew_is_beside_it(
    make_site: Callable[..., Site], build: Callable[..., Any], query: Query
) -> None:
    lot = "L,alpha,train,h100,8,500000,20000,USD,2020-01-01T00:00:00Z,48,280512\n"  # 280,512 / 1,461 days: 192 a day
    site = make_site(BOUGHT, {"inventory.csv": INVENTORY})
    build(site, as_of=datetime(2026, 1, 2, tzinfo=UTC))
    daily = """
        select accelerator_model, currency, cost, depreciation_cost, replacement_cost, cost_per_installed_hour,
            replacement_cost_per_installed_hour
        from report.cost_per_accelerator_hour_daily
    """
    assert query(site, daily) == [("h100", "XXX", None, None, 0, None, None)]
    (site.landing / "lots.csv").write_text(LOTS + lot, encoding="utf-8")
    outcomes = build(site, as_of=datetime(2026, 1, 2, tzinfo=UTC))
    assert query(site, daily) == [("h100", "USD", 0, 0, 192, 0.0, 1.0)]
    owed = "select team, idle_policy, total_cost, is_complete from report.showback_monthly order by 2"
    policies = ("central", "entitlement", "hybrid", "proportional")
    assert query(site, owed) == [("central", policy, 0, True) for policy in policies]
    charged = (
        "select sub_account_id, charge_part, effective_cost, list_cost, pricing_quantity from report.focus_charges"
    )
    assert query(site, charged) == [("central", "idle", 0, 0, 192)]
    built = [outcome for name, outcome in outcomes.items() if not name.startswith("raw.")]
    assert not [check for outcome in built for check in outcome.checks if check.is_blocking and not check.has_passed]


def test_a_rate_that_comes_after_a_lot_is_written_off_counts_for_the_days_since(
    make_site: Callable[..., Site], build: Callable[..., Any], query: Query
) -> None:
    lot = "L,alpha,train,h100,8,500000,20000,EUR,2020-01-01T00:00:00Z,48,280512\n"
    site = make_site(BOUGHT, {"inventory.csv": INVENTORY, "lots.csv": LOTS + lot})
    daily = "select currency, cost, replacement_cost from report.cost_per_accelerator_hour_daily"
    build(site, as_of=datetime(2026, 1, 2, tzinfo=UTC))
    assert query(site, daily) == [("EUR", 0, 192)]
    rate = "from,to,rate,valid_from,valid_to\nEUR,USD,1.5,2020-01-01,2020-01-02\n"
    (site.landing / "rates.csv").write_text(rate, encoding="utf-8")
    build(site, as_of=datetime(2026, 1, 2, tzinfo=UTC))
    assert query(site, daily) == [("USD", 0, 288)]


def test_exchange_rates_that_cannot_be_read_are_kept_with_their_reason(read: Callable[..., Any]) -> None:
    lines = {
        "unreadable_currency": "Euro,USD,1.1,2026-01-01,2026-01-02",
        "unreadable_rate": "EUR,USD,0,2026-01-01,2026-01-02",
        "unreadable_valid_from": "EUR,USD,1.1,,2026-01-02",
        "unreadable_valid_to": "EUR,USD,1.1,2026-01-01,",
        "end_before_start": "EUR,USD,1.1,2026-01-01,2026-01-01",
    }
    content = "from,to,rate,valid_from,valid_to\n" + "\n".join(lines.values()) + "\n"
    found = read("exchange_rates", content, time_zone="UTC")
    assert [row["reject_reason"] for row in found.rejected] == list(lines)
    assert not found.accepted


def test_coverage_of_commitments_is_told_by_model_and_region(
    make_site: Callable[..., Site], published_by: Callable[..., Any]
) -> None:
    day = date(2026, 1, 1)
    commitment = {"CommitmentDiscountId": "c-1", "CommitmentDiscountCategory": "Usage", "CommitmentDiscountType": "RI"}
    charges = [
        charge(day, "3", RegionId="eu", CommitmentDiscountStatus="Used", **commitment, **gpus("3")),
        charge(day, "1", RegionId="eu", **gpus("1")),
        charge(day, "5", RegionId="us", **gpus("5")),
    ]
    site = make_site(TOML, {"bills/0.csv": text(charges, [*COLUMNS, "RegionId"])})
    published_by(site)
    publication = current(site.published)
    assert publication is not None
    with duckdb.connect(str(publication.folder / "capacity.duckdb"), read_only=True) as connection:
        rows = connection.execute("from report.commitment_coverage('month') order by region_id").fetchall()
    assert rows == [(day, "h100", "eu", 4, 3, 0.75), (day, "h100", "us", 5, 0, 0.0)]
