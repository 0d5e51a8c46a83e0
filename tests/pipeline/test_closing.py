"""Closed months: what was signed stays, what comes later is told and charged, and nothing is lost between the two."""

import json
import shutil
from collections.abc import Callable, Iterable
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import duckdb
import pytest
from click.testing import CliRunner
from hypothesis import given, settings
from hypothesis import strategies as st
from random_sites import JOBS_HEADER
from test_casebook_costs import TOML, charge, gpus, text
from test_ledger_properties import SITES

from capacity_dagster.cli import main
from capacity_dagster.closing import close_month, closed_months, closing_tables, reopen_month
from capacity_dagster.errors import ClosingError
from capacity_dagster.site_file import Site, load_site
from capacity_dagster.tables.catalogue import load_catalogue
from capacity_dagster.versions import current

JANUARY, FEBRUARY, MARCH = date(2026, 1, 1), date(2026, 2, 1), date(2026, 3, 1)
Publish = Callable[..., dict[str, str]]


def published(site: Site, sql: str) -> list[tuple[Any, ...]]:
    """Rows of a query over the published file."""
    publication = current(site.published)
    assert publication is not None
    with duckdb.connect(str(publication.folder / "capacity.duckdb"), read_only=True) as connection:
        return connection.execute(sql).fetchall()


def in_parquet(site: Site, table: str) -> list[tuple[Any, ...]]:
    """All rows of a table in the published Parquet."""
    publication = current(site.published)
    assert publication is not None
    files = publication.folder / "parquet" / table.replace(".", "/") / "*.parquet"
    return duckdb.sql(f"select * from '{files}' order by all").fetchall()


@pytest.fixture
def corrected(make_site: Callable[..., Site], published_by: Publish) -> Callable[..., Site]:
    """corrected(close): P58's bills of January and February, published, closed or not, then the correction."""

    def make(close: bool) -> Site:
        used = charge(JANUARY, "50000", until=FEBRUARY, **gpus("25000"))
        then = charge(FEBRUARY, "40000", until=MARCH, **gpus("20000"))
        site = make_site(TOML, {"bills/0.csv": text([used]), "bills/1.csv": text([then])})
        published_by(site)
        if close:
            close_month(site, JANUARY)
        correction = charge(
            JANUARY, "-1000", until=FEBRUARY, billed=FEBRUARY, ChargeClass="Correction", **gpus("", PricingUnit="")
        )
        newer = site.landing / "bills" / "1-at-20260301T120000Z.csv"
        newer.write_text(text([then, correction]), encoding="utf-8")
        published_by(site)
        return site

    return make


RATES = (
    "select usage_month, cost, cost_per_installed_hour from report.cost_per_accelerator_hour_monthly "
    "where usage_month < date '2026-03-01' order by 1"
)
RESTATED = """
    select strftime(usage_date, '%Y-%m'), version_before, is_month_closed, because, count(*), sum(amount_change)
    from report.restatement_journal
    where table_name = 'report.cost_per_accelerator_hour_daily' and measure = 'cost'
    group by all order by all
"""
CHARGED = """
    select usage_month, idle_policy, sum(total_cost), sum(adjustment_cost), sum(charged_cost)
    from report.showback_monthly where usage_month < date '2026-03-01' group by all order by all
"""
POLICIES = ("central", "entitlement", "hybrid", "proportional")


@pytest.mark.case("P58")
def test_a_correction_of_an_open_month_is_in_the_journal(corrected: Callable[..., Site]) -> None:
    site = corrected(close=False)
    assert published(site, RATES) == [(JANUARY, 49000, 1.96), (FEBRUARY, 40000, 2.0)]
    because = "bills/1-at-20260301T120000Z.csv"
    assert published(site, RESTATED) == [("2026-01", 1, False, because, 31, Decimal(-1000))]
    assert [row[2:] for row in published(site, CHARGED)] == [(49000, 0, 49000)] * 4 + [(40000, 0, 40000)] * 4
    assert published(site, "from report.closed_months") == []


