"""Fixtures that every test may use: small sites, building their tables, and the data of others where it is at hand."""

import atexit
import hashlib
import json
import os
import shutil
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import duckdb
import pytest

from capacity_dagster.materialise import Materialiser
from capacity_dagster.outcome import Outcome
from capacity_dagster.publish import publish
from capacity_dagster.site_file import Site, load_site, shipped_demo
from capacity_dagster.site_sections import SourceKind
from capacity_dagster.sources.landing import scan
from capacity_dagster.sources.reader import Load, Reader
from capacity_dagster.tables import expectations
from capacity_dagster.tables.catalogue import Catalogue, Table, load_catalogue
from capacity_dagster.warehouse import Warehouse


def pytest_configure() -> None:
    """Each worker stays on a processor of its own: DuckDB otherwise starts a thread for each in every one of them."""
    worker = os.environ.get("PYTEST_XDIST_WORKER", "").removeprefix("gw")
    if worker and hasattr(os, "sched_setaffinity"):
        processors = sorted(os.sched_getaffinity(0))
        os.sched_setaffinity(0, {processors[int(worker) % len(processors)]})


def pytest_unconfigure() -> None:
    """DuckDB's binding lists its own types on stderr when the interpreter ends under hypothesis; that is no test's."""
    atexit.register(os.dup2, os.open(os.devnull, os.O_WRONLY), 2)


SHARED_DATA = Path(__file__).parents[2] / "shared" / "data"

MakeSite = Callable[..., Site]
Build = Callable[..., dict[str, Outcome]]
Query = Callable[..., list[tuple[Any, ...]]]


@dataclass(frozen=True)
class Read:
    """What became of one delivered file: its records and its rejects, each as a dictionary, in the file's order."""

    load: Load
    accepted: list[dict[str, Any]]
    rejected: list[dict[str, Any]]


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """Data made by others, which is not part of the project."""
    if not SHARED_DATA.is_dir():
        pytest.skip(f"{SHARED_DATA} is absent: it holds data made by others, which is not part of the project")
    return SHARED_DATA


@pytest.fixture(scope="session")
def catalogue() -> Catalogue:
    return load_catalogue()


@pytest.fixture
def make_site(tmp_path: Path) -> MakeSite:
    """make_site(toml, files, folder="site"): writes `site.toml` and the landing's files, and loads the site."""

    def make(toml: str, files: Mapping[str, str | bytes] = {}, folder: str = "site") -> Site:
        root = tmp_path / folder
        (root / "landing").mkdir(parents=True, exist_ok=True)
        (root / "site.toml").write_text(toml, encoding="utf-8")
        for path, content in files.items():
            file = root / "landing" / path
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_bytes(content.encode() if isinstance(content, str) else content)
        return load_site(root)

    return make


@pytest.fixture
def demo_site(tmp_path: Path) -> Site:
    """A copy of the shipped demonstration site."""
    return _copied_demo(tmp_path / "demo")


@pytest.fixture(scope="session")
def built_demo(tmp_path_factory: pytest.TempPathFactory, build: Build) -> Site:
    """The shipped demonstration site with all its tables built; not to be changed."""
    site = _copied_demo(tmp_path_factory.mktemp("demo") / "site")
    build(site)
    return site


def _copied_demo(folder: Path) -> Site:
    shutil.copytree(shipped_demo(), folder, copy_function=shutil.copyfile)
    for path in (folder, *folder.rglob("*")):
        path.chmod(0o755 if path.is_dir() else 0o644)
    return load_site(folder)


@pytest.fixture(scope="session")
def build(catalogue: Catalogue) -> Build:
    """build(site, *names, as_of=None): brings the named tables, with all that they read, up to date; all by default.

    Without Great Expectations.
    """

    def bring_up_to_date(site: Site, *names: str, as_of: datetime | None = None) -> dict[str, Outcome]:
        wanted = _with_inputs(catalogue, names) if names else {table.full_name for table in catalogue}
        warehouse = Warehouse(site, as_of)
        with _quick(), warehouse.write("a test"):
            materialiser = Materialiser(warehouse, catalogue)
            return {
                table.full_name: materialiser.bring_up_to_date(table)
                for table in catalogue
                if table.full_name in wanted
            }

    return bring_up_to_date


@pytest.fixture(scope="session")
def published_by(catalogue: Catalogue) -> Callable[..., dict[str, str]]:
    """published_by(site, as_of=None, allows_erasing=False): builds and publishes a site; each Parquet file's sha256.

    Without the journal, which says how a site came to be what it is.
    """

    def digests(site: Site, as_of: datetime | None = None, allows_erasing: bool = False) -> dict[str, str]:
        warehouse = Warehouse(site, as_of, allows_erasing)
        with _quick(), warehouse.write("a test"):
            materialiser = Materialiser(warehouse, catalogue)
            for table in catalogue:
                materialiser.bring_up_to_date(table)
            manifest: dict[str, Any] = publish(materialiser, "a run").manifest
        return {
            path: file["sha256"]
            for name, table in manifest["tables"].items()
            if name != "report.restatement_journal"
            for path, file in table["files"].items()
        }

    return digests


