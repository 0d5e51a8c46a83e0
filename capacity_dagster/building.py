"""Runs the job `build` in this process, through Dagster, and says what it did and why.

What belongs here: choosing what to run, running it, the summary. What does not: what a table needs (`materialise`).
"""

import os
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import duckdb

from capacity_dagster.errors import SourceError
from capacity_dagster.health import record_health
from capacity_dagster.judging import stale_suites
from capacity_dagster.landed import stale_deliveries
from capacity_dagster.locks import locked
from capacity_dagster.materialise import Materialiser
from capacity_dagster.outcome import Outcome
from capacity_dagster.privacy import pseudonym_key, told
from capacity_dagster.publish import PublishRefused, failed_checks, publishable
from capacity_dagster.site_file import SITE_VARIABLE, Site
from capacity_dagster.sources.landing import Delivery, scan
from capacity_dagster.sources.object_store import mirror
from capacity_dagster.sources.reader import CheckedLoad, Reader
from capacity_dagster.tables.catalogue import SUITES, load_catalogue
from capacity_dagster.tables.checks import DELIVERIES_CHECK
from capacity_dagster.tables.suites import load_suites
from capacity_dagster.versions import Publication, current
from capacity_dagster.warehouse import Warehouse, remedy
from capacity_dagster.wording import counted, shown

SHOWN_FILES = 8
DAGSTER_YAML = """\
telemetry:
  enabled: false
nux:
  enabled: false
run_coordinator:
  module: dagster.core.run_coordinator
  class: DefaultRunCoordinator
"""


@dataclass
class BuildResult:
    """What a build did.

    Attributes:
        told: one or more lines: what was rebuilt and why, or that nothing was new.
        problems: deliveries that could not be used.
        failures: blocking checks that failed, each with a sample row, and `errors`.
        warnings: checks that warn.
        errors: what else ended the run, unless failing checks are the reason for it.
    """

    told: str
    published: Publication | None
    problems: list[str] = field(default_factory=list)
    failures: list[str] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)
    errors: list[str] = field(default_factory=list)


class _Heard:
    """Keeps what a run's steps told."""

    def __init__(self, tell: Callable[[str], None], total: int) -> None:
        self.tell = tell
        self.total = total
        self.outcomes: list[Outcome] = []
        self.publication: Publication | None = None
        self.errors: list[str] = []
        self.refusals: list[str] = []

    def started(self, name: str) -> None:
        self.tell(f"{name} ({len(self.outcomes) + 1} of {self.total})")

    def finished(self, outcome: Outcome) -> None:
        self.outcomes.append(outcome)

    def published(self, publication: Publication) -> None:
        self.publication = publication


def prepare_dagster_home(site: Site) -> Path:
    """Makes the site's Dagster instance folder, and names it and the site to this process."""
    home = site.dagster_home
    home.mkdir(parents=True, exist_ok=True)
    settings = home / "dagster.yaml"
    if not settings.exists():
        settings.write_text(DAGSTER_YAML, encoding="utf-8")
    os.environ["DAGSTER_HOME"] = str(home.resolve())
    os.environ[SITE_VARIABLE] = str(site.path)
    return home


def check_landing(site: Site, tell: Callable[[str], None]) -> tuple[list[CheckedLoad], list[str]]:
    """Reads every delivery as a build would, and builds nothing: (what was read, what could not be used)."""
    catalogue = load_catalogue()
    loads: list[CheckedLoad] = []
    problems: list[str] = []
    pseudonym_key(site)  # what a build would stumble over
    connection = duckdb.connect(":memory:")
    try:
        connection.execute("set TimeZone = 'UTC'")
        _fetch(site, tell)
        for delivery in scan(site, progress=tell):
            tell(f"reading {delivery.path}")
            reader = Reader(site, catalogue[f"raw.{delivery.kind}"])
            try:
                loads.append(reader.checked(connection, reader.read(connection, delivery)))
            except SourceError as error:
                problems.append(told(site, error))
    finally:
        connection.close()
    return loads, problems