@pytest.mark.case("P58")
def test_a_correction_of_a_closed_month_is_an_adjustment_of_the_next(corrected: Callable[..., Site]) -> None:
    site = corrected(close=True)
    assert published(site, RATES) == [(JANUARY, 50000, 2.0), (FEBRUARY, 40000, 2.0)]
    because = "bills/1-at-20260301T120000Z.csv"
    assert published(site, RESTATED) == [("2026-01", 1, True, because, 31, Decimal(-1000))]
    assert published(site, CHARGED) == [
        *((JANUARY, policy, 50000, 0, 50000) for policy in POLICIES),
        *((FEBRUARY, policy, 40000, -1000, 39000) for policy in POLICIES),
    ]
    assert published(site, "select usage_month, closed_version from report.closed_months") == [(JANUARY, 1)]


def test_opening_a_month_again_publishes_what_is_known(corrected: Callable[..., Site], published_by: Publish) -> None:
    site = corrected(close=True)
    reopen_month(site, JANUARY)
    published_by(site)
    assert published(site, RATES) == [(JANUARY, 49000, 1.96), (FEBRUARY, 40000, 2.0)]
    assert {row[3] for row in published(site, CHARGED)} == {0}
    assert in_parquet(site, "report.cost_per_accelerator_hour_monthly") == published(
        site, "from report.cost_per_accelerator_hour_monthly order by all"
    )
    told = published(site, RESTATED)
    assert [(row[1], row[2], row[5]) for row in told] == [(1, True, -1000), (2, False, -1000)]
    assert told[1][3] == "the month was opened again"


# Clusters that are accounted for no more.


def test_a_rule_for_what_was_unassigned_moves_it_in_the_journal_and_nothing_is_blocked(
    make_site: Callable[..., Site], published_by: Publish
) -> None:
    known = charge(JANUARY, "50000", until=FEBRUARY, **gpus("25000"))
    other = charge(JANUARY, "310", until=FEBRUARY, ResourceName="disks", SubAccountId="300")
    then = charge(FEBRUARY, "40000", until=MARCH, **gpus("20000"))
    site = make_site(TOML, {"bills/0.csv": text([known, other]), "bills/1.csv": text([then])})
    published_by(site)
    assert published(site, CHARGED)[0] == (JANUARY, "central", 50310, 0, 50310)
    close_month(site, JANUARY, accepts_incomplete=True)

    toml = site.path
    rule = '[[charge_rules]]\ncluster = "cloud"\npool = "train"\ncharges = { ResourceName = "disks" }\n'
    toml.write_text(toml.read_text(encoding="utf-8") + rule, encoding="utf-8")
    site = load_site(site.path.parent)
    published_by(site)
    restated = """
        select cluster, because, count(*), sum(amount_change) from report.restatement_journal
        where table_name = 'report.cost_per_accelerator_hour_daily' and measure = 'known_cost' group by all order by all
    """
    told = [("cloud", "another site file", 31, 310), ("unassigned", "another site file", 31, -310)]
    assert published(site, restated) == told
    assert published(site, CHARGED) == [
        *((JANUARY, policy, 50310, 0, 50310) for policy in POLICIES),
        *((FEBRUARY, policy, 40000, 0, 40000) for policy in POLICIES),
    ]
    adjusted = (
        "select cluster, adjustment_cost from report.showback_monthly "
        "where adjustment_cost <> 0 and idle_policy = 'central' order by 1"
    )
    assert published(site, adjusted) == [("cloud", 310), ("unassigned", -310)]
    again = published_by(site)
    assert published_by(site) == again
    assert published(site, restated) == told


TWO_CLUSTERS = """
[site]
name = "closing"
first_day = 2026-01-30

[clusters.alpha]
time_zone = "UTC"

[accelerators.h100]

[[sources]]
kind = "inventory"
files = "inventory.csv"

[[sources]]
kind = "flat_costs"
files = "costs.csv"
"""


