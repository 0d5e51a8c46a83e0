"""The command line: `capacity init`, `collect`, `check`, `build`, `rejects`, `explain`, `close`, `alert`, `demo`, ….

What belongs here: arguments, exit codes and what is printed. What does not: Dagster's definitions, building.
"""

import json
import logging
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, date, datetime, timedelta
from functools import wraps
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
import duckdb
from rich.logging import RichHandler
from rich.markup import escape

from capacity_dagster.errors import (
    CapacityError,
    ClosingError,
    CollectionError,
    ExplainError,
    SiteFileError,
    SourceError,
)
from capacity_dagster.site_file import SITE_VARIABLE, Site, load_site, shipped_demo
from capacity_dagster.sources.landing import parse_instant
from capacity_dagster.terminal import Terminal
from capacity_dagster.wording import counted

if TYPE_CHECKING:
    from capacity_dagster.receivers import Sent

EXIT_BUILT, EXIT_CHECK_FAILED, EXIT_UNUSABLE = 0, 1, 2
EXIT_COLLECTED, EXIT_INCOMPLETE = 0, 1
EXIT_SENT, EXIT_NOT_SENT = 0, 1

WIDTH = 112
out = Terminal(highlight=False, soft_wrap=True)
if out.width < WIDTH:
    out.width = WIDTH  # a table that is cut says nothing
err = Terminal(stderr=True, highlight=False, soft_wrap=True)


def _errors_told(command: Callable[..., int]) -> Callable[..., None]:
    """Ends the process with the command's exit code; prints an error that a person can mend without a traceback."""

    @wraps(command)
    def told(*args: Any, **kwargs: Any) -> None:
        try:
            sys.exit(command(*args, **kwargs))
        except (SiteFileError, SourceError, CollectionError, ClosingError, ExplainError) as error:
            err.print(str(error), markup=False, style="red")
            sys.exit(EXIT_UNUSABLE)
        except (CapacityError, OSError, duckdb.Error) as error:
            err.print(f"could not go on: {error}", markup=False, style="red")
            sys.exit(EXIT_CHECK_FAILED)

    return told


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="capacity-dagster")
def main() -> None:
    """Where every accelerator-hour went, and what it cost."""
    logging.getLogger("capacity_dagster").addHandler(RichHandler(console=err, show_path=False, show_time=False))
    logging.getLogger("capacity_dagster").setLevel(logging.INFO)
    logging.getLogger("capacity_dagster").propagate = False


def _site_option(command: Callable[..., Any]) -> Callable[..., Any]:
    return click.option(
        "--site",
        "site_file",
        type=click.Path(),
        envvar=SITE_VARIABLE,
        help=f"Site file, or its folder. [default: {SITE_VARIABLE}, else ./site.toml]",
    )(command)


def _site(site_file: str | None) -> Site:
    return load_site(site_file or "site.toml")


@main.command()
@click.argument("directory", type=click.Path(file_okay=False, path_type=Path))
@_errors_told
def init(directory: Path) -> int:
    """Write a starter site in DIRECTORY: a site file to fill in, and its landing folder."""
    target = directory / "site.toml"
    if target.exists():
        raise SiteFileError(f"{target}: exists already; expected a folder without a site file")
    (directory / "landing").mkdir(parents=True, exist_ok=True)
    starter = files("capacity_dagster.starter") / "site.toml"
    today = datetime.now(UTC).date()
    target.write_text(
        starter.read_text(encoding="utf-8").replace("2026-01-01", today.replace(day=1).isoformat()), encoding="utf-8"
    )
    out.print(f"Wrote {target}. Fill it in, land files in {directory / 'landing'}, or where Slurm is:", markup=False)
    out.print(f"  capacity collect slurm --site {target}\nThen:", markup=False)
    out.print(f"  capacity check --site {target}\n  capacity build --site {target}", markup=False)
    return EXIT_BUILT


@main.group()
def collect() -> None:
    """Collect into the landing what other programs know."""