def build_site(
    site: Site,
    as_of: datetime | None,
    first: date | None,
    last: date | None,
    tell: Callable[[str], None] = lambda _: None,
    allows_erasing: bool = False,
) -> BuildResult:
    """Brings a site up to date and publishes it; says why it did what it did.

    Args:
        allows_erasing: whether deliveries may take away most of a month's or day's attempts, or of a bill's charges.

    Raises:
        SiteFileError: the key of the users' pseudonyms cannot be used.
        SourceError: the landing cannot be used.
    """
    pseudonym_key(site)  # before anything is read
    prepare_dagster_home(site)
    tell("looking for what is new")
    _fetch(site, tell)
    deliveries = scan(site, progress=tell)
    with Warehouse(site, as_of).write("looking for what is new") as warehouse:
        materialiser = Materialiser(warehouse, load_catalogue())
        selected = selection(materialiser, deliveries, is_forced=bool(first or last))
        if not selected:
            return _nothing_new(warehouse, site)
    heard = _run(site, selected, as_of, first, last, tell, allows_erasing)
    with Warehouse(site, as_of).write("reading what was built") as warehouse:
        problems, failures = _failures(warehouse)
        warnings = _warnings(warehouse, {outcome.table.full_name for outcome in heard.outcomes})
    return BuildResult(
        _told(heard.outcomes),
        heard.publication or current(site.published),
        problems,
        [*failures, *heard.errors, *heard.refusals],
        warnings,
        [*heard.errors, *(heard.refusals if not problems and not failures else ())],
    )


def _fetch(site: Site, tell: Callable[[str], None]) -> None:
    """Makes the copy of an object store what the store has, while nobody reads it."""
    if site.landing_url:
        with locked(site, f"fetching from {site.landing_url}"):
            mirror(site, tell)


def selection(materialiser: Materialiser, deliveries: list[Delivery], is_forced: bool) -> list[str]:
    """The tables to run: those whose deliveries or inputs changed, and all after them."""
    catalogue = materialiser.catalogue
    stale = set(materialiser.stale_tables()) | set(stale_deliveries(materialiser.warehouse, catalogue, deliveries))
    by_day = {table.full_name for table in catalogue if table.contract.partition}
    if is_forced or by_day.intersection(catalogue.downstream_of(stale)):
        stale |= by_day  # one step builds them all
    published = current(materialiser.warehouse.site.published)
    selected = catalogue.downstream_of(stale)
    last = ["published.data_docs", "published.current"]
    if selected or stale_suites(materialiser.warehouse, load_suites()):
        return [*selected, *last]
    is_published = published is not None and materialiser.warehouse.published_state() == publishable(materialiser)
    return [] if is_published or failed_checks(materialiser.warehouse) else last


def _nothing_new(warehouse: Warehouse, site: Site) -> BuildResult:
    record_health(warehouse, datetime.now(UTC))
    problems, failures = _failures(warehouse)
    published = current(site.published)
    version = f"version {published.manifest['version']} is current" if published else "nothing is published yet"
    if problems or failures:
        return BuildResult(f"nothing new since the build that failed; {version}", published, problems, failures)
    return BuildResult(f"nothing new; {version}", published)


def _run(
    site: Site,
    selected: list[str],
    as_of: datetime | None,
    first: date | None,
    last: date | None,
    tell: Callable[[str], None],
    allows_erasing: bool,
) -> _Heard:
    tell("starting Dagster")
    import dagster as dg

    from capacity_dagster import progress
    from capacity_dagster.definitions import defs as loaded_definitions

    job = loaded_definitions().resolve_job_def("build")
    heard = _Heard(tell, len(selected))
    settings = {
        "database": str(site.path),
        "as_of": as_of.isoformat() if as_of else None,
        "rebuild_from": first.isoformat() if first else None,
        "rebuild_to": last.isoformat() if last else None,
        "allow_erasing": allows_erasing,
    }
    with dg.DagsterInstance.get() as instance, progress.listening(heard):
        result = job.execute_in_process(
            asset_selection=[dg.AssetKey(name.split(".")) for name in selected],
            instance=instance,
            raise_on_error=False,
            run_config={
                "resources": {"warehouse": {"config": settings}},
                "loggers": {"console": {"config": {"log_level": "CRITICAL"}}},
            },
        )
    for event in result.all_events:
        if event.is_step_failure and not is_failed_check(event.step_failure_data):
            causes = heard.refusals if is_refusal(event.step_failure_data) else heard.errors
            causes.append(f"{event.step_key}: {_with_remedy(site, first_cause(event.step_failure_data))}")
    if not result.success and not any(event.is_step_failure for event in result.all_events):
        causes = [cause for event in result.all_events if (cause := cause_without_step(event))]
        told_cause = _with_remedy(site, causes[-1]) if causes else "see the Dagster UI"
        heard.errors.append(f"the run failed before its first step: {told_cause}")
    return heard


