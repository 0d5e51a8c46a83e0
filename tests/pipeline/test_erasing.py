"""Deliveries that would erase what is known are refused until somebody allows it."""

import shutil
from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import pytest
from test_casebook_costs import TOML as BILLS
from test_casebook_costs import charge, text

from capacity_dagster import landed
from capacity_dagster.materialise import Materialiser
from capacity_dagster.outcome import Outcome
from capacity_dagster.site_file import Site
from capacity_dagster.tables.catalogue import Catalogue
from capacity_dagster.warehouse import Warehouse

HEADER = "Cluster|JobIDRaw|Submit|Start|End|State|AllocTRES|NodeList"
TOML = """
[site]
name = "purged"
first_day = 2026-01-01

[clusters.c]

[[sources]]
kind = "slurm_jobs"
files = "*.psv"
"""


def export(month: int, count: int, day: int = 3) -> str:
    """So many attempts from the first hour of a day on, one an hour."""
    start = datetime(2026, month, day, tzinfo=UTC)
    lines = [HEADER]
    for number in range(count):
        begins = int((start + timedelta(hours=number)).timestamp())
        lines.append(
            f"c|{month * 10_000 + day * 100 + number}|{begins}|{begins}|{begins + 3600}|COMPLETED|gres/gpu=1|n1"
        )
    return "\n".join(lines) + "\n"


@pytest.fixture
def built(make_site, catalogue: Catalogue, quick: None) -> tuple[Site, Callable[..., Outcome]]:
    """A site of ten attempts each in January and February, and building its jobs again."""
    site = make_site(TOML, {"jan.psv": export(1, 10), "feb.psv": export(2, 10)})

    def build(allows_erasing: bool = False) -> Outcome:
        warehouse = Warehouse(site, allows_erasing=allows_erasing)
        with warehouse.write("a test"):
            materialiser = Materialiser(warehouse, catalogue)
            return materialiser.bring_up_to_date(catalogue["raw.slurm_jobs"])

    build()
    return site, build


def is_refused(outcome: Outcome) -> bool:
    (check,) = [each for each in outcome.checks if each.name == landed.DELIVERIES_CHECK]
    return not check.has_passed


@pytest.mark.case("P76")
def test_a_month_that_was_purged_since_is_kept_until_that_is_allowed(built) -> None:
    site, build = built
    (site.landing / "jan.psv").write_text(export(1, 4), encoding="utf-8")
    for _ in range(2):
        outcome = build()
        assert is_refused(outcome)
        assert outcome.problems == [
            "c: of 10 attempts submitted in 2026-01 the deliveries would keep 4; expected at least half of them, as "
            "accounting databases purge what is old. Put the earlier files back into the landing, or accept it with "
            "`capacity build --allow-erasing`"
        ]
        assert outcome.row_count == 20
    allowed = build(allows_erasing=True)
    assert not is_refused(allowed)
    assert allowed.row_count == 14
    assert not is_refused(build())


def test_a_file_that_is_gone_is_refused_and_may_come_back(built) -> None:
    site, build = built
    shutil.move(site.landing / "feb.psv", site.folder / "feb.psv")
    outcome = build()
    assert is_refused(outcome)
    assert outcome.row_count == 20
    shutil.move(site.folder / "feb.psv", site.landing / "feb.psv")
    again = build()
    assert not is_refused(again)
    assert again.problems == []


def test_fewer_attempts_than_before_are_no_erasure_while_half_of_them_stay(built) -> None:
    site, build = built
    (site.landing / "jan.psv").write_text(export(1, 5), encoding="utf-8")
    outcome = build()
    assert not is_refused(outcome)
    assert outcome.row_count == 15


def test_what_another_file_repeats_is_not_erased(built) -> None:
    site, build = built
    (site.landing / "all.psv").write_text(export(1, 10) + export(2, 10).split("\n", 1)[1], encoding="utf-8")
    build()
    (site.landing / "jan.psv").unlink()
    (site.landing / "feb.psv").unlink()
    outcome = build()
    assert not is_refused(outcome)
    assert outcome.row_count == 20


def together(*exports: str) -> str:
    return HEADER + "\n" + "".join(export.split("\n", 1)[1] for export in exports)


