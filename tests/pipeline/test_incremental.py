"""A site that grows day by day publishes, byte for byte, what it would if built at once, and does little for it."""

import random
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from capacity_dagster.demo.generator import generate_site
from capacity_dagster.site_file import Site, load_site
from capacity_dagster.warehouse import Warehouse

ATTEMPTS, DAYS = 2_500, 36


def windows(site: Path) -> list[list[Path]]:
    """The files of each pull of the accounting database, in the order of time."""
    pulls: dict[str, list[Path]] = {}
    for file in (site / "landing").rglob("*-collected-*"):
        pulls.setdefault(file.name.partition("-collected-")[2], []).append(file)
    return [pulls[collected_at] for collected_at in sorted(pulls)]


def without_pulls(complete: Path, folder: Path) -> Site:
    """A copy of a site with nothing of what is collected again and again."""
    shutil.copytree(complete, folder, ignore=shutil.ignore_patterns("*-collected-*", "work", "published"))
    return load_site(folder)


def deliver(site: Site, complete: Path, files: list[Path]) -> None:
    for file in files:
        shutil.copy(file, site.folder / file.relative_to(complete))


@pytest.fixture(scope="module")
def complete(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("complete")
    generate_site(folder, ATTEMPTS, DAYS, seed=11)
    return folder


@pytest.fixture(scope="module")
def expected(complete: Path, tmp_path_factory: pytest.TempPathFactory, published_by) -> dict[str, str]:
    """What is published when everything is built at once."""
    folder = tmp_path_factory.mktemp("at_once") / "site"
    shutil.copytree(complete, folder)
    return published_by(load_site(folder))


def test_day_by_day_gives_what_all_at_once_gives(
    complete: Path, expected: dict[str, str], tmp_path: Path, published_by: Callable[[Site], dict[str, str]]
) -> None:
    month, *days = windows(complete)
    site = without_pulls(complete, tmp_path / "growing")
    deliver(site, complete, [file for pull in (month, *days[:-3]) for file in pull])
    published_by(site)
    for day in days[-3:]:
        deliver(site, complete, day)
        found = published_by(site)
    assert found == expected


def test_pulls_in_any_order_give_what_all_at_once_gives(
    complete: Path, expected: dict[str, str], tmp_path: Path, published_by: Callable[[Site], dict[str, str]]
) -> None:
    pulls = windows(complete)
    random.Random(5).shuffle(pulls)
    site = without_pulls(complete, tmp_path / "shuffled")
    for first in range(0, len(pulls), 4):
        deliver(site, complete, [file for pull in pulls[first : first + 4] for file in pull])
        found = published_by(site)
    assert found == expected


def test_a_pull_that_is_taken_back_leaves_nothing(
    complete: Path, expected: dict[str, str], tmp_path: Path, published_by: Callable[[Site], dict[str, str]]
) -> None:
    *others, last = windows(complete)
    site = without_pulls(complete, tmp_path / "before")
    deliver(site, complete, [file for pull in others for file in pull])
    before = published_by(site)
    deliver(site, complete, last)
    assert published_by(site) == expected
    for file in last:
        (site.folder / file.relative_to(complete)).unlink()
    assert published_by(site, allows_erasing=True) == before


def test_one_more_day_touches_what_it_concerns(complete: Path, tmp_path: Path, build) -> None:
    *others, last = windows(complete)
    site = without_pulls(complete, tmp_path / "one_more")
    deliver(site, complete, [file for pull in others for file in pull])
    build(site)
    deliver(site, complete, last)
    outcomes = build(site)

    # An attempt that ended on the last day had been held open: its past hours are as they were.
    assert len(outcomes["mart.attempt_hours"].days) <= 2
    assert len(outcomes["mart.capacity_ledger_hourly"].days) <= 2
    with Warehouse(site).write("looking") as warehouse:
        replaced = warehouse.rows(
            "select table_name, count(*) from capacity.state.changed_keys where version > 1 group by table_name"
        )
    attempts = outcomes["mart.attempts"].row_count
    assert {name for name, _ in replaced} == {"mart.attempts", "mart.attempt_nodes"}
    assert all(0 < count < attempts // 5 for _, count in replaced), (replaced, attempts)


def test_a_range_of_days_is_rebuilt_in_one_run(complete: Path, tmp_path: Path, build) -> None:
    from datetime import date

    from capacity_dagster.building import build_site

    site = without_pulls(complete, tmp_path / "backfill")
    deliver(site, complete, windows(complete)[0])
    build(site)
    result = build_site(site, None, date(2025, 1, 10), date(2025, 1, 12))
    assert result.told.startswith("3 days rebuilt (2025-01-10 to 2025-01-12): asked for")