def first_cause(failure: Any) -> str:
    """What went wrong in a step, without what it made go wrong in turn."""
    if failure.user_failure_data is not None and failure.user_failure_data.description:
        return str(failure.user_failure_data.description)
    return "failed" if failure.error is None else _last_cause(failure.error)


def cause_without_step(event: Any) -> str | None:
    """What ended a run that no step of it did, such as a warehouse that does not open; None where nothing is known.

    The message of such an event says only that there was an exception.
    """
    if not event.is_run_failure or event.event_specific_data is None or event.job_failure_data.error is None:
        return None
    return _last_cause(event.job_failure_data.error)


def _last_cause(error: Any) -> str:
    """The last one of a chain, or the first that is ours, which names what was found and what was expected."""
    while error.cause is not None and not error.message.startswith("capacity_dagster."):
        error = error.cause
    return str(error.message).strip()


def _with_remedy(site: Site, cause: str) -> str:
    return remedy(site.work, cause) or cause


def is_failed_check(failure: Any) -> bool:
    """A blocking check that fails also fails its step; that is told from the check's own result."""
    return failure.error is not None and failure.error.cls_name == "DagsterAssetCheckFailedError"


def is_refusal(failure: Any) -> bool:
    """Whether it was refused to publish, which failing checks do, or tables that are not up to date."""
    error = failure.error
    while error is not None and error.cls_name != PublishRefused.__name__:
        error = error.cause
    return error is not None


def _failures(warehouse: Warehouse) -> tuple[list[str], list[str]]:
    """(unusable deliveries, failing blocking checks), in words."""
    problems: list[str] = []
    failures: list[str] = []
    for table, check in failed_checks(warehouse):
        if check.name == DELIVERIES_CHECK:
            problems.extend(row["problem"] for row in check.sample)
            continue
        sample = check.sample[0] if check.sample else ""
        failures.append(
            f"{table}: blocking check '{check.name}' fails on {counted(check.failed_rows, 'row')}; "
            f"the published copy stays as it was. {check.description} First row: {sample}"
        )
    return problems, failures


def _warnings(warehouse: Warehouse, built: set[str]) -> list[str]:
    return [
        f"{table}: {check.name} warns about {counted(check.failed_rows, 'row')}. {check.description}"
        for table, check in warehouse.all_checks()
        if (table in built or table.startswith(f"{SUITES}.")) and not check.is_blocking and not check.has_passed
    ]


def _told(outcomes: list[Outcome]) -> str:
    """Why a build did what it did: `3 days rebuilt: jobs-11-07.psv changed 412 rows`."""
    worked = [outcome for outcome in outcomes if not outcome.was_up_to_date]
    days = sorted({day for outcome in worked for day in outcome.days})
    by_file: dict[str, int] = {}
    for outcome in worked:
        if outcome.table.layer == "core":
            for change in outcome.changes:
                if change.source_file:
                    file = shown(change.source_file)
                    by_file[file] = by_file.get(file, 0) + change.changed_rows
    reasons = [f"{file} changed {counted(rows, 'row')}" for file, rows in sorted(by_file.items())]
    files = [reason for outcome in worked if outcome.table.is_raw and outcome.deliveries for reason in outcome.reasons]
    if len(files) > SHOWN_FILES and all(reason.endswith(" is new") for reason in files):
        reasons = [f"{len(files)} new files"]
    else:
        changed = set(by_file)
        reasons += [reason for reason in files if not any(reason.startswith(f"{file} ") for file in changed)]
        reasons = reasons or sorted({reason for outcome in worked for reason in outcome.reasons})
    span = f" ({days[0]} to {days[-1]})" if len(days) > 1 else f" ({days[0]})" if days else ""
    why = "; ".join(reasons[:SHOWN_FILES]) + (
        f"; and {len(reasons) - SHOWN_FILES} more" if len(reasons) > SHOWN_FILES else ""
    )
    if not worked:
        return "nothing new was built"
    return f"{counted(len(days), 'day')} rebuilt{span}: {why}"
