"""`capacity init`, `check`, `build` and `demo`."""

from datetime import UTC, date, datetime
from importlib.resources import files
from pathlib import Path

import click

from capacity_dagster.cli.common import (
    EXIT_BUILT,
    EXIT_CHECK_FAILED,
    EXIT_UNUSABLE,
    chosen_site,
    err,
    errors_told,
    main,
    out,
    progress,
    site_option,
)
from capacity_dagster.errors import SiteFileError
from capacity_dagster.site_file import Site, load_site, shipped_demo
from capacity_dagster.sources.landing import parse_instant
from capacity_dagster.wording import counted


@main.command()
@click.argument("directory", type=click.Path(file_okay=False, path_type=Path))
@errors_told
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


@main.command()
@site_option
@errors_told
def check(site_file: str | None) -> int:
    """Check the site file and everything in the landing, without building."""
    from capacity_dagster.building import check_landing

    site = chosen_site(site_file)
    with progress() as tell:
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
@site_option
@click.option("--as-of", help="Until when records speak, such as 2026-11-07T00:00:00Z. [default: what deliveries say]")
@click.option("--from", "first", type=click.DateTime(["%Y-%m-%d"]), help="Rebuild from this day, changed or not.")
@click.option("--to", "last", type=click.DateTime(["%Y-%m-%d"]), help="Rebuild up to this day, changed or not.")
@click.option(
    "--allow-erasing",
    is_flag=True,
    help="Accept deliveries that take away most of a month's or day's attempts, or of a bill's charges.",
)
@click.option("--alert", "has_alerts", is_flag=True, help="Then send the alerts that are due, as `capacity alert`.")
@errors_told
def build(
    site_file: str | None,
    as_of: str | None,
    first: datetime | None,
    last: datetime | None,
    allow_erasing: bool,
    has_alerts: bool,
) -> int:
    """Build everything that is new or stale, check it and publish it."""
    site = chosen_site(site_file)
    if first and last and first > last:
        raise SiteFileError(f"--from is {first.date()}, after --to, {last.date()}; expected the same or an earlier day")
    if has_alerts and not site.content.alerts.has_receiver:
        err.print(f"{site.path}: nobody is told of failures: [alerts] names nobody", markup=False, style="yellow")
    return _build(site, _instant(as_of), first and first.date(), last and last.date(), allow_erasing, has_alerts)


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
@errors_told
def demo(directory: Path, generate: bool, attempts: int, days: int, charges: int, seed: int) -> int:
    """Build the shipped site: two real Slurm clusters, with a made-up cost sheet."""
    if generate:
        from capacity_dagster.demo.generator import generate_site

        with progress() as tell:
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
        with progress() as tell:
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


def _alert(site: Site, errors: list[str]) -> None:
    """Tells what is due after a build; that this fails fails no build."""
    from capacity_dagster.alerts import failed_run, watch

    now = datetime.now(UTC)
    try:
        watch(site, now, [failed_run(site, "build", errors, now)] if errors else [], {} if errors else {"build": now})
    except OSError as error:
        err.print(f"alerts were not sent: {error}", markup=False, style="yellow")


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


def _instant(text: str | None) -> datetime | None:
    if text is None:
        return None
    try:
        return parse_instant(text)
    except ValueError as error:
        raise SiteFileError(
            f"--as-of is '{text}'; expected an instant with an offset, such as 2026-11-07T00:00:00Z"
        ) from error
