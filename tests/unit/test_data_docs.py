"""Data Docs: what is on the pages, that they are offline and inert, and that only those that changed are written."""

import os
import re
import shutil
import subprocess
from collections.abc import Callable, Iterator
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest

from capacity_dagster import data_docs
from capacity_dagster.data_docs import DataDocs, write_data_docs
from capacity_dagster.judging import judge_stale_suites, stale_suites
from capacity_dagster.publish import PublishRefused, failed_checks, publish
from capacity_dagster.site_file import Site
from capacity_dagster.tables.catalogue import Catalogue
from capacity_dagster.tables.suites import WrittenSuite, load_suites, read_suite
from capacity_dagster.warehouse import Change, Warehouse

EVIL = """<script>document.title='owned'</script>"'><img src=http://e.example onerror=alert(1)>$x ${y} {{ 7*7 }} `b` """
VOID = {"area", "base", "br", "col", "embed", "hr", "img", "input", "link", "meta", "source", "track", "wbr"}


class Page(HTMLParser):
    """What a browser would find: elements with their attributes, and text."""

    def __init__(self, file: Path) -> None:
        super().__init__(convert_charrefs=True)
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self.open: list[str] = []
        self.source = file.read_text(encoding="utf-8")
        self.feed(self.source)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))
        self.open += [] if tag in VOID else [tag]

    def handle_endtag(self, tag: str) -> None:
        assert self.open[-1:] == [tag], f"</{tag}> closes nothing"
        self.open.pop()

    def handle_data(self, data: str) -> None:
        self.text += "" if self.open[-1:] == ["style"] else data


def written_suite(folder: Path, severity: str = "warning", limit: int = 0) -> WrittenSuite:
    """A suite on the deliveries' file names, which users choose."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "query.sql").write_text("select source_file, accepted_rows as records from landing.deliveries")
    (folder / "examples.sql").write_text("select source_file as example from landing.deliveries order by 1")
    (folder / "suite.yaml").write_text(
        f"""
description: One row per delivery.
key: [source_file]
expectations:
  few_records:
    type: expect_column_values_to_be_between
    kwargs: {{column: records, max_value: {limit}}}
    severity: {severity}
    meaning: Too many of them.
  known_names:
    type: expect_column_values_to_be_in_set
    kwargs: {{column: source_file, value_set: ["<i>a.txt</i>", b.txt]}}
    severity: {severity}
    meaning: A file has another name.
  many:
    type: expect_column_distinct_values_to_be_in_set
    kwargs: {{column: source_file, value_set: [b.txt]}}
    severity: info
    meaning: Only told.
"""
    )
    return read_suite(folder)


@pytest.fixture
def warehouse(make_site: Callable[..., Site]) -> Iterator[Warehouse]:
    """A warehouse that knows of one delivery, of an evil name."""
    opened = Warehouse(
        make_site(
            "[site]\nname = 'test'\nfirst_day = 2026-01-01\n[clusters.alpha]\n"
            "[[sources]]\nkind = 'inventory'\nfiles = 'inventory.csv'\n"
        )
    )
    with opened.write("a test"):
        opened.connection.execute(
            "create table pipeline.landing.deliveries (source_file varchar, accepted_rows bigint); "
        )
        opened.connection.execute("insert into pipeline.landing.deliveries values (?, 7)", [EVIL])
        opened.record("landing.deliveries", "", {}, 1, [Change()], True, 0.0)
        yield opened


def docs_of(warehouse: Warehouse, *suites: WrittenSuite) -> DataDocs:
    judge_stale_suites(warehouse, suites)
    return write_data_docs(warehouse, Catalogue([]), suites)


def assert_inert(page: Page) -> None:
    """No script, nothing that a browser would fetch, and no handler."""
    assert not {"script", "img", "link", "iframe", "object", "embed", "base", "form"} & {
        tag for tag, _ in page.elements
    }
    for tag, attributes in page.elements:
        for name, value in attributes.items():
            assert not name.startswith("on"), (tag, name)
            assert name != "src"
            if name in ("href", "action"):
                assert re.fullmatch(r"[\w.-]+\.html|#[\w-]+", value or ""), (tag, value)
    styles = re.findall(r"<style>(.*?)</style>", page.source, re.DOTALL)
    assert not [style for style in styles if "url(" in style or "@import" in style]
    assert any(a.get("http-equiv") == "Content-Security-Policy" for tag, a in page.elements if tag == "meta")


def test_pages_tell_rules_counts_and_rows(warehouse: Warehouse, tmp_path: Path) -> None:
    docs = docs_of(warehouse, written_suite(tmp_path / "deliveries"))
    assert docs.pages == ["deliveries.html", "index.html"]
    page = Page(docs.folder / "deliveries.html")
    for told in ("2 of 2 rules broken", "1 of 1 rules broken", "Too many of them.", "100% unexpected", "To look at"):
        assert told in page.text, told
    index = Page(docs.folder / "index.html")
    assert "2 of 2 rules broken" in index.text
    assert ("a", {"href": "deliveries.html"}) in index.elements


def test_what_is_delivered_is_text_and_nothing_is_loaded(warehouse: Warehouse, tmp_path: Path) -> None:
    docs = docs_of(warehouse, written_suite(tmp_path / "deliveries"))
    for name in docs.pages:
        page = Page(docs.folder / name)
        assert_inert(page)
        assert page.open == []
        if name == "deliveries.html":
            assert page.text.count(EVIL.strip()) >= 3  # as an unexpected value, and as an example
            assert "<i>a.txt</i>" in page.text


def test_no_page_names_a_user(warehouse: Warehouse, tmp_path: Path) -> None:
    folder = tmp_path / "people"
    folder.mkdir()
    (folder / "query.sql").write_text("select 'alpha' as cluster, 'ann-real-name' as user_name")
    (folder / "examples.sql").write_text("select 'ann-real-name' as user_name, 'acc1' as account")
    (folder / "suite.yaml").write_text(
        """
