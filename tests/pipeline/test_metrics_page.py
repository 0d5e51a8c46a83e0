"""docs/metrics.md is run: its example site is built, and each query on the page returns the table that follows it.

The page's numbers are worked out from the example's files by hand; they are expectations, not output.
"""

import re
import shutil
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from capacity_dagster.site_file import Site, load_site
from capacity_dagster.tables.catalogue import Catalogue
from capacity_dagster.warehouse import Warehouse

DOCS = Path(__file__).parents[2] / "docs"
PAGE = DOCS / "metrics.md"


@dataclass(frozen=True)
class Example:
    """A query of the page and the table below it: its header and its rows, as they are written."""

    line: int
    sql: str
    table: list[list[str]]


QUERY_AND_TABLE = re.compile(r"^```sql\n(?P<sql>(?:(?!```)[^\n]*\n)*)```\n\n(?P<table>(?:\|[^\n]*\n)*)", re.MULTILINE)


def examples() -> list[Example]:
    text = PAGE.read_text(encoding="utf-8")
    found = []
    for match in QUERY_AND_TABLE.finditer(text):
        header, _, *rows = match["table"].splitlines() or ["", ""]
        cells = [[cell.strip() for cell in row.strip("|").split("|")] for row in (header, *rows)]
        found.append(Example(text.count("\n", 0, match.start()) + 1, match["sql"], cells))
    return found


def written(value: Any) -> str:
    """A value as the page writes it."""
    if value is None:
        return "NULL"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, float):
        value = Decimal(str(round(value, 6)))
    if isinstance(value, Decimal):
        return format(value.normalize() + 0, "f")
    return str(value)


@pytest.fixture(scope="module")
def example_site(tmp_path_factory: pytest.TempPathFactory, build) -> Site:
    folder = tmp_path_factory.mktemp("example") / "site"
    shutil.copytree(DOCS / "example-site", folder, ignore=shutil.ignore_patterns("work", "published"))
    site = load_site(folder)
    outcomes = build(site)
    assert [problem for outcome in outcomes.values() for problem in outcome.problems] == []
    failed = {
        (name, check.name, check.is_blocking)
        for name, outcome in outcomes.items()
        for check in outcome.checks
        if not check.has_passed
    }
    # What the page is about: a rejected record, an attempt that outlived its end, capacity that nobody has paid for.
    assert failed == {
        ("raw.slurm_jobs", "nothing_is_rejected", False),
        ("core.runaway_attempts", "the_books_hold_nothing_open", False),
        ("report.cost_per_accelerator_hour_daily", "installed_accelerators_are_priced", False),
    }
    return site


def test_every_query_of_the_page_is_run() -> None:
    assert len(examples()) == PAGE.read_text(encoding="utf-8").count("```sql")


@pytest.mark.parametrize("example", examples(), ids=lambda example: f"line-{example.line}")
def test_a_query_of_the_page_returns_the_table_below_it(example_site: Site, example: Example) -> None:
    warehouse = Warehouse(example_site)
    with warehouse.write("a test"):
        columns = [column[0] for column in warehouse.rows(f"describe {example.sql}")]
        rows = warehouse.rows(example.sql)
    assert [columns, *([written(value) for value in row] for row in rows)] == example.table


def test_every_column_of_a_report_is_explained(catalogue: Catalogue) -> None:
    """All but keys; some as one of a family, such as `wait_submit_…_seconds`; the bridge's lines on its own page."""
    pages = (PAGE, DOCS / "sources" / "slurm_cluster_usage.md")
    named = {
        name
        for page in pages
        for name in re.findall(r"`(?:[a-z_]+\.)*([a-z0-9_…]+)`", page.read_text(encoding="utf-8"))
    }
    families = [re.compile(name.replace("…", "[a-z0-9_]+")) for name in named if "…" in name]
    assert [
        f"{table.full_name}.{name}"
        for table in catalogue
        if table.full_name.startswith("report.")
        for name in table.contract.columns
        if name not in table.contract.key
        and name not in named
        and not any(family.fullmatch(name) for family in families)
    ] == []
