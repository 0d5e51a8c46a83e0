"""The rules of FOCUS that a bill's reading judges, against the rule model that the specification publishes."""

import csv
import io
import json
import random
import re
from collections import Counter
from collections.abc import Callable
from decimal import Decimal, InvalidOperation
from pathlib import Path
from typing import Any

import pytest

from capacity_dagster.site_file import Site

Row = dict[str, str | None]
Rule = dict[str, Any]

VACUOUS = {"TypeString", "FormatString", "TypeDecimal", "TypeDateTime"}
"""What any text fulfils; and what a number or time breaks that cannot be read, which the rules of formats say, too."""

REFUSED = re.compile(r"(BilledCost|EffectiveCost|BillingCurrency|(Billing|Charge)Period\w+|ChargeCategory)-C-")
"""Columns without which a charge has no cost: it is rejected, with a reason."""

ELSEWHERE = {"ServiceName-C-005-C", "ServiceName-C-008-C", "SkuPriceId-C-008-M", "SkuPriceId-C-011-O"}
"""Rules over several charges."""

CONTRADICTED = {
    # The model demands what the specification forbids, or forgets a condition that it has.
    "PricingQuantity-C-008-M": "never null, although PricingQuantity-C-004-C wants it null for taxes",
    "InvoiceId-C-004-C": "always null",
    "InvoiceId-C-005-C": "never null",
    "PricingCurrencyEffectiveCost-C-004-M": "about another column",
    "ContractedCost-C-004-M": "said by ContractedCost-C-003-M",
    "ListCost-C-004-M": "said by ListCost-C-003-M",
    "ServiceSubcategory-C-003-M": "said by ServiceSubcategory-C-004-M",
    "ConsumedQuantity-C-006-C": "only for corrections, of which the specification says the contrary",
    "CommitmentDiscountQuantity-C-005-C": "also for what has no commitment",
    "CommitmentDiscountQuantity-C-007-C": "also for corrections, of which -C-006-C says that it may be null",
    "CommitmentDiscountStatus-C-003-C": "not null where there is no commitment",
    "CommitmentDiscountStatus-C-004-C": "not null where there is no commitment",
    "CommitmentDiscountStatus-C-005-M": "other values than the specification's",
    "CapacityReservationStatus-C-003-C": "a condition without a function",
    "CapacityReservationStatus-C-004-C": "a condition without a function",
}


@pytest.fixture(scope="module")
def rules(shared_data: Path) -> dict[str, Rule]:
    model: dict[str, Rule] = json.loads((shared_data / "focus" / "model-1.2.json").read_text())["ModelRules"]
    return model


@pytest.fixture(scope="module")
def sample(shared_data: Path) -> list[Row]:
    with (shared_data / "focus" / "focus_sample.csv").open(encoding="utf-8") as lines:
        return list(csv.DictReader(lines))


def functions(check: Rule) -> set[str]:
    inner = (functions(item) for item in check.get("Items", []))
    return set().union({check.get("CheckFunction", "")}, *inner)


def judged(name: str, rule: Rule) -> bool:
    criteria = rule["ValidationCriteria"]
    return not (
        rule["Type"] == "Dynamic"
        or rule["Function"] in ("Composite", "Presence")
        or criteria["Keyword"] == "MAY"
        or functions(criteria["Requirement"]) <= VACUOUS
        or REFUSED.match(name)
        or name in ELSEWHERE
        or name in CONTRADICTED
    )


def number(value: str | None) -> Decimal | None:
    try:
        return None if value is None else Decimal(value)
    except InvalidOperation:
        return None


