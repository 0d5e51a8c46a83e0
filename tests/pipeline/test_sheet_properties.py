"""Random lots, sheets, power, rates, use and entitlements: what is charged is what accrued, under every policy."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from decimal import ROUND_HALF_UP, Decimal
from fractions import Fraction
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from capacity_dagster.site_file import load_site

FIRST = datetime(2026, 1, 20, tzinfo=UTC)
DAYS = 16
AS_OF = FIRST + timedelta(days=DAYS)
ACCELERATORS = 8
PICO = 10**12

TOML = """
[site]
name = "random sheets"
first_day = 2026-01-20

[clusters.alpha]
time_zone = "UTC"

[accelerators.h100]

[costs]
currency = "USD"
"""
SOURCES = {
    "slurm_jobs": ("jobs.psv", "Cluster|JobIDRaw|Submit|Start|End|State|Account|AllocTRES|NodeList"),
    "inventory": ("inventory.csv", "cluster,node,pool,accelerator_model,accelerators,in_service_at,retired_at"),
    "purchase_lots": (
        "lots.csv",
        "lot_id,cluster,pool,accelerator_model,accelerators,price,residual,currency,in_service,life_months",
    ),
    "flat_costs": ("flat.csv", "cost_component,cluster,pool,amount,currency,period_start,period_end"),
    "power_rates": ("power.csv", "cluster,pool,model,kw,pue,price_per_kwh,currency,valid_from,valid_to"),
    "exchange_rates": ("rates.csv", "from,to,rate,valid_from,valid_to,provider"),
    "org_mapping": ("teams.csv", "cluster,account,user,team,valid_from,valid_to"),
    "entitlements": ("entitled.csv", "cluster,team,pool,accelerators,valid_from,valid_to"),
}

amounts = st.one_of(st.decimals(0, 10**9, places=9), st.decimals(0, 1, places=9), st.just(Decimal(10**12 - 1)))
currencies = st.sampled_from(["USD", "EUR"])
hours = st.integers(0, 24 * DAYS - 1)


def at(hour: int) -> datetime:
    return FIRST + timedelta(hours=hour)


@st.composite
def lots(draw: st.DrawFn) -> dict[str, Any]:
    price = draw(amounts)
    return {
        "price": price,
        "residual": min(price, draw(amounts)),
        "currency": draw(currencies),
        "begins": at(24 * draw(st.integers(-80, DAYS - 1))),
        "months": draw(st.integers(1, 60)),
    }


@st.composite
def sheets(draw: st.DrawFn) -> dict[str, Any]:
    begins = draw(hours)
    return {
        "component": draw(st.sampled_from(["colo", "support", "staff"])),
        "amount": draw(amounts) * draw(st.sampled_from([1, 1, -1])),
        "currency": draw(currencies),
        "begins": at(begins),
        "ends": at(begins + draw(st.integers(1, 1000))),
    }


@st.composite
def jobs(draw: st.DrawFn) -> str:
    begins, length, number = draw(hours), draw(st.integers(1, 100)), draw(st.integers(1, 10**6))
    start, end = (int(at(hour).timestamp()) for hour in (begins, begins + length))
    account, count = draw(st.sampled_from(["red", "blue", "nobody"])), draw(st.integers(1, ACCELERATORS))
    return f"alpha|{number}|{start}|{start}|{end}|COMPLETED|{account}|gres/gpu={count}|n1"


def months_later(begins: datetime, months: int) -> datetime:
    """So many months on, and no later than the last day of that month."""
    year, month = divmod(begins.year * 12 + begins.month - 1 + months, 12)
    first_of_next = datetime(year + (month + 1) // 12, (month + 1) % 12 + 1, 1, tzinfo=UTC)
    return min(
        datetime(year, month + 1, 1, tzinfo=UTC) + timedelta(days=begins.day - 1), first_of_next - timedelta(days=1)
    )


def rounded(exact: Fraction) -> int:
    """To the nearest, halves away from zero."""
    return (
        int((Decimal(exact.numerator) / Decimal(exact.denominator)).quantize(Decimal(1), ROUND_HALF_UP))
        if (2 * exact).denominator == 1
        else round(exact)
    )


def accrued(amount: Decimal, rate: Decimal, begins: datetime, ends: datetime) -> int:
    """What of an amount falls between the first day and as_of, in trillionths of the site's currency."""
    whole = rounded(Fraction(amount) * Fraction(rate) * PICO)

    def until(instant: datetime) -> int:
        elapsed = max(0, int((min(ends, instant) - begins).total_seconds()))
        return rounded(Fraction(whole) * elapsed / int((ends - begins).total_seconds()))

    return until(AS_OF) - until(FIRST)


