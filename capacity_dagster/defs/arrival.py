"""The sensor over the landing: tells what arrived, and requests the one job `build`."""

from datetime import UTC, datetime

import dagster as dg

from capacity_dagster.defs.build import build
from capacity_dagster.defs.metadata import arrival_metadata
from capacity_dagster.errors import CapacityError
from capacity_dagster.locks import while_no_build_runs
from capacity_dagster.site_file import Site, load_site, site_path
from capacity_dagster.sources.arrival import look, recall, remember, summary
from capacity_dagster.sources.object_store import mirror

WAITING = [dg.DagsterRunStatus.QUEUED]
WORKING = [
    dg.DagsterRunStatus.NOT_STARTED,
    dg.DagsterRunStatus.STARTING,
    dg.DagsterRunStatus.STARTED,
    dg.DagsterRunStatus.CANCELING,
]
FETCHES_FOR_SECONDS = 30
"""From an object store, in one look: Dagster ends one that takes a minute."""
STARTS_WITHIN_SECONDS = 600
"""A run that holds no lock and of which nothing was heard for as long is dead: its process was killed."""


@dg.sensor(
    name="arrivals",
    job=build,
    minimum_interval_seconds=60,
    default_status=dg.DefaultSensorStatus.STOPPED,
    description="Looks at the landing every minute: tells the assets of `landing` what is new, late, delivered again, "
    "changed, shrunk or gone, and requests one build for all of it once nothing is half-written and no build is "
    "queued or running. Off until somebody turns it on.",
)
def arrivals(context: dg.SensorEvaluationContext) -> dg.SensorResult | dg.SkipReason:
    """One look at the landing."""
    at = datetime.now(UTC)
    try:
        site = load_site(site_path())
        before = recall(site, context.cursor)
        is_busy = is_building(context.instance, site, at) or not _fetch(site)
        arrival = look(site, before, at, is_busy)
    except CapacityError as error:
        return dg.SkipReason(str(error))
    events = [
        dg.AssetMaterialization(["landing", kind], metadata=arrival_metadata(arrival.of_kind(kind)))
        for kind in arrival.kinds
    ]
    cursor = context.cursor if arrival.memory == before else remember(site, arrival.memory, context.cursor)
    if not arrival.is_build_due:
        return dg.SensorResult(asset_events=events, cursor=cursor, skip_reason=arrival.told)
    request = dg.RunRequest(tags={"capacity/arrived": summary(arrival.due)})
    return dg.SensorResult(asset_events=events, cursor=cursor, run_requests=[request])


def is_building(instance: dg.DagsterInstance, site: Site, at: datetime) -> bool:
    """Whether a build is queued or runs, here or from the command line; not if its process died."""
    with while_no_build_runs(site, "looking whether a build runs") as is_free:
        if not is_free:
            return True
    if instance.get_run_records(dg.RunsFilter(job_name=build.name, statuses=WAITING), limit=1):
        return True
    newest = instance.get_run_records(dg.RunsFilter(job_name=build.name, statuses=WORKING), limit=1)
    return any((at - record.update_timestamp).total_seconds() < STARTS_WITHIN_SECONDS for record in newest)


def _fetch(site: Site) -> bool:
    """Fetches what is new in an object store, unless a build reads what was fetched before; says whether it could."""
    if site.landing_url is None:
        return True
    with while_no_build_runs(site, f"fetching from {site.landing_url}") as is_free:
        if is_free:
            mirror(site, at_most_seconds=FETCHES_FOR_SECONDS)
        return is_free