def test_what_a_cluster_was_charged_that_is_gone_is_taken_back(
    make_site: Callable[..., Site], published_by: Publish
) -> None:
    beta = '\n[clusters.beta]\ntime_zone = "UTC"\n'
    inventory = [
        "cluster,node,pool,accelerator_model,accelerators,in_service_at,retired_at",
        "alpha,h1,train,h100,8,2026-01-01T00:00:00Z,",
        "beta,h2,train,h100,8,2026-01-01T00:00:00Z,",
    ]
    costs = [
        "cost_component,cluster,pool,amount,currency,period_start,period_end",
        "colo,alpha,train,1416,USD,2026-01-01,2026-03-01",  # 24 a day
        "colo,beta,train,708,USD,2026-01-01,2026-03-01",  # 12 a day
    ]
    files = {"inventory.csv": "\n".join(inventory) + "\n", "costs.csv": "\n".join(costs) + "\n"}
    site = make_site(TWO_CLUSTERS + beta, files)
    as_of = datetime(2026, 2, 3, tzinfo=UTC)
    published_by(site, as_of)
    close_month(site, JANUARY, accepts_incomplete=True)

    site.path.write_text(TWO_CLUSTERS, encoding="utf-8")
    deliver(
        site,
        {
            name: "".join(f"{line}\n" for line in lines if "beta" not in line)
            for name, lines in (("inventory.csv", inventory), ("costs.csv", costs))
        },
    )
    site = load_site(site.path.parent)
    published_by(site, as_of)
    bills = """
        select billing_month, cluster, charge_class, sum(effective_cost), min(charge_period_start_at),
            max(charge_period_end_at)
        from report.focus_charges group by all order by all
    """
    january = (datetime(2026, 1, 30), datetime(2026, 2, 1))
    assert published(site, bills) == [
        (JANUARY, "alpha", None, 48, *january),
        (JANUARY, "beta", None, 24, *january),
        (FEBRUARY, "alpha", None, 48, datetime(2026, 2, 1), datetime(2026, 2, 3)),
        (FEBRUARY, "beta", "Correction", -24, *january),
    ]
    restated = """
        select cluster, usage_date, amount_change from report.restatement_journal
        where table_name = 'report.cost_per_accelerator_hour_daily' and measure = 'known_cost' order by all
    """
    told = [("beta", date(2026, 1, 30), -12), ("beta", date(2026, 1, 31), -12)]
    assert published(site, restated) == told
    again = published_by(site, as_of)
    assert published_by(site, as_of) == again
    assert published(site, restated) == told


def test_what_was_charged_for_days_that_are_accounted_for_no_more_is_taken_back(
    make_site: Callable[..., Site], published_by: Publish
) -> None:
    files = {
        "inventory.csv": "cluster,node,pool,accelerator_model,accelerators,in_service_at,retired_at\n"
        "alpha,h1,train,h100,8,2026-01-01T00:00:00Z,\n",
        "costs.csv": "cost_component,cluster,pool,amount,currency,period_start,period_end\n"
        "colo,alpha,train,1416,USD,2026-01-01,2026-03-01\n",  # 24 a day
    }
    site = make_site(TWO_CLUSTERS, files)
    as_of = datetime(2026, 2, 3, tzinfo=UTC)
    published_by(site, as_of)
    close_month(site, JANUARY, accepts_incomplete=True)

    site.path.write_text(TWO_CLUSTERS.replace("2026-01-30", "2026-01-31"), encoding="utf-8")
    site = load_site(site.path.parent)
    published_by(site, as_of)
    bills = """
        select billing_month, charge_class, usage_date, effective_cost from report.focus_charges
        where usage_date < date '2026-02-01' order by all
    """
    days = date(2026, 1, 30), date(2026, 1, 31)
    expected = [(JANUARY, None, days[0], 24), (JANUARY, None, days[1], 24), (FEBRUARY, "Correction", days[0], -24)]
    restated = """
        select usage_date, amount_change from report.restatement_journal
        where table_name = 'report.cost_per_accelerator_hour_daily' and measure = 'known_cost' order by all
    """
    charged = "select usage_month, charged_cost from report.showback_monthly where idle_policy = 'central' order by 1"
    for _ in range(2):
        assert published(site, bills) == expected
        assert published(site, restated) == [(days[0], -24)]
        assert published(site, charged) == [(JANUARY, 48), (FEBRUARY, 24)]
        for table in ("report.focus_charges", "report.restatement_journal"):
            assert in_parquet(site, table) == published(site, f"from {table} order by all")
        again = published_by(site, as_of)
    assert published_by(site, as_of) == again