_DECLARED: set[str] = set()


@contextmanager
def _quick() -> Iterator[None]:
    """Leaves out what takes much of a small build and is always the same: Great Expectations, which changes no table,
    and asking a query once more which columns it has.
    """
    require = Materialiser._require_declared_columns

    def require_once(materialiser: Materialiser, table: Table) -> None:
        if table.code_hash not in _DECLARED:
            require(materialiser, table)
            _DECLARED.add(table.code_hash)

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(expectations, "check_expectations", lambda *_: [])
        patched.setattr(Materialiser, "_require_declared_columns", require_once)
        yield


@pytest.fixture
def quick() -> Iterator[None]:
    """Without Great Expectations, for tests that build with a `Materialiser` of their own."""
    with _quick():
        yield


def _with_inputs(catalogue: Catalogue, names: Iterable[str]) -> set[str]:
    wanted: set[str] = set()
    pending = list(names)
    while pending:
        name = pending.pop()
        if name not in wanted:
            wanted.add(name)
            pending.extend(table.full_name for table in catalogue.upstream(catalogue[name]))
    return wanted


@pytest.fixture(scope="session")
def query() -> Query:
    """query(site, sql, parameters=None): the rows of a query over a site's built tables."""

    def rows(site: Site, sql: str, parameters: Any = None) -> list[tuple[Any, ...]]:
        warehouse = Warehouse(site)
        with warehouse.write("a test"):
            return warehouse.rows(sql, parameters)

    return rows


@pytest.fixture
def content_of(catalogue: Catalogue) -> Callable[[Site], dict[str, str]]:
    """content_of(site): a digest of each published table, without where rows came from and how well records came in."""

    def digests(site: Site) -> dict[str, str]:
        found: dict[str, str] = {}
        warehouse = Warehouse(site)
        with warehouse.write("a test"):
            for table in catalogue:
                if not table.is_published or table.full_name in ("report.data_trust_daily", "report.trust_daily"):
                    continue
                columns = [name for name in table.contract.columns if name not in ("source_file", "source_line")]
                rows = warehouse.rows(f"select {', '.join(columns)} from {table.relation} order by all")
                found[table.full_name] = f"{len(rows)} rows {hashlib.sha256(repr(rows).encode()).hexdigest()}"
        return found

    return digests


@pytest.fixture(scope="session")
def reading() -> Iterator[duckdb.DuckDBPyConnection]:
    """The connection that files are read with: one for many, as in a build."""
    with duckdb.connect() as connection:
        connection.execute("set TimeZone = 'UTC'")
        yield connection


@pytest.fixture
def read(make_site: MakeSite, catalogue: Catalogue, reading: duckdb.DuckDBPyConnection) -> Callable[..., Read]:
    """read(kind, content, name=…, clusters=…, **source): reads one file as one kind of source, without a warehouse."""
    made = 0

    def read_file(
        kind: SourceKind,
        content: str | bytes,
        name: str = "delivered.txt",
        clusters: Iterable[str] = ("alpha", "beta"),
        cluster_zone: str | None = None,
        **source: Any,
    ) -> Read:
        nonlocal made
        made += 1
        declared_zone = f"time_zone = '{cluster_zone}'" if cluster_zone else ""
        toml = "\n".join(
            [
                "[site]\nname = 'test'\nfirst_day = 2026-01-01",
                *(f"[clusters.{cluster}]\n{declared_zone}" for cluster in clusters),
                f"[[sources]]\nkind = '{kind}'\nfiles = '{name}'",
                *(f"{key} = {json.dumps(value)}" for key, value in source.items()),
            ]
        )
        site = make_site(toml, {name: content}, folder=f"read-{made}")
        (delivery,) = scan(site)
        load = Reader(site, catalogue[f"raw.{kind}"]).read(reading, delivery)
        return Read(
            load,
            _parquet(
                reading,
                load.records,
                "* exclude (reject_reason, record_text, record_at, accelerator_seconds)",
                "is null",
            ),
            _parquet(
                reading,
                load.records,
                "source_line, cluster, record_text, reject_reason, record_at, accelerator_seconds",
                "is not null",
            ),
        )

    return read_file


REJECTION = "reject_reason, record_text, record_at, accelerator_seconds"


def _parquet(connection: duckdb.DuckDBPyConnection, file: Path, columns: str, reason: str) -> list[dict[str, Any]]:
    cursor = connection.execute(
        f"select {columns} from read_parquet(?) where reject_reason {reason} order by source_line", [str(file)]
    )
    names = [column[0] for column in cursor.description or []]
    return [dict(zip(names, row, strict=True)) for row in cursor.fetchall()]
