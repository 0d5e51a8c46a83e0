"""What commands share: the group they are in, exit codes, what is printed and how errors are told."""

import logging
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import wraps
from typing import Any

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
from capacity_dagster.site_file import SITE_VARIABLE, Site, load_site
from capacity_dagster.terminal import Terminal

EXIT_BUILT, EXIT_CHECK_FAILED, EXIT_UNUSABLE = 0, 1, 2
EXIT_COLLECTED, EXIT_INCOMPLETE = 0, 1
EXIT_SENT, EXIT_NOT_SENT = 0, 1

WIDTH = 112
out = Terminal(highlight=False, soft_wrap=True)
if out.width < WIDTH:
    out.width = WIDTH  # a table that is cut says nothing
err = Terminal(stderr=True, highlight=False, soft_wrap=True)


def errors_told(command: Callable[..., int]) -> Callable[..., None]:
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


def site_option(command: Callable[..., Any]) -> Callable[..., Any]:
    """The option `--site` of a command."""
    return click.option(
        "--site",
        "site_file",
        type=click.Path(),
        envvar=SITE_VARIABLE,
        help=f"Site file, or its folder. [default: {SITE_VARIABLE}, else ./site.toml]",
    )(command)


def people_option(command: Callable[..., Any]) -> Callable[..., Any]:
    """The option `--show-people` of a command that prints what was delivered."""
    return click.option(
        "--show-people",
        "shows_people",
        is_flag=True,
        help="Print names of users and delivered text also where the site file has users named by pseudonyms.",
    )(command)


def chosen_site(site_file: str | None) -> Site:
    """The site that the option names, else that of the working folder."""
    return load_site(site_file or "site.toml")


@contextmanager
def progress() -> Iterator[Callable[[str], None]]:
    """A line that says what is being done; silent where nobody watches."""
    with err.status("starting", spinner="dots") as status:
        yield lambda text: status.update(escape(text))