# Random histories: files come, are replaced and go, months close and open, versions are published.

FIRST_AT, AS_OF = datetime(2026, 1, 28, tzinfo=UTC), datetime(2026, 3, 4, tzinfo=UTC)
HOURS = int((AS_OF - FIRST_AT) / timedelta(hours=1))

SLURM = """
[site]
name = "closing"
first_day = 2026-01-28

[clusters.alpha]
time_zone = "UTC"

[accelerators.h100]

[[sources]]
kind = "slurm_jobs"
files = "jobs-*.psv"

[[sources]]
kind = "inventory"
files = "inventory.csv"
time_zone = "UTC"

[[sources]]
kind = "org_mapping"
files = "teams.csv"
time_zone = "UTC"

[[sources]]
kind = "entitlements"
files = "entitlements.csv"
time_zone = "UTC"

[[sources]]
kind = "flat_costs"
files = "costs-*.csv"
time_zone = "UTC"
"""

STANDING = {
    "inventory.csv": "cluster,node,pool,accelerator_model,accelerators,in_service_at,retired_at\n"
    "alpha,n1,train,h100,4,2026-01-01,\nalpha,n2,train,h100,4,2026-01-01,\nalpha,n3,infer,h100,2,2026-02-10,\n",
    "teams.csv": "cluster,account,user,team,valid_from,valid_to\n,a,,a,2026-01-01,\n,b,,b,2026-01-01,\n",
    "entitlements.csv": "team,cluster,pool,accelerator_model,accelerators,valid_from,valid_to\n"
    "a,alpha,train,,3,2026-01-01,\nb,alpha,train,,2,2026-02-05,\n",
    "costs-0.csv": "cost_component,cluster,pool,amount,currency,period_start,period_end\n"
    "colo,alpha,train,1000.01,USD,2026-01-01,2026-02-01\ncolo,alpha,train,999.98,USD,2026-02-01,2026-03-01\n"
    "colo,alpha,train,70,USD,2026-03-01,2026-03-05\ncolo,alpha,infer,33.33,USD,2026-02-01,2026-03-05\n",
}


def job(number: int, account: str, node: str, begins: int, hours: int, accelerators: int) -> str:
    at = int(FIRST_AT.timestamp()) + begins * 3600
    tres = f"cpu=8,mem=64G,gres/gpu={accelerators}"
    values = ["alpha", number, number, number, at, at, at, at + hours * 3600, hours * 3600, "COMPLETED", "0:0", "main"]
    return "|".join(map(str, [*values, "normal", account, "u", "", 1, 8, tres, tres, 600, node, "None", "", "a name"]))


hours = st.integers(0, HOURS - 60)
jobs = st.tuples(st.sampled_from("ab"), st.sampled_from(["n1", "n2", "n3"]), hours, st.integers(1, 59))
costs = st.tuples(st.sampled_from(["train", "infer"]), hours, st.integers(1, 59), st.integers(1, 9))