@collect.command("slurm")
@_site_option
@click.option("--cluster", help="Only this cluster of the site. [default: all of them]")
@click.option("--days", type=click.IntRange(min=0), help="How many days before today are asked for again.")
@click.option("--since", type=click.DateTime(["%Y-%m-%d"]), help="Ask again for everything from this UTC day on.")
@click.option("--print", "only_print", is_flag=True, help="Print the commands instead of running them.")
@_errors_told
def collect_slurm(
    site_file: str | None, cluster: str | None, days: int | None, since: datetime | None, only_print: bool
) -> int:
    """Collect jobs, nodes, events, reservations, accounts, the queue and Slurm's own totals.

    Exits with 0 when everything was landed, 1 when something was not, 2 when Slurm cannot be asked at all.
    """
    from capacity_dagster.sources import slurm_collector

    site = _site(site_file)
    clusters = [cluster] if cluster else site.slurm_clusters
    if cluster and cluster not in site.slurm_clusters:
        declared = ", ".join(f"'{name}'" for name in site.slurm_clusters)
        raise SiteFileError(
            f"--cluster is '{cluster}', which {site.path} does not declare as Slurm's; expected one of {declared}"
        )
    first = since and since.date()
    if only_print:
        for line in slurm_collector.printed_commands(site, clusters, days, first):
            click.echo(line)
        return EXIT_COLLECTED
    with _progress() as tell:
        collected = slurm_collector.collect_slurm(site, clusters, days, first, tell=tell)
    for landed in collected.landed:
        if landed.is_new:
            what = f"{counted(landed.records, 'record')}, {landed.size_bytes:,} bytes, {landed.seconds:.1f} s"
            out.print(f"{landed.file.relative_to(site.landing)}: {what}", markup=False)
    out.print(collected.told, markup=False)
    for warning in collected.warnings:
        err.print(warning, markup=False, style="yellow")
    for problem in collected.problems:
        err.print(problem, markup=False, style="red")
    return EXIT_INCOMPLETE if collected.problems else EXIT_COLLECTED


@main.command()
@_site_option
@_errors_told
def check(site_file: str | None) -> int:
    """Check the site file and everything in the landing, without building."""
    from capacity_dagster.building import check_landing

    site = _site(site_file)
    with _progress() as tell:
        loads, problems = check_landing(site, tell)
    for load in loads:
        told = f"{load.delivery.shown}: {load.accepted_rows:,} records of {load.delivery.kind}"
        if load.rejected_rows:
            told += f", {load.rejected_rows:,} rejected ({load.reasons})"
        out.print(told, markup=False)
    for problem in problems:
        err.print(problem, markup=False, style="red")
    return EXIT_UNUSABLE if problems else EXIT_BUILT


@main.command()
@_site_option
@click.option("--as-of", help="Until when records speak, such as 2026-11-07T00:00:00Z. [default: what deliveries say]")
@click.option("--from", "first", type=click.DateTime(["%Y-%m-%d"]), help="Rebuild from this day, changed or not.")
@click.option("--to", "last", type=click.DateTime(["%Y-%m-%d"]), help="Rebuild up to this day, changed or not.")
@click.option(
    "--allow-erasing", is_flag=True, help="Accept deliveries that take away most of a month's or day's attempts."
)
@click.option("--alert", "has_alerts", is_flag=True, help="Then send the alerts that are due, as `capacity alert`.")
@_errors_told
def build(
    site_file: str | None,
    as_of: str | None,
    first: datetime | None,
    last: datetime | None,
    allow_erasing: bool,
    has_alerts: bool,
) -> int:
    """Build everything that is new or stale, check it and publish it."""
    site = _site(site_file)
    if first and last and first > last:
        raise SiteFileError(f"--from is {first.date()}, after --to, {last.date()}; expected the same or an earlier day")
    if has_alerts and not site.content.alerts.has_receiver:
        err.print(f"{site.path}: nobody is told of failures: [alerts] names nobody", markup=False, style="yellow")
    return _build(site, _instant(as_of), first and first.date(), last and last.date(), allow_erasing, has_alerts)


@main.command()
@_site_option
@click.option("--test", "is_test", is_flag=True, help="Send a message that says that nothing is wrong.")
@_errors_told
def alert(site_file: str | None, is_test: bool) -> int:
    """Send the alerts that are due: blocked publishing, stale sources, reminders, and what is over.

    Judges what the last build left, and builds nothing. Exits with 0 when every receiver took what was sent, 1 when
    one did not, 2 when the site file names none.
    """
    from capacity_dagster import alerts, receivers

    site = _site(site_file)
    _require_receiver(site)
    now = datetime.now(UTC)
    with _progress() as tell:
        tell("sending")
        if is_test:
            sent = receivers.send(site.content.alerts, alerts.test_message(site, now), now)
        else:
            sent = alerts.watch(site, now)
    return _told_sent(sent)


