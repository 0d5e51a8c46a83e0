"""What a person wants to see after a build: the capacity waterfall and what an hour cost, from the published file."""

from typing import Any

import duckdb
from rich.console import Console
from rich.table import Table
from rich.text import Text

from capacity_dagster.site_file import Site
from capacity_dagster.versions import current
from capacity_dagster.wording import shown

WATERFALL = """
select
    cluster,
    pool,
    accelerator_model,
    sum(installed_hours),
    sum(down_planned_hours),
    sum(down_unplanned_hours),
    sum(draining_hours),
    sum(available_hours),
    sum(reserved_idle_hours),
    sum(stranded_hours),
    sum(idle_hours),
    sum(allocated_hours),
    sum(allocated_unit_seconds)::double / nullif(sum(available_unit_seconds), 0)
from report.fleet_efficiency_daily
group by grouping sets ((cluster, pool, accelerator_model), ())
order by grouping(cluster), cluster, pool, accelerator_model
"""

COST = """
select
    cluster,
    pool,
    accelerator_model,
    currency,
    cost,
    cost_per_installed_hour,
    cost_per_available_hour,
    cost_per_allocated_hour
from report.cost_per_accelerator_hour_monthly
order by cluster, pool, accelerator_model, currency
"""


def print_summary(site: Site, console: Console) -> None:
    """Prints the waterfall, the cost chain, and where the published files are."""
    published = current(site.published)
    if published is None:
        return
    connection = duckdb.connect(str(published.folder / "capacity.duckdb"), read_only=True)
    try:
        waterfall = connection.execute(WATERFALL).fetchall()
        cost = connection.execute(COST).fetchall()
    finally:
        connection.close()
    as_of = ", ".join(f"{cluster} {at}" for cluster, at in published.manifest["as_of"].items())
    console.print(f"\nWhere the accelerator-hours went, as of {as_of}", style="bold")
    console.print(
        "installed = planned + down + drain + avail; avail = reserved + strand + idle + allocated "
        "(allocated while down counts as available); rate = allocated / avail",
        style="dim",
    )
    console.print(
        _table(
            [
                "cluster",
                "pool",
                "model",
                "installed",
                "planned",
                "down",
                "drain",
                "avail",
                "reserved",
                "strand",
                "idle",
                "allocated",
                "rate",
            ],
            [[*row[:3], *(f"{hours:,.2f}" for hours in row[3:12]), _percent(row[12])] for row in waterfall],
        )
    )
    console.print("What one accelerator-hour cost (a made-up cost sheet)", style="bold")
    console.print(
        _table(
            ["cluster", "pool", "model", "", "cost", "/installed", "/available", "/allocated"],
            [[*row[:4], _money(row[4]), *(_money(rate) for rate in row[5:])] for row in cost],
        )
    )
    console.print(f"Trust: {published.manifest['trust']}.", markup=False)
    console.print(f"Open:  {published.folder}", markup=False)
    console.print("Look:  make ui", markup=False)


def _table(names: list[str], rows: list[list[Any]]) -> Table:
    table = Table(box=None, pad_edge=False, header_style="dim")
    for number, name in enumerate(names):
        table.add_column(name, justify="left" if number < 3 else "right", no_wrap=True)
    for row in rows:
        cells = ("all" if cell is None and not number else cell or "" for number, cell in enumerate(row))
        table.add_row(*(Text(shown(cell)) for cell in cells))  # names that were delivered are no markup
    return table


def _percent(rate: float | None) -> str:
    return "" if rate is None else f"{rate:.1%}"


def _money(amount: Any) -> str:
    return "unknown" if amount is None else f"{amount:,.2f}"
