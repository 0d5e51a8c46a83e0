"""Writes made-up bills of rented machines, as FOCUS has them; same arguments, same bytes.

What belongs here: the bills of a generated site, and what its site file says of them.
"""

from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import duckdb

from capacity_dagster.demo.generated_fleet import DAY, HOUR, beginning_of, day_of
from capacity_dagster.sources.slurm_commands import STAMP
from capacity_dagster.tables.catalogue import assets_folder
from capacity_dagster.tables.quoting import literal

CHARGES_PER_MACHINE_HOUR = 3

SITE_FILE = """
# Rented by the hour, and known from bills alone.
[clusters.cloud]
scheduler = "none"

[[charge_rules]]
cluster = "cloud"
pool = "rented"
charges = { ProviderName = "Cumulus", SubAccountId = "200" }

[[sources]]
kind = "focus_charges"
files = "bills/*"
collected_at = 'collected-(?P<at>[0-9]{8}T[0-9]{6}Z)'
"""


def write_bills(site: Path, first_at: int, as_of: int, charges: int) -> None:
    """Adds bills to a generated site: one a month, and two of the last one, without its last day and with it.

    Args:
        first_at, as_of: from when until when, in seconds since 1970.
        charges: about how many, over the whole time.
    """
    folder = site / "landing" / "bills"
    folder.mkdir(parents=True)
    machines = max(1, round(charges / CHARGES_PER_MACHINE_HOUR / ((as_of - first_at) / HOUR)))
    query = (assets_folder() / "demo" / "charges.sql").read_text(encoding="utf-8")
    month = day_of(first_at).replace(day=1)
    before = month
    with duckdb.connect(":memory:") as connection:
        while beginning_of(month) < as_of:
            until = min(beginning_of(_next(month)), as_of)
            for collected_at in [until - DAY, until] if until == as_of else [until]:
                if collected_at <= max(beginning_of(month), first_at):
                    continue
                stamp = datetime.fromtimestamp(collected_at, UTC).strftime(STAMP)
                file = folder / f"focus-{month:%Y-%m}-collected-{stamp}.csv"
                connection.execute(
                    f"copy ({query}) to {literal(file)} (format csv, header true)",
                    {
                        "month_start": beginning_of(month),
                        "month_end": beginning_of(_next(month)),
                        "until": collected_at,
                        "before": beginning_of(before),
                        "machines": machines,
                    },
                )
            before, month = month, _next(month)
    with (site / "site.toml").open("a", encoding="utf-8") as site_file:
        site_file.write(SITE_FILE)


def _next(month: date) -> date:
    return (month + timedelta(days=32)).replace(day=1)