@st.composite
def deliveries(draw: st.DrawFn) -> dict[str, str | None]:
    """Files that come, are replaced, or go (None)."""
    found: dict[str, str | None] = {}
    if lines := draw(st.lists(jobs, max_size=4)):
        slot = draw(st.integers(1, 3))
        records = [job(slot * 100 + n, *line, accelerators=1 + n % 2) for n, line in enumerate(lines)]
        found[f"jobs-{slot}.psv"] = "\n".join([JOBS_HEADER, *records]) + "\n"
    components = st.lists(st.sampled_from(["network", "staff", "support"]), max_size=2, unique=True)
    for component in draw(components):
        pool, begins, hours, amount = draw(costs)
        first, last = FIRST_AT + timedelta(hours=begins), FIRST_AT + timedelta(hours=begins + hours)
        found[f"costs-{component}.csv"] = (
            "cost_component,cluster,pool,amount,currency,period_start,period_end\n"
            f"{component},alpha,{pool},{amount}.07,USD,{first:%Y-%m-%dT%H:%M:%SZ},{last:%Y-%m-%dT%H:%M:%SZ}\n"
        )
    for gone in draw(st.lists(st.sampled_from(["jobs-1.psv", "jobs-2.psv", "costs-staff.csv"]), max_size=1)):
        found[gone] = None
    return found


steps = st.one_of(deliveries(), st.sampled_from(["close", "close", "reopen"]))


STANDING["jobs-0.psv"] = (
    "\n".join([JOBS_HEADER, *(job(n, "ab"[n % 2], "n1", 1 + n * 8, 1 + n % 7, 1 + n % 3) for n in range(100))]) + "\n"
)


def deliver(site: Site, files: dict[str, str | None]) -> None:
    for name, content in files.items():
        if content is None:
            (site.landing / name).unlink(missing_ok=True)
        else:
            (site.landing / name).write_text(content, encoding="utf-8")


def new_site(folder: Path, files: dict[str, str | None]) -> Site:
    (folder / "landing").mkdir(parents=True)
    (folder / "site.toml").write_text(SLURM, encoding="utf-8")
    site = load_site(folder)
    deliver(site, {**STANDING, **files})
    return site


def signed(site: Site, month: date) -> dict[str, list[tuple[Any, ...]]]:
    """A month's published rows of each table that closes."""
    found = {}
    for table in closing_tables(load_catalogue()):
        of_month = f"date_trunc('month', {table.contract.closes_by}) = date '{month}'"
        found[table.full_name] = published(site, f"from {table.full_name} where {of_month} order by all")
    return found


def sums(rows: Iterable[tuple[Any, ...]]) -> dict[tuple[Any, ...], Decimal]:
    """Amounts (the last column) by what is before them, without zeros."""
    found: dict[tuple[Any, ...], Decimal] = {}
    for *key, amount in rows:
        found[tuple(key)] = found.get(tuple(key), Decimal(0)) + (amount or 0)
    return {key: amount for key, amount in found.items() if amount}


DAYS_OF = """
    select 'report.fleet_efficiency_daily', usage_date, pool, null, null, 'allocated_hours',
        allocated_hours::decimal(38, 12)
    from report.fleet_efficiency_daily
    union all
    select 'report.team_efficiency_daily', usage_date, pool, team, null, 'allocated_hours',
        allocated_hours::decimal(38, 12)
    from report.team_efficiency_daily
    union all
    select 'report.cost_per_accelerator_hour_daily', usage_date, pool, null, null, 'other_cost', other_cost
    from report.cost_per_accelerator_hour_daily
    union all
    select 'report.showback_daily', usage_date, pool, team, idle_policy, 'direct_cost', direct_cost
    from report.showback_daily
    union all
    select 'report.showback_daily', usage_date, pool, team, idle_policy, 'idle_cost', idle_cost
    from report.showback_daily
"""
TOLD = """
    select table_name, usage_date, pool, team, idle_policy, measure, amount_change
    from report.restatement_journal as journal
    inner join report.closed_months as closed_months
        on date_trunc('month', journal.usage_date) = closed_months.usage_month
        and journal.version_before >= closed_months.closed_version
    where is_month_closed and (table_name, measure) in (
        ('report.fleet_efficiency_daily', 'allocated_hours'), ('report.team_efficiency_daily', 'allocated_hours'),
        ('report.cost_per_accelerator_hour_daily', 'other_cost'), ('report.showback_daily', 'direct_cost'),
        ('report.showback_daily', 'idle_cost')
    )
"""
OWED = "select pool, team, idle_policy, {} from report.showback_monthly"