def holds(check: Rule, row: Row) -> bool:
    """Whether a row fulfils a requirement, or a condition, of the model; a null breaks only what is about nulls."""
    function = check["CheckFunction"]
    value = row.get(check.get("ColumnName", check.get("CheckCondition", "")))
    match function:
        case "AND":
            return all(holds(item, row) for item in check["Items"])
        case "OR":
            return any(holds(item, row) for item in check["Items"])
        case "CheckValue":
            return value == check["Value"]
        case "CheckNotValue":
            return value != check["Value"]
        case "FormatNumeric":
            return value is None or re.fullmatch(r"-?[0-9]+(\.[0-9]+)?([eE]-?[0-9]+)?", value) is not None
        case "FormatDateTime":
            return value is None or re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", value) is not None
        case "FormatUnit":
            return value is None or re.fullmatch(r"([1-9]\d* )?[A-Za-z][\w ]*([-/][\w ]+)?", value) is not None
        case "FormatCurrency":
            return value is None or re.fullmatch("[A-Z]{3}", value) is not None
        case "FormatKeyValue":
            return value is None or isinstance(parsed(value), dict)
        case "CheckGreaterOrEqualThanValue":
            amount = number(value)
            return amount is None or amount >= check["Value"]
        case "ColumnByColumnEqualsColumnValue":
            price, quantity, amount = (number(row.get(check[f"{side}Name"])) for side in SIDES)
            if price is None or quantity is None or amount is None:
                return True
            return abs(price * quantity - amount) <= Decimal("0.000001") + abs(amount) / 10_000
    raise NotImplementedError(function)


SIDES = ("ColumnA", "ColumnB", "ResultColumn")


def parsed(value: str) -> Any:
    try:
        return json.loads(value)
    except ValueError:
        return None


def breaks(name: str, rule: Rule, row: Row) -> bool:
    """Whether a row breaks a rule; a column that its file does not have breaks none."""
    column, criteria = name.split("-")[0], rule["ValidationCriteria"]
    if column not in row or (criteria["Condition"] and not holds(criteria["Condition"], row)):
        return False
    if rule["Function"] == "Validation" and row[column] is None:
        return False
    return not holds(criteria["Requirement"], row)


def as_told(row: Row) -> Row:
    """A row as a reader sees it: the word NULL and the empty text are no value."""
    return {name: None if value in (None, "", "NULL") else value for name, value in row.items()}


def expected(rules: dict[str, Rule], rows: list[Row]) -> Counter[str]:
    told = [as_told(row) for row in rows]
    chosen = {name: rule for name, rule in rules.items() if judged(name, rule)}
    return Counter(name for name, rule in chosen.items() for row in told if breaks(name, rule, row))


def found(read: Callable[..., Any], rows: list[Row]) -> Counter[str]:
    out = io.StringIO()
    writer = csv.DictWriter(out, list(rows[0]), lineterminator="\n", quoting=csv.QUOTE_ALL)
    writer.writeheader()
    writer.writerows(rows)
    records = read("focus_charges", out.getvalue())
    assert not records.rejected
    return Counter(rule for row in records.accepted for rule in (row["broken_rules"] or "").split())


def test_the_sample_breaks_what_the_model_says(
    read: Callable[..., Any], rules: dict[str, Rule], sample: list[Row]
) -> None:
    broken = found(read, sample)
    chosen = {name for name, rule in rules.items() if judged(name, rule)}
    assert {name: count for name, count in broken.items() if name in chosen} == expected(rules, sample)
    oddities = {name: count for name, count in broken.items() if "/" in name and "CostAndUsage" not in name}
    assert oddities == {
        "ColumnHandling-A-010-M/Id": 1000,
        "Oddity-number/AvailabilityZone": sum(
            bool(re.fullmatch(r"[0-9.]+", row["AvailabilityZone"] or "")) for row in sample
        ),
        "Oddity-negative/BilledCost": 12,
        "Oddity-negative/EffectiveCost": 12,
        **{
            f"NullHandling-A-002-M/{name}": count
            for name in sample[0]
            if name != "Id" and (count := sum(row[name] == "" for row in sample))
        },
    }