@pytest.mark.case("P76")
@pytest.mark.parametrize(
    ("kept", "told"),
    [
        ((9, 24), "of 20 attempts submitted on 2026-03-01 the deliveries would keep 9;"),
        ((10, 24), None),
        ((0, 0), "of 44 attempts submitted on 2 days from 2026-03-01 to 2026-03-10 the deliveries would keep 0;"),
    ],
)
def test_most_of_a_day_is_kept_until_that_is_allowed(built, kept: tuple[int, int], told: str | None) -> None:
    site, build = built
    most = [export(3, 24, day) for day in (20, 21, 22)]
    file = site.landing / "march.psv"
    file.write_text(together(export(3, 20, 1), export(3, 24, 10), *most), encoding="utf-8")
    build()
    file.write_text(together(export(3, kept[0], 1), export(3, kept[1], 10), *most), encoding="utf-8")
    outcome = build()
    assert is_refused(outcome) == (told is not None)
    if told:
        (problem,) = outcome.problems
        assert problem.startswith(f"c: {told} expected at least half of them")
        assert not is_refused(build(allows_erasing=True))


def test_a_day_with_a_handful_of_attempts_may_lose_them(built) -> None:
    site, build = built
    file = site.landing / "march.psv"
    file.write_text(together(export(3, 19, 1), export(3, 24, 10)), encoding="utf-8")
    build()
    file.write_text(together(export(3, 0, 1), export(3, 24, 10)), encoding="utf-8")
    assert not is_refused(build())


def bill(count: int, month: int = 1, account: str = "100") -> str:
    return text(
        [charge(date(2026, month, 1), "1", BillingAccountId=account, ResourceId=f"r-{n}") for n in range(count)]
    )


@pytest.fixture
def billed(make_site, catalogue: Catalogue, quick: None) -> tuple[Path, Callable[..., Outcome]]:
    """The folder of a site's bills, with forty charges of January, and reading them again."""
    site = make_site(BILLS, {"bills/jan-at-20260201T000000Z.csv": bill(40)})

    def build(allows_erasing: bool = False) -> Outcome:
        warehouse = Warehouse(site, allows_erasing=allows_erasing)
        with warehouse.write("a test"):
            return Materialiser(warehouse, catalogue).bring_up_to_date(catalogue["raw.focus_charges"])

    build()
    return site.landing / "bills", build


@pytest.mark.case("P76")
def test_a_bill_that_is_delivered_again_with_few_charges_is_refused_until_that_is_allowed(billed) -> None:
    folder, build = billed
    (folder / "jan-at-20260202T000000Z.csv").write_text(bill(19), encoding="utf-8")
    for _ in range(2):
        outcome = build()
        assert is_refused(outcome)
        assert outcome.problems == [
            "Cumulus 100: of 40 charges of the billing period from 2026-01-01 the deliveries would keep 19; expected "
            "at least half of them, as the newest delivery of a bill has all of it. Have it delivered whole, put the "
            "earlier file back into the landing, or accept it with `capacity build --allow-erasing`"
        ]
        assert outcome.row_count == 40
    assert not is_refused(build(allows_erasing=True))
    assert not is_refused(build())
    (folder / "jan-at-20260203T000000Z.csv").write_text(bill(1), encoding="utf-8")
    assert not is_refused(build()), "nineteen are few"


@pytest.mark.parametrize(
    ("files", "told"),
    [
        ({"jan-at-20260201T000000Z.csv": bill(19)}, "would keep 19"),
        ({"jan-at-20260201T000000Z.csv": bill(20)}, None),
        ({"jan-at-20260201T000000Z.csv": bill(40, month=2)}, "would keep 0"),
        ({"jan-at-20260201T000000Z.csv": bill(40, account="200")}, "would keep 0"),
        ({"jan-at-20260131T000000Z.csv": bill(1)}, None),  # older than what counts
        ({"other-at-20260202T000000Z.csv": bill(1, account="200")}, None),
        ({"a-at-20260202T000000Z.csv": bill(12), "b-at-20260202T000000Z.csv": bill(11)}, None),  # parts of one
        ({"again-at-20260202T000000Z.csv": bill(40)}, None),
    ],
)
def test_a_bill_keeps_half_of_its_charges(billed, files: dict[str, str], told: str | None) -> None:
    folder, build = billed
    for name, content in files.items():
        (folder / name).write_text(content, encoding="utf-8")
    outcome = build()
    assert is_refused(outcome) == (told is not None)
    assert [told in problem for problem in outcome.problems if told] == ([True] if told else [])
