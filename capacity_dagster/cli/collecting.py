"""`capacity collect`."""

from datetime import datetime

import click

from capacity_dagster.cli.common import (
    EXIT_COLLECTED,
    EXIT_INCOMPLETE,
    chosen_site,
    err,
    errors_told,
    main,
    out,
    progress,
    site_option,
)
from capacity_dagster.errors import SiteFileError
from capacity_dagster.wording import counted


@main.group()
def collect() -> None:
    """Collect into the landing what other programs know."""


@collect.command("slurm")
@site_option
@click.option("--cluster", help="Only this cluster of the site. [default: all of them]")
@click.option("--days", type=click.IntRange(min=0), help="How many days before today are asked for again.")
@click.option("--since", type=click.DateTime(["%Y-%m-%d"]), help="Ask again for everything from this UTC day on.")
@click.option("--print", "only_print", is_flag=True, help="Print the commands instead of running them.")
@errors_told
def collect_slurm(
    site_file: str | None, cluster: str | None, days: int | None, since: datetime | None, only_print: bool
) -> int:
    """Collect jobs, nodes, events, reservations, accounts, the queue and Slurm's own totals.

    Exits with 0 when everything was landed, 1 when something was not, 2 when Slurm cannot be asked at all.
    """
    from capacity_dagster.sources import slurm_collector

    site = chosen_site(site_file)
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
    with progress() as tell:
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