@main.command("prune-runs")
@_site_option
@click.option("--keep-days", type=click.IntRange(min=1), default=90, show_default=True, help="Of the history of runs.")
@_errors_told
def prune_runs(site_file: str | None, keep_days: int) -> int:
    """Remove from Dagster's history the runs that ended long ago; of each job the last one stays.

    Those stay that last materialised a table or a day. No data are removed.
    """
    from capacity_dagster.pruning import prune_runs as prune

    with _progress() as tell:
        pruned = prune(_site(site_file), datetime.now(UTC) - timedelta(days=keep_days), tell)
    out.print(f"{counted(pruned, 'run')} removed that ended more than {counted(keep_days, 'day')} ago", markup=False)
    return EXIT_BUILT


@main.command()
@_site_option
@click.option("--source", help="Only of this kind of source, such as slurm_jobs.")
@click.option("--reason", help="Only of this rule, such as unknown_state.")
@click.option("--released", is_flag=True, help="Those that an accepted record has taken the place of, instead.")
@click.option("--records", type=click.IntRange(min=1), help="List so many records, instead of the reasons.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON, with the whole text of records.")
@_errors_told
def rejects(
    site_file: str | None, source: str | None, reason: str | None, released: bool, records: int | None, as_json: bool
) -> int:
    """List what was rejected, why, what it is worth, and what mends it; what is worth most comes first."""
    from capacity_dagster import quarantine

    with quarantine.opened_quarantine(_site(site_file)) as connection:
        if records:
            rows = quarantine.rejected_records(connection, source, reason, released, records)
        else:
            rows = quarantine.rejected_reasons(connection, source, reason, released)
    if as_json:
        click.echo(
            json.dumps([{**row, **vars(quarantine.explained(row["reject_reason"]))} for row in rows], default=str)
        )
        return EXIT_BUILT
    for row in rows:
        for line in quarantine.told_record(row) if records else quarantine.told_reason(row):
            out.print(line, markup=False)
    if not rows:
        out.print(f"no record is {'released' if released else 'rejected'}{' of these' if source or reason else ''}")
    return EXIT_BUILT


@main.command()
@click.argument("table")
@click.argument("words", nargs=-1, required=True, metavar="KEY… COLUMN")
@_site_option
@click.option("--depth", type=click.IntRange(min=0), help="How many tables down. [default: to the source lines]")
@click.option("--rows", type=click.IntRange(min=0), default=3, show_default=True, help="How many rows of each table.")
@click.option("--all", "every", is_flag=True, help="Follow also what decides about rows and shares.")
@click.option("--json", "as_machine", is_flag=True, help="For machines.")
@_errors_told
def explain(
    table: str,
    words: tuple[str, ...],
    site_file: str | None,
    depth: int | None,
    rows: int,
    every: bool,
    as_machine: bool,
) -> int:
    """Show where a number comes from: the SQL, rows and source lines behind it, and what changed it last.

    KEY… are values of the leading columns of TABLE's key, or COLUMN=VALUE; with fewer than a row has, it is the sum
    over the rows that they fit. For example:

    capacity explain report.fleet_efficiency_daily 2026-11-07 alpha allocated_hours
    """
    from capacity_dagster.explain.chain import explain as explained
    from capacity_dagster.explain.text import as_json, print_explanation

    told = explained(_site(site_file), table, list(words), depth=depth, rows=rows, every=every)
    if as_machine:
        click.echo(as_json(told))
    else:
        print_explanation(told, out)
    return EXIT_BUILT


@main.command()
@click.argument("month", type=click.DateTime(["%Y-%m"]))
@_site_option
@click.option(
    "--incomplete", is_flag=True, help="Close it even where a bill, a price or a cluster's last days are missing."
)
@_errors_told
def close(month: datetime, site_file: str | None, incomplete: bool) -> int:
    """Freeze what is published of MONTH, such as 2026-10, and of the open months before it.

    What is delivered for it later goes to report.restatement_journal, and is an adjustment of the first open month.
    """
    from capacity_dagster.closing import close_month

    for closed in close_month(_site(site_file), month.date(), incomplete):
        out.print(f"{closed.month:%Y-%m} is closed as version {closed.version} has it", markup=False)
    return EXIT_BUILT


@main.command()
@click.argument("month", type=click.DateTime(["%Y-%m"]))
@_site_option
@_errors_told
def reopen(month: datetime, site_file: str | None) -> int:
    """Open MONTH, which was closed last: the next build publishes what is known of it."""
    from capacity_dagster.closing import reopen_month

    reopen_month(_site(site_file), month.date())
    out.print(f"{month:%Y-%m} is open; build to publish what is known of it now", markup=False)
    return EXIT_BUILT


