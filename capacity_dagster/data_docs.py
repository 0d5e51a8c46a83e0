"""Data Docs: pages on what the suites expected and found, which are published with the numbers.

What belongs here: what is on the pages, and writing those that changed. What does not: judging.

Great Expectations renders each rule; the frame and the style are ours, as its own pages load theirs, and scripts, from
the net. A page depends on nothing but what its suite found: the same results give the same bytes. Values that somebody
delivered are text on it, whatever they are: they are escaped, and the browser is told to run and to load nothing. Names
of users are not on it.
"""

import hashlib
import html
import json
from collections.abc import Iterable
from dataclasses import dataclass, field
from importlib.metadata import version as package_version
from importlib.resources import files
from pathlib import Path
from typing import Any

from capacity_dagster.tables.catalogue import SUITES, Catalogue, personal_columns
from capacity_dagster.tables.checks import NOTHING_TO_JUDGE, CheckOutcome
from capacity_dagster.tables.contract import SEVERITIES
from capacity_dagster.tables.judge import CpuTime, great_expectations
from capacity_dagster.tables.suites import WrittenSuite
from capacity_dagster.warehouse import Warehouse

FOLDER = "data_docs"
INDEX = "index.html"
RECORDED_AS = f"{SUITES}.{FOLDER}"
"""The name under which the state of the pages is kept, and what writing them took."""
KNOWN = ".pages.json"
"""What each page in the folder was made of."""


@dataclass(frozen=True)
class DataDocs:
    """The pages as they are now.

    Attributes:
        written: the pages that changed.
    """

    folder: Path
    pages: list[str]
    written: list[str]
    cpu_seconds: float


@dataclass(frozen=True)
class _Page:
    """One suite, or the suites of one table, as a page has it."""

    name: str
    description: str
    outcomes: list[CheckOutcome] = field(default_factory=list)

    @property
    def file(self) -> str:
        return f"{self.name}.html"

    @property
    def content(self) -> dict[str, Any]:
        """All that the page depends on."""
        return {
            "name": self.name,
            "description": self.description,
            "parts": [
                {
                    "severity": each.name.rpartition("_")[2],
                    "description": each.description.removeprefix(self.description).strip(),
                    **_state(each),
                    "validations": [_without_people(validation) for validation in each.validations],
                    "sample": [
                        {name: value for name, value in row.items() if name not in personal_columns()}
                        for row in each.sample
                    ],
                    "rules": len(each.rules),
                }
                for each in self.outcomes
            ],
        }


def write_data_docs(warehouse: Warehouse, catalogue: Catalogue, suites: Iterable[WrittenSuite]) -> DataDocs:
    """Writes the pages of what was judged last; those that are as before are left alone."""
    spent = CpuTime()
    folder = data_docs_folder(warehouse)
    folder.mkdir(parents=True, exist_ok=True)
    judged = _judged(warehouse)
    from_contracts = [
        _Page(table.full_name, table.contract.description.strip(), judged.get(table.full_name, []))
        for table in catalogue.of_layer("raw")
    ]
    by_hand = [
        _Page(suite.name, suite.content.description.strip(), judged.get(suite.full_name, [])) for suite in suites
    ]
    pages = sorted([*from_contracts, *by_hand], key=lambda page: page.name)
    groups = [("Sums, volumes and what sources say of each other", by_hand), ("Records as delivered", from_contracts)]
    made_of = {page.file: _digest(page.content) for page in pages}
    made_of[INDEX] = _digest([page.content for page in pages])
    known = _known(folder)
    stale = {name for name, digest in made_of.items() if known.get(name) != digest or not (folder / name).exists()}
    if stale:
        writer = _Writer()
        for page in pages:
            if page.file in stale:
                (folder / page.file).write_text(writer.suite_page(page), encoding="utf-8")
        (folder / INDEX).write_text(writer.index_page(groups), encoding="utf-8")
    for file in folder.glob("*.html"):
        if file.name not in made_of:
            file.unlink()
    (folder / KNOWN).write_text(json.dumps(made_of), encoding="utf-8")
    if stale:
        with warehouse.transaction():
            warehouse.record(RECORDED_AS, "", {}, len(made_of), [], True, spent.seconds)
    return DataDocs(folder, sorted(made_of), sorted(stale), spent.seconds)


def data_docs_folder(warehouse: Warehouse) -> Path:
    """Where the pages are made, to be copied into a version."""
    return warehouse.site.work / FOLDER


def _judged(warehouse: Warehouse) -> dict[str, list[CheckOutcome]]:
    """The outcomes of suites by the table or suite, the gravest first."""
    found: dict[str, list[CheckOutcome]] = {}
    for name, outcome in warehouse.all_checks():
        if outcome.validations:
            found.setdefault(name, []).append(outcome)
    for outcomes in found.values():
        outcomes.sort(key=lambda each: SEVERITIES.index(each.name.rpartition("_")[2]))
    return found