def test_random_charges_break_what_the_model_says(
    read: Callable[..., Any], rules: dict[str, Rule], sample: list[Row]
) -> None:
    order = random.Random(7)
    columns = sorted({name.split("-")[0] for name, rule in rules.items() if rule["EntityType"] == "Column"})
    texts = {
        "ChargeCategory": ["Usage", "Purchase", "Tax", "Credit", "Adjustment"],
        "ChargeClass": ["NULL", "NULL", "Correction", "Refund"],
        "ChargeFrequency": ["One-Time", "Recurring", "Usage-Based", "Daily"],
        "PricingCategory": ["Standard", "Committed", "Dynamic", "Other", "Spot"],
        "CommitmentDiscountCategory": ["Spend", "Usage", "Both"],
        "CommitmentDiscountStatus": ["Used", "Unused", "Active"],
        "CapacityReservationStatus": ["Used", "Unused", "Held"],
        "ServiceCategory": ["Compute", "Storage", "Machines"],
        "ServiceSubcategory": ["Virtual Machines", "Block Storage", "Other (Compute)"],
        "PricingUnit": ["Hours", "10 Hours", "GB/Hour", "$"],
        "ConsumedUnit": ["Hours", "%"],
        "CommitmentDiscountUnit": ["Hours", "USD-", "GB-Hours"],
        "PricingCurrency": ["USD", "dollars"],
        "Tags": ['{"a": "b"}', "[1]", "text"],
        "SkuPriceDetails": ['{"GpuCount": 8}', "8"],
        "BillingCurrency": ["USD"],
    }
    numbers = ["0", "1", "-1", "2.5", "0.00000001", "many"]

    def cell(name: str, row: Row) -> str:
        if name.endswith(("PeriodStart", "PeriodEnd")) or name in ("BilledCost", "EffectiveCost", "BillingCurrency"):
            return row[name] or ""
        choices = texts.get(name) or (numbers if re.search("(Cost|Price|Quantity)$", name) else ["x", "y"])
        return order.choice(choices) if name == "ChargeCategory" else order.choice([*choices, "NULL", "NULL", ""])

    rows = [{name: cell(name, row) for name in columns} for row in sample for _ in range(3)]
    chosen = {name for name, rule in rules.items() if judged(name, rule)}
    broken = found(read, rows)
    assert {name: count for name, count in broken.items() if name in chosen} == expected(rules, rows)
    assert chosen == set(expected(rules, rows)), "a rule that no row breaks is not tested"


def test_the_sample_costs_what_it_says(
    make_site: Callable[..., Site], build: Callable[..., Any], query: Callable[..., Any], shared_data: Path
) -> None:
    toml = """
        [site]
        name = "sample"
        first_day = 2024-09-01
        [clusters.cloud]
        scheduler = "none"
        [[sources]]
        kind = "focus_charges"
        files = "*.csv"
        [[charge_rules]]
        cluster = "cloud"
        pool = "aws"
        charges = { ProviderName = "AWS" }
    """
    bill = (shared_data / "focus" / "focus_sample.csv").read_bytes()
    site = make_site(toml, {"sample.csv": bill})
    outcomes = build(site)
    bridge = "select sum(billed_cost), sum(effective_cost), sum(cost) from report.bill_bridge_monthly"
    assert query(site, bridge) == [(Decimal("20.52022672899"), Decimal("14.97651418586"), Decimal("17.97651418586"))]
    daily = "select sum(cost), sum(credit_cost), sum(tax_cost) from mart.cost_daily"
    assert query(site, daily) == [(Decimal("17.97651418586"), Decimal(-3), Decimal(0))]
    owed = "select distinct sum(total_cost) over (partition by idle_policy) from report.showback_daily"
    assert query(site, owed) == [(Decimal("17.97651418586"),)]
    checks = {check.name: check for check in outcomes["report.focus_conformance"].checks}
    assert not checks["bills_are_as_focus_says"].has_passed
    assert checks["bills_are_as_focus_says"].sample
    odd = {(row["focus_column"], row["rows_broken"]) for row in checks["bills_have_no_oddities"].sample}
    assert odd == {("AvailabilityZone", 51), ("BilledCost", 12), ("EffectiveCost", 12)}
    trust = "select sum(rows_received), sum(rows_accepted) from report.data_trust_daily where source = 'focus_charges'"
    assert query(site, trust) == [(1000, 1000)]