@main.command()
@click.option(
    "--dir",
    "--out",
    "directory",
    type=click.Path(file_okay=False, path_type=Path),
    default=Path("build/demo"),
    show_default=True,
    help="Where the site is written.",
)
@click.option("--generate", is_flag=True, help="Write a made-up site of any size instead, without building it.")
@click.option("--attempts", type=click.IntRange(min=1_000), default=100_000, show_default=True, help="Of that site.")
@click.option("--days", type=click.IntRange(min=1), default=30, show_default=True, help="Over how many days.")
@click.option("--charges", type=click.IntRange(min=0), default=0, show_default=True, help="Charges on bills, about.")
@click.option("--seed", type=click.IntRange(min=0), default=0, show_default=True, help="Another seed, another site.")
@_errors_told
def demo(directory: Path, generate: bool, attempts: int, days: int, charges: int, seed: int) -> int:
    """Build the shipped site: two real Slurm clusters, with a made-up cost sheet."""
    if generate:
        from capacity_dagster.demo.generator import generate_site

        with _progress() as tell:
            generate_site(directory, attempts, days, seed, tell, charges)
        out.print(f"Wrote {counted(attempts, 'attempt')}. Next: capacity build --site {directory}", markup=False)
        return EXIT_BUILT
    _copy_changed(shipped_demo(), directory)
    site = load_site(directory)
    code = _build(site, None, None, None)
    if code == EXIT_BUILT:
        from capacity_dagster.summary import print_summary

        print_summary(site, out)
    return code


def _build(
    site: Site,
    as_of: datetime | None,
    first: date | None,
    last: date | None,
    allows_erasing: bool = False,
    has_alerts: bool = False,
) -> int:
    from capacity_dagster.building import build_site

    try:
        with _progress() as tell:
            result = build_site(site, as_of, first, last, tell, allows_erasing)
    except Exception as error:
        if has_alerts:
            _alert(site, [str(error) or type(error).__name__])
        raise
    if has_alerts:
        _alert(site, result.errors)
    for problem in result.problems:
        err.print(problem, markup=False, style="red")
    for failure in result.failures:
        err.print(failure, markup=False, style="red")
    for warning in result.warnings:
        err.print(warning, markup=False, style="yellow")
    out.print(result.told, markup=False)
    if result.published:
        is_new = not (result.problems or result.failures)
        out.print(f"{'published' if is_new else 'still published'}: {result.published.folder}", markup=False)
    if result.problems:
        return EXIT_UNUSABLE
    return EXIT_CHECK_FAILED if result.failures else EXIT_BUILT


def _require_receiver(site: Site) -> None:
    if not site.content.alerts.has_receiver:
        raise SiteFileError(
            f"{site.path}: nobody is to be told; expected 'recipients' or 'webhook_variable' in the section [alerts]"
        )


def _alert(site: Site, errors: list[str]) -> None:
    """Tells what is due after a build; that this fails fails no build."""
    from capacity_dagster.alerts import failed_run, watch

    now = datetime.now(UTC)
    try:
        watch(site, now, [failed_run(site, "build", errors, now)] if errors else [], [] if errors else ["build"])
    except OSError as error:
        err.print(f"alerts were not sent: {error}", markup=False, style="yellow")


def _told_sent(sent: "Sequence[Sent]") -> int:
    for each in sent:
        if each.problem is None:
            out.print(f"{each.receiver}: sent", markup=False)
        else:
            err.print(f"{each.receiver}: not sent: {each.problem}", markup=False, style="red")
    if not sent:
        out.print("nothing is due", markup=False)
    return EXIT_NOT_SENT if any(each.problem for each in sent) else EXIT_SENT


@contextmanager
def _progress() -> Iterator[Callable[[str], None]]:
    """A line that says what is being done; silent where nobody watches."""
    with err.status("starting", spinner="dots") as status:
        yield lambda text: status.update(escape(text))


def _instant(text: str | None) -> datetime | None:
    if text is None:
        return None
    try:
        return parse_instant(text)
    except ValueError as error:
        raise SiteFileError(
            f"--as-of is '{text}'; expected an instant with an offset, such as 2026-11-07T00:00:00Z"
        ) from error


def _copy_changed(source: Path, target: Path) -> None:
    """Copies files whose content differs, so that a second run finds nothing new."""
    for file in sorted(source.rglob("*")):
        if (
            not file.is_file()
            or "__pycache__" in file.parts
            or file.relative_to(source).parts[0] in ("work", "published")
        ):
            continue
        copy = target / file.relative_to(source)
        content = file.read_bytes()
        if copy.is_file() and copy.read_bytes() == content:
            continue
        copy.parent.mkdir(parents=True, exist_ok=True)
        copy.write_bytes(content)