@given(deliveries(), st.lists(steps, min_size=3, max_size=6))
@settings(SITES, max_examples=2)
def test_what_was_signed_stays_and_nothing_is_lost(
    tmp_path_factory: pytest.TempPathFactory,
    published_by: Publish,
    first: dict[str, str | None],
    then: list[dict[str, str | None] | str],
) -> None:
    folder = tmp_path_factory.mktemp("history")
    site = new_site(folder / "site", first)
    published_by(site, AS_OF)
    landed = dict(first)
    were_signed: dict[date, dict[str, list[tuple[Any, ...]]]] = {}
    for step in [{}, *then]:
        if step == "close":
            month = next((each for each in (JANUARY, FEBRUARY) if each not in were_signed), None)
            if month:
                close_month(site, month, accepts_incomplete=True)
                were_signed[month] = signed(site, month)
        elif step == "reopen":
            if were_signed:
                reopen_month(site, max(were_signed))
                del were_signed[max(were_signed)]
        elif isinstance(step, dict):
            deliver(site, step)
            landed |= step
        published_by(site, AS_OF)
        for month, rows in were_signed.items():
            assert signed(site, month) == rows

    plain = new_site(folder / "plain", landed)
    published_by(plain, AS_OF)
    known = sums(published(plain, DAYS_OF))
    assert sums([*published(site, DAYS_OF), *published(site, TOLD)]) == known
    owed = sums(published(plain, OWED.format("total_cost")))
    assert sums(published(site, OWED.format("charged_cost"))) == owed
    for table in closing_tables(load_catalogue()):
        assert in_parquet(site, table.full_name) == published(site, f"from {table.full_name} order by all")
    again = published_by(site, AS_OF)
    assert published_by(site, AS_OF) == again


# What cannot be closed, and what is left of a closing that was killed.


@pytest.fixture
def two_months(make_site: Callable[..., Site], published_by: Publish) -> Callable[..., Site]:
    """two_months(*bills): P58's bill of January, and others, published; records speak until the end of February."""

    def make(*bills: str) -> Site:
        january = text([charge(JANUARY, "50000", until=FEBRUARY, **gpus("25000"))])
        site = make_site(TOML, {f"bills/{number}.csv": bill for number, bill in enumerate([january, *bills])})
        published_by(site, datetime(2026, 2, 27, tzinfo=UTC))
        return site

    return make


def capacity(*arguments: str) -> tuple[int, str]:
    """The exit code of the command line, and what it printed."""
    result = CliRunner().invoke(main, list(arguments))
    return result.exit_code, " ".join(result.output.split())


def test_months_close_in_order_and_open_in_reverse_order(two_months: Callable[..., Site]) -> None:
    site = two_months(text([charge(FEBRUARY, "1", until=MARCH, **gpus("1"))]))
    where = ("--site", str(site.path))
    assert capacity("close", "2026-02", *where) == (
        2,
        "2026-02 is not over in version 1: cloud is known until 2026-02-27T00:00:00Z; "
        "expected 2026-03-01T00:00:00Z or later",
    )
    assert capacity("close", "2025-12", *where) == (
        2,
        "version 1 has no numbers of 2025-12; it has those of 2026-01, 2026-02",
    )
    assert capacity("reopen", "2026-01", *where) == (2, "2026-01 is not closed; closed are none")
    assert capacity("close", "2026-01", *where) == (0, "2026-01 is closed as version 1 has it")
    assert capacity("close", "2026-01", *where) == (2, "2026-01 is closed already")
    assert capacity("reopen", "2026-01", *where)[0] == 0
    assert closed_months(site.published) == []


