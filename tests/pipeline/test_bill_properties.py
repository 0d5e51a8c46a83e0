"""Random bills: no sum loses anything, under any policy, in any currency; re-delivery and order change nothing."""

import csv
import io
from collections import defaultdict
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from decimal import ROUND_FLOOR, Decimal
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from capacity_dagster.site_file import Site, load_site

FIRST = datetime(2026, 1, 30, tzinfo=UTC)
HOURS = 24 * 4
AS_OF = FIRST + timedelta(hours=HOURS)
MINOR = {"USD": "0.01", "JPY": "1", "KWD": "0.001"}

TOML = """
[site]
name = "random bills"
first_day = 2026-01-30
reporting_time_zone = "Asia/Kolkata"

[clusters.cloud]
scheduler = "none"

[[sources]]
kind = "focus_charges"
files = "*.csv"
collected_at = "at-(?P<at>[0-9]+)"

[[charge_rules]]
cluster = "cloud"
pool = "train"
charges = { ResourceId = "train*" }

[[charge_rules]]
cluster = "cloud"
pool = "infer"
accelerator_model = "l4"
charges = { ResourceId = "infer*" }
"""

MONTH = "usage_month, cluster, pool, currency"

Charge = dict[str, str]

amounts = st.one_of(st.decimals(-1000, 1000, places=12), st.decimals(-1, 1, places=12), st.integers(-5, 5).map(Decimal))


@st.composite
def charges(draw: st.DrawFn) -> Charge:
    begins = draw(st.integers(0, HOURS - 1))
    ends = draw(st.integers(begins + 1, HOURS))
    category = draw(st.sampled_from(["Usage"] * 5 + ["Purchase", "Tax", "Credit", "Adjustment"]))
    commitment = draw(st.sampled_from(["", "", "c-1", "c-2"])) if category in ("Usage", "Purchase") else ""
    return {
        "ProviderName": draw(st.sampled_from(["P", "Q"])),
        "BillingAccountId": draw(st.sampled_from(["1", "2"])),
        "BillingPeriodStart": draw(st.sampled_from(["2026-01-01T00:00:00Z", "2026-02-01T00:00:00Z"])),
        "BillingPeriodEnd": "2026-03-01T00:00:00Z",
        "ChargePeriodStart": (FIRST + timedelta(hours=begins)).strftime("%Y-%m-%dT%H:%M:%SZ"),
        "ChargePeriodEnd": (FIRST + timedelta(hours=ends)).strftime("%Y-%m-%dT%H:%M:%SZ"),
        "ChargeCategory": category,
        "ChargeClass": draw(st.sampled_from(["", "", "Correction"])),
        "BillingCurrency": draw(st.sampled_from(sorted(MINOR))),
        "BilledCost": f"{draw(amounts):f}",
        "EffectiveCost": f"{draw(amounts):f}",
        "CommitmentDiscountId": commitment,
        "CommitmentDiscountStatus": draw(st.sampled_from(["Used", "Unused"])) if commitment else "",
        "PricingQuantity": draw(st.sampled_from(["", "1", "0.5", "2.25"])),
        "PricingUnit": draw(st.sampled_from(["Hours", "GB"])),
        "ServiceCategory": draw(st.sampled_from(["Compute", "Storage"])),
        "ResourceId": draw(st.sampled_from(["train-1", "train-2", "infer", "else"])),
        "SkuPriceDetails": draw(st.sampled_from(["", '{"GpuCount": 8}', '{"InstanceType": "p5.48xlarge"}'])),
    }


def bill_of(charge: Charge) -> tuple[str, str, str]:
    return charge["ProviderName"], charge["BillingAccountId"], charge["BillingPeriodStart"]


def text(lines: list[Charge]) -> str:
    out = io.StringIO()
    writer = csv.DictWriter(out, list(lines[0]), lineterminator="\n")
    writer.writeheader()
    writer.writerows(lines)
    return out.getvalue()


def counts(charge: Charge) -> bool:
    """Whether a charge is part of the cost: `FOCUS basis` of the accounting rules."""
    category = charge["ChargeCategory"]
    return category in ("Usage", "Adjustment") or (category == "Purchase" and not charge["CommitmentDiscountId"])


