"""`capacity rejects` and `explain`: what stands behind published numbers."""

import json

import click

from capacity_dagster.cli.common import EXIT_BUILT, chosen_site, errors_told, main, out, people_option, site_option


@main.command()
@site_option
@click.option("--source", help="Only of this kind of source, such as slurm_jobs.")
@click.option("--reason", help="Only of this rule, such as unknown_state.")
@click.option("--released", is_flag=True, help="Those that an accepted record has taken the place of, instead.")
@click.option("--records", type=click.IntRange(min=1), help="List so many records, instead of the reasons.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON, with the whole text of records.")
@people_option
@errors_told
def rejects(
    site_file: str | None,
    source: str | None,
    reason: str | None,
    released: bool,
    records: int | None,
    as_json: bool,
    shows_people: bool,
) -> int:
    """List what was rejected, why, what it is worth, and what mends it; what is worth most comes first."""
    from capacity_dagster import quarantine
    from capacity_dagster.privacy import discreet

    site = chosen_site(site_file)
    with quarantine.opened_quarantine(site) as connection:
        if records:
            rows = quarantine.rejected_records(connection, source, reason, released, records)
        else:
            rows = quarantine.rejected_reasons(connection, source, reason, released)
    if site.content.privacy.pseudonymise_users and not shows_people:
        rows = [{name: discreet(name, value) for name, value in row.items()} for row in rows]
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
@site_option
@click.option("--depth", type=click.IntRange(min=0), help="How many tables down. [default: to the source lines]")
@click.option("--rows", type=click.IntRange(min=0), default=3, show_default=True, help="How many rows of each table.")
@click.option("--all", "every", is_flag=True, help="Follow also what decides about rows and shares.")
@click.option("--json", "as_machine", is_flag=True, help="For machines.")
@people_option
@errors_told
def explain(
    table: str,
    words: tuple[str, ...],
    site_file: str | None,
    depth: int | None,
    rows: int,
    every: bool,
    as_machine: bool,
    shows_people: bool,
) -> int:
    """Show where a number comes from: the SQL, rows and source lines behind it, and what changed it last.

    KEY… are values of the leading columns of TABLE's key, or COLUMN=VALUE; with fewer than a row has, it is the sum
    over the rows that they fit. For example:

    capacity explain report.fleet_efficiency_daily 2026-11-07 alpha allocated_hours
    """
    from capacity_dagster.explain.chain import explain as explained
    from capacity_dagster.explain.text import as_json, print_explanation

    told = explained(
        chosen_site(site_file), table, list(words), depth=depth, rows=rows, every=every, shows_people=shows_people
    )
    if as_machine:
        click.echo(as_json(told))
    else:
        print_explanation(told, out)
    return EXIT_BUILT