def test_a_month_without_all_its_costs_is_closed_only_on_request(
    two_months: Callable[..., Site], published_by: Publish
) -> None:
    as_of = datetime(2026, 4, 1, tzinfo=UTC)
    site = two_months(text([charge(MARCH, "40000", until=date(2026, 4, 1), **gpus("20000"))]))
    published_by(site, as_of)
    with pytest.raises(ClosingError, match="2026-02 cloud/train: bill of Cumulus is missing on 28 of its days"):
        close_month(site, FEBRUARY)
    assert closed_months(site.published) == []
    assert [each.month for each in close_month(site, FEBRUARY, accepts_incomplete=True)] == [JANUARY, FEBRUARY]
    with pytest.raises(ClosingError, match="open 2026-02 before it"):
        reopen_month(site, JANUARY)

    # The bill comes, and is charged in March; February stays unknown, as it was signed.
    bill = site.landing / "bills" / "february.csv"
    bill.write_text(text([charge(FEBRUARY, "28000", until=MARCH, **gpus("14000"))]), encoding="utf-8")
    published_by(site, as_of)
    rates = "select usage_month, cost from report.cost_per_accelerator_hour_monthly where pool = 'train' order by 1"
    assert published(site, rates) == [(JANUARY, 50000), (FEBRUARY, None), (MARCH, 40000)]
    charged = "select sum(charged_cost) from report.showback_monthly where idle_policy = 'central' group by usage_month"
    assert sorted(published(site, charged)) == [(50000,), (68000,)]


def test_what_other_code_published_is_built_before_it_is_closed(
    two_months: Callable[..., Site], monkeypatch: pytest.MonkeyPatch
) -> None:
    site = two_months()
    with monkeypatch.context() as patched:
        patched.setattr("capacity_dagster.closing.code_version", lambda: "0.2.0+another")
        with pytest.raises(ClosingError, match=r"expected one by 0\.2\.0\+another: build first"):
            close_month(site, JANUARY)


def test_a_cluster_that_is_gone_keeps_no_month_open(two_months: Callable[..., Site]) -> None:
    site = two_months()
    publication = current(site.published)
    assert publication is not None
    manifest = publication.folder / "manifest.json"
    told = json.loads(manifest.read_text())
    manifest.chmod(0o644)
    manifest.write_text(json.dumps({**told, "as_of": {**told["as_of"], "gone": "2026-01-15T00:00:00Z"}}))
    with pytest.raises(ClosingError, match=r"gone is known until 2026-01-15T00:00:00Z; expected .* or --incomplete"):
        close_month(site, JANUARY)
    assert close_month(site, JANUARY, accepts_incomplete=True)


def test_a_closing_that_was_killed_leaves_nothing(
    two_months: Callable[..., Site], monkeypatch: pytest.MonkeyPatch
) -> None:
    def killed(_: Path) -> None:
        raise KeyboardInterrupt

    site = two_months()
    with monkeypatch.context() as patched:
        patched.setattr("capacity_dagster.closing.make_durable", killed)
        with pytest.raises(KeyboardInterrupt):
            close_month(site, JANUARY)
    assert closed_months(site.published) == []
    assert [each.month for each in close_month(site, JANUARY)] == [JANUARY]
    assert [folder.name for folder in (site.published / "closed").iterdir()] == ["2026-01"]


def test_what_was_signed_survives_the_loss_of_work(two_months: Callable[..., Site], published_by: Publish) -> None:
    site = two_months()
    close_month(site, JANUARY)
    correction = charge(JANUARY, "-1000", until=FEBRUARY, billed=FEBRUARY, ChargeClass="Correction")
    (site.landing / "bills" / "late.csv").write_text(text([correction]), encoding="utf-8")
    as_of = datetime(2026, 2, 27, tzinfo=UTC)
    before = published_by(site, as_of)
    journal = in_parquet(site, "report.restatement_journal")
    assert journal
    shutil.rmtree(site.work)
    assert published_by(site, as_of) == before
    assert in_parquet(site, "report.restatement_journal") == journal
