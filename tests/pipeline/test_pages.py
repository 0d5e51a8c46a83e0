"""docs/metrics.md, docs/traps.md and docs/focus.md are run: each query on them returns the table that follows it. Pages
link to pages.

Their numbers are worked out from the files of the example site, or of the shipped demo, by hand; they are expectations,
not output.
"""

import ast
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

REPOSITORY = Path(__file__).parents[2]
DOCS = REPOSITORY / "docs"
METRICS, TRAPS, FOCUS = DOCS / "metrics.md", DOCS / "traps.md", DOCS / "focus.md"
QUERY_AND_TABLE = re.compile(r"^```sql\n(?P<sql>(?:(?!```)[^\n]*\n)*)```\n\n(?P<table>(?:\|[^\n]*\n)*)", re.MULTILINE)
DEMO = "-- on the demo site\n"


@dataclass(frozen=True)
class Example:
    """A query of a page and the table below it: its header and its rows, as they are written."""

    page: Path
    line: int
    sql: str
    table: list[list[str]]


def examples() -> list[Example]:
    found = []
    for page in (METRICS, TRAPS, FOCUS):
        text = page.read_text(encoding="utf-8")
        for match in QUERY_AND_TABLE.finditer(text):
            header, _, *rows = match["table"].splitlines() or ["", ""]
            cells = [[cell.strip() for cell in row.strip("|").split("|")] for row in (header, *rows)]
            found.append(Example(page, text.count("\n", 0, match.start()) + 1, match["sql"], cells))
    return found


def written(value: Any) -> str:
    """A value as the pages write it."""
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
    # What the page is about: a rejected record, an attempt that outlived its end, capacity that nobody has paid for,
    # a charge that belongs to no pool.
    assert failed == {
        ("raw.slurm_jobs", "nothing_is_rejected", False),
        ("core.runaway_attempts", "the_books_hold_nothing_open", False),
        ("report.cost_per_accelerator_hour_daily", "installed_accelerators_are_priced", False),
        ("report.bill_bridge_monthly", "charges_have_a_pool", False),
    }
    return site


@pytest.mark.parametrize("page", [METRICS, TRAPS, FOCUS], ids=lambda page: page.stem)
def test_every_query_of_a_page_is_run(page: Path) -> None:
    assert sum(example.page == page for example in examples()) == page.read_text(encoding="utf-8").count("```sql")


@pytest.mark.parametrize("example", examples(), ids=lambda example: f"{example.page.stem}-{example.line}")
def test_a_query_of_a_page_returns_the_table_below_it(request: pytest.FixtureRequest, example: Example) -> None:
    site: Site = request.getfixturevalue("built_demo" if example.sql.startswith(DEMO) else "example_site")
    warehouse = Warehouse(site)
    with warehouse.write("a test"):
        columns = [column[0] for column in warehouse.rows(f"describe {example.sql}")]
        rows = warehouse.rows(example.sql)
    assert [columns, *([written(value) for value in row] for row in rows)] == example.table


def test_every_column_of_a_report_is_explained(catalogue: Catalogue) -> None:
    """All but keys; some as one of a family, such as `wait_submit_…_seconds`; the bridge's lines on its own page."""
    pages = (METRICS, FOCUS, DOCS / "sources" / "slurm_cluster_usage.md")
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


def cases_of(test: str) -> set[str]:
    """The ids of the cases that a test is, named as `file.py::function` or as the folder of an SQL case."""
    path, _, function = test.partition("::")
    if not function:
        assert (REPOSITORY / path / "expect.csv").is_file(), f"{test}: there is no such SQL case"
        ids = REPOSITORY / path / "case.txt"
        return set(ids.read_text(encoding="utf-8").split()) if ids.is_file() else set()
    module = ast.parse((REPOSITORY / path).read_text(encoding="utf-8"))
    found = [each for each in module.body if isinstance(each, ast.FunctionDef) and each.name == function]
    assert found, f"{test}: there is no such test"
    return {
        each.value
        for decorator in found[0].decorator_list
        for each in ast.walk(decorator)
        if isinstance(each, ast.Constant) and isinstance(each.value, str)
    }


def traps() -> dict[str, str]:
    """Each trap's text, by its heading."""
    _, *sections = re.split(r"^## ", TRAPS.read_text(encoding="utf-8"), flags=re.MULTILINE)
    return {section.partition("\n")[0]: section for section in sections}


@pytest.mark.parametrize("heading", traps())
def test_a_trap_names_tests_that_hold_its_cases(heading: str) -> None:
    ids = set(re.findall(r"P[0-9]{2}", heading))
    tests = re.findall(r"`(tests/[^`]+)`", traps()[heading].partition("**Held by**")[2])
    held = {case for test in tests for case in cases_of(test)}
    assert ids
    assert ids <= held


def anchors(page: Path) -> set[str]:
    """What `#…` may follow the page's name: its headings, as GitHub makes links of them, and anchors that are set."""
    text = page.read_text(encoding="utf-8")
    headings = re.findall(r"^#+ (.*)$", text, re.MULTILINE)
    return set(re.findall(r'^<a id="([^"]+)"></a>$', text, re.MULTILINE)) | {
        re.sub(r"[^\w\- ]", "", heading.strip().lower()).replace(" ", "-") for heading in headings
    }


def test_links_between_pages_lead_somewhere() -> None:
    broken = []
    for page in (*REPOSITORY.glob("*.md"), *DOCS.rglob("*.md")):
        text = re.sub(r"^```.*?^```", "", page.read_text(encoding="utf-8"), flags=re.MULTILINE | re.DOTALL)
        for link in re.findall(r"\]\((?![a-z]+:)([^)\s]+)\)", text):
            file, _, anchor = link.partition("#")
            target = page.parent / file if file else page
            if not target.exists() or (anchor and anchor not in anchors(target)):
                broken.append(f"{page.name}: {link}")
    assert broken == []