description: One row per user.
key: [cluster]
expectations:
  nobody:
    type: expect_column_values_to_be_in_set
    kwargs: {column: user_name, value_set: [bob]}
    severity: warning
    meaning: Somebody.
"""
    )
    docs = docs_of(warehouse, read_suite(folder))
    page = Page(docs.folder / "people.html")
    assert "acc1" in page.text
    assert "1 of 1 rules broken" in page.text
    assert "ann-real-name" not in page.source
    (outcome,) = warehouse.stored_checks("suites.people")
    assert outcome.sample == [{"user_name": "ann-real-name", "account": "acc1"}]


def test_same_results_give_the_same_bytes_and_only_what_changed_is_written(
    warehouse: Warehouse, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    one, other = written_suite(tmp_path / "one"), written_suite(tmp_path / "other")
    docs = docs_of(warehouse, one, other)
    before = {name: (docs.folder / name).read_bytes() for name in docs.pages}
    shutil.rmtree(docs.folder)
    again = docs_of(warehouse, one, other)
    assert {name: (again.folder / name).read_bytes() for name in again.pages} == before

    def refuse() -> None:
        raise AssertionError("nothing is to be rendered")

    with monkeypatch.context() as patched:
        patched.setattr(data_docs, "_Writer", refuse)
        assert docs_of(warehouse, one, other).written == []
    assert docs_of(warehouse, one, written_suite(tmp_path / "other", limit=9)).written == ["index.html", "other.html"]
    assert docs_of(warehouse, one).pages == ["index.html", "one.html"]
    assert not (docs.folder / "other.html").exists()


def test_only_stale_suites_are_judged(warehouse: Warehouse, tmp_path: Path) -> None:
    one, other = written_suite(tmp_path / "one"), written_suite(tmp_path / "other")
    assert stale_suites(warehouse, [one, other]) == [one, other]
    judge_stale_suites(warehouse, [one, other])
    assert stale_suites(warehouse, [one, other]) == []
    changed = written_suite(tmp_path / "other", limit=9)
    assert stale_suites(warehouse, [one, changed]) == [changed]
    warehouse.record("landing.deliveries", "", {}, 1, [Change()], True, 0.0)
    assert stale_suites(warehouse, [one, other]) == [one, other]


def test_what_judging_took_is_recorded(warehouse: Warehouse, tmp_path: Path) -> None:
    suite = written_suite(tmp_path / "one")
    (outcomes,) = judge_stale_suites(warehouse, [suite]).values()
    assert [outcome.cpu_seconds > 0 for outcome in outcomes] == [True, False]
    docs = docs_of(warehouse, suite)
    recorded = dict(warehouse.rows("select table_name, cpu_seconds from pipeline.state.tables"))
    assert recorded["suites.one"] == outcomes[0].cpu_seconds
    assert 0 < recorded["suites.data_docs"] <= docs.cpu_seconds


def test_a_critical_suite_blocks_publishing_until_it_is_judged_again(
    demo_site: Site, catalogue: Catalogue, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, build: Callable[..., Any]
) -> None:
    from capacity_dagster import publish as publishing
    from capacity_dagster.materialise import Materialiser

    build(demo_site)
    suites = [written_suite(tmp_path / "deliveries", "critical", limit=10**9)]
    (names,) = [suite.content.expectations["known_names"] for suite in suites]
    assert names.severity == "critical"
    monkeypatch.setattr(publishing, "load_suites", lambda: suites)
    opened = Warehouse(demo_site)
    with opened.write("a test"):
        materialiser = Materialiser(opened, catalogue)
        with pytest.raises(PublishRefused, match=r"suites\.deliveries: is stale; build it first"):
            publish(materialiser, "a run")
        judge_stale_suites(opened, suites)
        assert [(name, check.name) for name, check in failed_checks(opened)] == [
            ("suites.deliveries", "deliveries_critical")
        ]
        with pytest.raises(PublishRefused, match=r"suites\.deliveries: blocking check 'deliveries_critical' fails on"):
            publish(materialiser, "a run")
        suites[0] = written_suite(tmp_path / "deliveries", "warning")
        docs_of(opened, *suites)
        first = publish(materialiser, "a run")
        assert sorted(first.manifest["data_docs"]) == ["data_docs/deliveries.html", "data_docs/index.html"]
        assert all((first.folder / name).stat().st_mode & 0o222 == 0 for name in first.manifest["data_docs"])


@pytest.mark.skipif(shutil.which("chromium") is None, reason="needs Chromium")
def test_a_browser_runs_and_loads_nothing(warehouse: Warehouse, tmp_path: Path) -> None:
    docs = docs_of(warehouse, written_suite(tmp_path / "deliveries"))
    options = "--headless --no-sandbox --disable-gpu --no-first-run --disable-background-networking --dump-dom"
    page = f"file://{docs.folder / 'deliveries.html'}"
    shown = subprocess.run(
        ["chromium", *options.split(), f"--user-data-dir={tmp_path / 'browser'}", page],
        capture_output=True,
        text=True,
        check=True,
        timeout=120,
        env={**os.environ, "HOME": str(tmp_path)},
    ).stdout
    assert "<title>deliveries</title>" in shown
    assert "<script>" not in shown
    assert "<img" not in shown


def test_suites_of_the_product_have_names_of_their_own(catalogue: Catalogue) -> None:
    names = [suite.name for suite in load_suites()]
    assert not set(names) & {table.full_name for table in catalogue}
    assert not set(names) & {"index", "data_docs"}