def delivered(folder: Path, files: dict[str, list[Charge]]) -> Site:
    (folder / "landing").mkdir(parents=True)
    (folder / "site.toml").write_text(TOML, encoding="utf-8")
    for name, lines in files.items():
        (folder / "landing" / name).write_text(text(lines), encoding="utf-8")
    return load_site(folder)


@given(st.lists(charges(), min_size=1, max_size=25), st.lists(charges(), max_size=6), st.randoms(use_true_random=False))
@settings(max_examples=4, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_nothing_is_lost_and_nothing_counts_twice(
    tmp_path_factory: pytest.TempPathFactory,
    build: Callable[..., Any],
    query: Callable[..., Any],
    lines: list[Charge],
    older: list[Charge],
    order: Any,
) -> None:
    bills = {bill_of(line) for line in lines}
    older = [line for line in older if bill_of(line) in bills]
    half = len(lines) // 2
    files = {f"new-{n}-at-20260301.csv": part for n, part in enumerate((lines[:half], lines[half:])) if part}
    if older:
        files["old-at-20260201.csv"] = older
    site = delivered(tmp_path_factory.mktemp("bills"), files)
    build(site, "report.bill_bridge_monthly", "report.showback_monthly", as_of=AS_OF)

    bridge = query(
        site,
        "select currency, sum(billed_cost), sum(effective_cost), sum(cost) from report.bill_bridge_monthly group by 1",
    )
    expected: dict[str, list[Decimal]] = defaultdict(lambda: [Decimal(0)] * 3)
    for line in lines:
        billed, effective = Decimal(line["BilledCost"]), Decimal(line["EffectiveCost"])
        sums = expected[line["BillingCurrency"]]
        expected[line["BillingCurrency"]] = [
            sums[0] + billed,
            sums[1] + effective,
            sums[2] + (effective if counts(line) else 0),
        ]
    assert {row[0]: list(row[1:]) for row in bridge} == dict(expected)

    costs = dict(query(site, "select currency, sum(cost) from mart.cost_daily group by 1"))
    for currency, (_, _, cost) in expected.items():
        assert costs.get(currency, Decimal(0)) == cost
        daily = query(
            site,
            "select idle_policy, sum(total_cost) from report.showback_daily where currency = ? group by 1",
            [currency],
        )
        assert {total for _, total in daily} <= {cost}

    beside = query(site, "select currency, sum(tax_cost), sum(credit_cost) from mart.cost_daily group by 1")
    for currency, tax, credit in beside:
        for category, found in (("Tax", tax), ("Credit", credit)):
            assert found == sum(
                Decimal(line["EffectiveCost"])
                for line in lines
                if (line["ChargeCategory"], line["BillingCurrency"]) == (category, currency)
            )

    owed = query(site, f"select {MONTH}, idle_policy, sum(total_cost) from report.showback_monthly group by all")
    day = "cast(date_trunc('month', usage_date) as date)"
    spent = query(site, f"select {MONTH.replace('usage_month', day)}, sum(cost) from mart.cost_daily group by all")
    months = {tuple(row[:4]): row[4] for row in spent}
    for *month, _, total in owed:
        minor = Decimal(MINOR[month[3]])
        assert total == ((months[tuple(month)] + minor / 2) / minor).to_integral_value(ROUND_FLOOR) * minor

    shuffled = list(lines)
    order.shuffle(shuffled)
    again = delivered(
        tmp_path_factory.mktemp("again"),
        {
            "one-at-20260301.csv": shuffled,
            **({"old-at-20260201.csv": older} if older else {}),
            **({"old-again-at-20260202.csv": older} if older else {}),
        },
    )
    build(again, "report.bill_bridge_monthly", "report.showback_monthly", as_of=AS_OF)
    for table in (
        "mart.cost_daily",
        "mart.rented_hours_daily",
        "report.bill_bridge_monthly",
        "report.showback_monthly",
    ):
        every = f"from {table} order by all"
        assert query(again, every) == query(site, every), table
