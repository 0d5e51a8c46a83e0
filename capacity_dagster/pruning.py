"""Removing old runs from Dagster's history, which Dagster never does itself.

What belongs here: which runs go. What does not: versions of published data (`publish`).
"""

from collections.abc import Callable
from datetime import datetime
from typing import TYPE_CHECKING

from capacity_dagster.building import prepare_dagster_home
from capacity_dagster.site_file import Site
from capacity_dagster.tables.catalogue import load_catalogue
from capacity_dagster.wording import counted

if TYPE_CHECKING:
    import dagster as dg

BATCH = 1000


def prune_runs(site: Site, before: datetime, tell: Callable[[str], None] = lambda _: None) -> int:
    """Removes the runs that ended before an instant, with their events; how many they were.

    Those stay that the UI needs to show what is: the last run of each job, and the one that last materialised a table,
    or a day of it.
    """
    prepare_dagster_home(site)
    import dagster as dg

    ended = [dg.DagsterRunStatus.SUCCESS, dg.DagsterRunStatus.FAILURE, dg.DagsterRunStatus.CANCELED]
    pruned = 0
    with dg.DagsterInstance.get() as instance:
        needed = _last_materialising_runs(instance, tell)
        last: dict[str, str] = {}
        cursor = None
        while records := instance.get_run_records(dg.RunsFilter(statuses=ended), limit=BATCH, cursor=cursor):
            for record in records:  # the newest first
                run = record.dagster_run
                is_needed = last.setdefault(run.job_name, run.run_id) == run.run_id or run.run_id in needed
                if is_needed or record.end_time is None or record.end_time >= before.timestamp():
                    cursor = run.run_id
                    continue
                instance.delete_run(run.run_id)
                pruned += 1
                tell(f"{counted(pruned, 'run')} removed")
    return pruned


def _last_materialising_runs(instance: "dg.DagsterInstance", tell: Callable[[str], None]) -> set[str]:
    """The runs that hold the newest materialisation of a table, or of one of its days."""
    import dagster as dg

    needed = {record.asset_entry.last_run_id for record in instance.get_asset_records()}
    for table in load_catalogue():
        if table.contract.partition is None:
            continue
        tell(f"looking at the days of {table.full_name}")
        seen: set[str] = set()
        cursor = None
        has_more = True
        while has_more:
            found = instance.fetch_materializations(dg.AssetKey([table.layer, table.name]), limit=BATCH, cursor=cursor)
            for record in found.records:  # the newest first
                if record.partition_key and record.partition_key not in seen:
                    seen.add(record.partition_key)
                    needed.add(record.run_id)
            cursor, has_more = found.cursor, found.has_more
    return {run_id for run_id in needed if run_id}