@given(
    st.lists(lots(), min_size=1, max_size=4),
    st.lists(sheets(), max_size=6),
    st.lists(jobs(), max_size=8, unique_by=lambda job: job.split("|")[1]),
    st.decimals("0.01", 5, places=12),
    st.lists(st.integers(0, 12), min_size=2, max_size=2),
    st.one_of(st.none(), st.tuples(st.decimals("0.1", 2, places=3), currencies)),
)
@settings(max_examples=4, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_what_is_charged_is_what_accrued(
    tmp_path_factory: pytest.TempPathFactory,
    build: Callable[..., Any],
    query: Callable[..., Any],
    bought: list[dict[str, Any]],
    billed: list[dict[str, Any]],
    ran: list[str],
    rate: Decimal,
    entitled: list[int],
    power: tuple[Decimal, str] | None,
) -> None:
    since = "2025-01-01T00:00:00Z"
    rows = {
        "slurm_jobs": ran,
        "inventory": [f"alpha,n1,train,h100,{ACCELERATORS},{since},"],
        "purchase_lots": [
            f"l{number},alpha,train,h100,{ACCELERATORS},{lot['price']:f},{lot['residual']:f},{lot['currency']},"
            f"{lot['begins']:%Y-%m-%d},{lot['months']}"
            for number, lot in enumerate(bought)
        ],
        "flat_costs": [
            f"{sheet['component']},alpha,train,{sheet['amount']:f},{sheet['currency']},"
            f"{sheet['begins']:%Y-%m-%dT%H:%M:%SZ},{sheet['ends']:%Y-%m-%dT%H:%M:%SZ}"
            for sheet in billed
        ],
        "power_rates": [f"alpha,train,h100,1,1,{power[0]:f},{power[1]},{since},"] if power else [],
        "exchange_rates": [f"EUR,USD,{rate:f},{since},2027-01-01T00:00:00Z,"],
        "org_mapping": [f"alpha,{team},,{team},{since}," for team in ("red", "blue")],
        "entitlements": [
            f"alpha,{team},train,{count},{since}," for team, count in zip(("red", "blue"), entitled, strict=True)
        ],
    }
    folder = tmp_path_factory.mktemp("sheets")
    (folder / "landing").mkdir()
    toml = TOML
    for kind, (name, header) in SOURCES.items():
        lines = "".join(f"{line}\n" for line in (header, *rows[kind]))
        (folder / "landing" / name).write_text(lines, encoding="utf-8")
        toml += f'\n[[sources]]\nkind = "{kind}"\nfiles = "{name}"\ntime_zone = "UTC"\n'
    (folder / "site.toml").write_text(toml, encoding="utf-8")
    site = load_site(folder)
    outcomes = build(site, "mart.cost_daily", "report.showback_monthly", "report.focus_charges", as_of=AS_OF)
    for table in ("mart.cost_daily", "report.showback_daily", "report.showback_monthly", "report.focus_charges"):
        broken = [check.name for check in outcomes[table].checks if check.is_blocking and not check.has_passed]
        assert not broken, (table, broken)

    rates = {"USD": Decimal(1), "EUR": rate}
    expected = sum(
        accrued(
            lot["price"] - lot["residual"],
            rates[lot["currency"]],
            lot["begins"],
            months_later(lot["begins"], lot["months"]),
        )
        for lot in bought
    ) + sum(accrued(sheet["amount"], rates[sheet["currency"]], sheet["begins"], sheet["ends"]) for sheet in billed)
    if power:  # one kilowatt for each accelerator, day by day
        day = rounded(Fraction(power[0]) * 24 * ACCELERATORS * PICO)
        expected += DAYS * rounded(Fraction(day) * Fraction(rates[power[1]]))
    assert query(site, "select distinct currency from mart.cost_daily") == [("USD",)]
    ((cost,),) = query(site, "select sum(cost) from mart.cost_daily")
    assert int(cost * PICO) == expected
    policies = "select idle_policy, sum(total_cost) from report.showback_daily group by 1 order by 1"
    assert [total for _, total in query(site, policies)] == [cost] * 4
    assert query(site, "select sum(effective_cost) from report.focus_charges") == [(cost,)]
    months = "select idle_policy, usage_month, sum(total_cost) from report.showback_monthly group by 1, 2"
    spent = dict(
        query(site, "select cast(date_trunc('month', usage_date) as date), sum(cost) from mart.cost_daily group by 1")
    )
    for _, month, total in query(site, months):
        assert total == spent[month].quantize(Decimal("0.01"), ROUND_HALF_UP)
