"""Collecting as a job of its own: it writes files that `build` then finds, and builds nothing."""

import dagster as dg

from capacity_dagster.errors import CapacityError
from capacity_dagster.site_file import load_site, site_path
from capacity_dagster.sources.slurm_collector import Collected, collect_slurm
from capacity_dagster.tables.catalogue import load_catalogue


@dg.op(description="Asks Slurm's commands and lands their answers, as `capacity collect slurm` does.")
def collect_from_slurm(context: dg.OpExecutionContext) -> None:
    """Lands what Slurm knows of the site's clusters, and tells the external assets of `landing` what arrived."""
    site = load_site(site_path())
    try:
        collected = collect_slurm(site, site.slurm_clusters, tell=context.log.info)
    except CapacityError as error:
        raise dg.Failure(str(error), allow_retries=False) from error
    for warning in collected.warnings:
        context.log.warning(warning)
    kinds = {table.name for table in load_catalogue().of_layer("raw")}
    for kind in sorted({landed.pull.kind for landed in collected.landed}):
        if f"slurm_{kind}" in kinds:
            context.log_event(
                dg.AssetMaterialization(["landing", f"slurm_{kind}"], metadata=collection_metadata(collected, kind))
            )
    if collected.problems:
        raise dg.Failure("\n".join(collected.problems), metadata={"outcome": collected.told}, allow_retries=False)


def collection_metadata(collected: Collected, kind: str) -> dict[str, dg.MetadataValue]:
    """What was collected of one kind: counts, and the command that gave the newest file."""
    landed = [each for each in collected.landed if each.pull.kind == kind]
    return {
        "files": dg.MetadataValue.int(len(landed)),
        "new files": dg.MetadataValue.int(sum(each.is_new for each in landed)),
        "bytes": dg.MetadataValue.int(sum(each.size_bytes for each in landed)),
        "rows": dg.MetadataValue.int(sum(each.records for each in landed)),
        "seconds": dg.MetadataValue.float(round(sum(each.seconds for each in landed), 3)),
        "command": dg.MetadataValue.text(landed[0].pull.shown()),
        "newest file": dg.MetadataValue.path(str(landed[0].file)),
    }


@dg.job(
    name="collect_slurm",
    executor_def=dg.in_process_executor,
    description="Asks Slurm for what is new and lands it; the next build reads it.",
)
def collect_slurm_job() -> None:
    """One step: the collection."""
    collect_from_slurm()


hourly_collection = dg.ScheduleDefinition(
    name="hourly_collection",
    job=collect_slurm_job,
    cron_schedule="47 * * * *",
    default_status=dg.DefaultScheduleStatus.STOPPED,
    description="Collects from Slurm once an hour, before the hourly build. Off until somebody turns it on.",
)