def _known(folder: Path) -> dict[str, str]:
    try:
        known: dict[str, str] = json.loads((folder / KNOWN).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return known


def _digest(content: Any) -> str:
    """Changes with what is on a page, with how pages look, and with Great Expectations."""
    looks = [file.read_text(encoding="utf-8") for file in sorted(_templates().iterdir()) if file.is_file()]
    told = json.dumps([content, looks, package_version("great-expectations")], sort_keys=True, default=str)
    return hashlib.sha256(told.encode()).hexdigest()


def _templates() -> Path:
    return Path(str(files("capacity_dagster"))) / "data_docs_pages"


def _state(outcome: CheckOutcome) -> dict[str, str]:
    broken = sum(not rule["holds"] for rule in outcome.rules)
    if all(rule["observed"] == NOTHING_TO_JUDGE for rule in outcome.rules):
        return {"state": "empty", "told": "nothing to judge"}
    if not broken:
        return {"state": "good", "told": "as expected"}
    return {"state": "note" if outcome.has_passed else "bad", "told": f"{broken} of {len(outcome.rules)} rules broken"}


class _Writer:
    """Renders pages; made only where one changed, as it imports Great Expectations."""

    def __init__(self) -> None:
        from jinja2 import Environment, FileSystemLoader

        self._gx = great_expectations()
        self._sections = _section_view()
        self._frames = Environment(loader=FileSystemLoader(_templates()), autoescape=True, trim_blocks=True)
        self._frames.globals["gx_version"] = self._gx.__version__

    def suite_page(self, page: _Page) -> str:
        """One suite: its rules as Great Expectations renders them, and rows to look at."""
        from markupsafe import Markup

        content = page.content
        for part in content["parts"]:
            part["sections"] = Markup(self._rules(page.name, part["validations"]))
            part["meanings"] = [
                (each["meta"]["rule"], each["meaning"]) for each in part["validations"] if each.get("meaning")
            ]
        return self._frames.get_template("suite.html").render(content) + "\n"

    def index_page(self, groups: list[tuple[str, list[_Page]]]) -> str:
        """All suites, with what became of each severity."""
        told = [
            (
                heading,
                [
                    {
                        "name": page.name,
                        "file": page.file,
                        "first_line": page.description.splitlines()[0],
                        "rules": sum(part["rules"] for part in page.content["parts"]),
                        "states": {part["severity"]: part for part in page.content["parts"]},
                    }
                    for page in pages
                ],
            )
            for heading, pages in groups
        ]
        return self._frames.get_template(INDEX).render(groups=told, severities=SEVERITIES) + "\n"

    def _rules(self, name: str, validations: list[dict[str, Any]]) -> str:
        from great_expectations.core.expectation_validation_result import (
            ExpectationSuiteValidationResult,
            ExpectationValidationResult,
        )
        from great_expectations.expectations.expectation_configuration import ExpectationConfiguration
        from great_expectations.render.renderer.page_renderer import ValidationResultsPageRenderer

        results = [
            ExpectationValidationResult(
                success=each["success"],
                expectation_config=ExpectationConfiguration(
                    type=each["type"], kwargs=each["kwargs"], meta=each["meta"], severity=each["severity"]
                ),
                result=_renderable(each["result"]),
                exception_info={"raised_exception": False, "exception_message": None, "exception_traceback": None},
            )
            for each in validations
        ]
        result = ExpectationSuiteValidationResult(
            success=all(each["success"] for each in validations),
            results=results,
            suite_name=name,
            statistics={
                "evaluated_expectations": len(results),
                "successful_expectations": sum(each["success"] for each in validations),
                "unsuccessful_expectations": sum(not each["success"] for each in validations),
                "success_percent": None,
            },
        )
        document = ValidationResultsPageRenderer().render(result)
        document.sections = document.sections[1:]  # the first is an overview, which the frame has
        rendered: str = self._sections.render(document)
        return rendered


def _without_people(validation: dict[str, Any]) -> dict[str, Any]:
    """A rule without the values that name somebody: pages are published, perhaps to others than what was delivered."""
    columns = (validation["kwargs"].get("column"), *validation["kwargs"].get("column_list", ()))
    if personal_columns().keys().isdisjoint(columns):
        return validation
    kept = {name: value for name, value in validation["result"].items() if not name.startswith("partial_")}
    return {**validation, "result": kept}


def _renderable(result: dict[str, Any]) -> dict[str, Any]:
    """A result without counts that lack the share which Great Expectations shows beside them."""
    if "unexpected_count" in result and "unexpected_percent" not in result:
        return {name: value for name, value in result.items() if "unexpected" not in name}
    return result


def _section_view() -> Any:
    """Great Expectations' view of a document's sections, in which text is text.

    Its own puts the cells of a table into the page as they are: an unexpected value would be markup.
    """
    from great_expectations.render.view.view import DefaultJinjaPageView
    from jinja2 import pass_context

    class SectionView(DefaultJinjaPageView):
        _template = "sections.j2"

        def __init__(self) -> None:
            super().__init__(custom_views_directory=str(_templates()))
            self._made = 0

        @pass_context
        def render_content_block(self, context: Any, content_block: Any, *args: Any, **kwargs: Any) -> Any:
            if isinstance(content_block, str):
                return html.escape(content_block)
            if isinstance(content_block, list):
                content_block = [html.escape(each) if isinstance(each, str) else each for each in content_block]
            return super().render_content_block(context, content_block, *args, **kwargs)

        def generate_html_element_uuid(self, prefix: str | None = None) -> str:
            self._made += 1  # the same in every run
            return f"{prefix or ''}{self._made}"

    return SectionView()
