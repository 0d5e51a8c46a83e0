"""`capacity alert`, `prune-runs`, `close` and `reopen`."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import click

from capacity_dagster.cli.common import (
    EXIT_BUILT,
    EXIT_NOT_SENT,
    EXIT_SENT,
    chosen_site,
    err,
    errors_told,
    main,
    out,
    progress,
    site_option,
)
from capacity_dagster.errors import SiteFileError
from capacity_dagster.site_file import Site
from capacity_dagster.wording import counted

if TYPE_CHECKING:
    from capacity_dagster.receivers import Sent


@main.command()
@site_option
@click.option("--test", "is_test", is_flag=True, help="Send a message that says that nothing is wrong.")
@errors_told
def alert(site_file: str | None, is_test: bool) -> int:
    """Send the alerts that are due: blocked publishing, stale sources, reminders, and what is over.

    Judges what the last build left, and builds nothing. Exits with 0 when every receiver took what was sent, 1 when
    one did not, 2 when the site file names none.
    """
    from capacity_dagster import alerts, receivers

    site = chosen_site(site_file)
    _require_receiver(site)
    now = datetime.now(UTC)
    with progress() as tell:
        tell("sending")
        if is_test:
            sent = receivers.send(site.content.alerts, alerts.test_message(site, now), now)
        else:
            sent = alerts.watch(site, now)
    return _told_sent(sent)


@main.command("prune-runs")
@site_option
@click.option("--keep-days", type=click.IntRange(min=1), default=90, show_default=True, help="Of the history of runs.")
@errors_told
def prune_runs(site_file: str | None, keep_days: int) -> int:
    """Remove from Dagster's history the runs that ended long ago; of each job the last one stays.

    Those stay that last materialised a table or a day. No data are removed.
    """
    from capacity_dagster.pruning import prune_runs as prune

    with progress() as tell:
        pruned = prune(chosen_site(site_file), datetime.now(UTC) - timedelta(days=keep_days), tell)
    out.print(f"{counted(pruned, 'run')} removed that ended more than {counted(keep_days, 'day')} ago", markup=False)
    return EXIT_BUILT


@main.command()
@click.argument("month", type=click.DateTime(["%Y-%m"]))
@site_option
@click.option(
    "--incomplete", is_flag=True, help="Close it even where a bill, a price or a cluster's last days are missing."
)
@errors_told
def close(month: datetime, site_file: str | None, incomplete: bool) -> int:
    """Freeze what is published of MONTH, such as 2026-10, and of the open months before it.

    What is delivered for it later goes to report.restatement_journal, and is an adjustment of the first open month.
    """
    from capacity_dagster.closing import close_month

    for closed in close_month(chosen_site(site_file), month.date(), incomplete):
        out.print(f"{closed.month:%Y-%m} is closed as version {closed.version} has it", markup=False)
    return EXIT_BUILT


@main.command()
@click.argument("month", type=click.DateTime(["%Y-%m"]))
@site_option
@errors_told
def reopen(month: datetime, site_file: str | None) -> int:
    """Open MONTH, which was closed last: the next build publishes what is known of it."""
    from capacity_dagster.closing import reopen_month

    reopen_month(chosen_site(site_file), month.date())
    out.print(f"{month:%Y-%m} is open; build to publish what is known of it now", markup=False)
    return EXIT_BUILT


def _require_receiver(site: Site) -> None:
    if not site.content.alerts.has_receiver:
        raise SiteFileError(
            f"{site.path}: nobody is to be told; expected 'recipients' or 'webhook_variable' in the section [alerts]"
        )


def _told_sent(sent: "Sequence[Sent]") -> int:
    for each in sent:
        if each.problem is None:
            out.print(f"{each.receiver}: sent", markup=False)
        else:
            err.print(f"{each.receiver}: not sent: {each.problem}", markup=False, style="red")
    if not sent:
        out.print("nothing is due", markup=False)
    return EXIT_NOT_SENT if any(each.problem for each in sent) else EXIT_SENT
