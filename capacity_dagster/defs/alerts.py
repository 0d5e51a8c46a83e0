"""The sensors that tell engineers: when a run fails, and what lasts or is over."""

from datetime import UTC, datetime

import dagster as dg

from capacity_dagster import alerts as told
from capacity_dagster.building import cause_without_step, first_cause, is_failed_check, is_refusal
from capacity_dagster.defs.build import build
from capacity_dagster.defs.collect import collect_slurm_job
from capacity_dagster.health import read_health
from capacity_dagster.receivers import Sent
from capacity_dagster.site_file import load_site, site_path
from capacity_dagster.tables.catalogue import load_catalogue

JOBS = ("build", "collect_slurm")


@dg.run_failure_sensor(
    name="failed_runs",
    monitored_jobs=[build, collect_slurm_job],
    default_status=dg.DefaultSensorStatus.RUNNING,
    description="Tells those whom `[alerts]` in the site file names that a run failed, or why publishing is blocked.",
)
def failed_runs(context: dg.RunFailureSensorContext) -> dg.SkipReason:
    """Tells of a failed run; that checks failed is told as what it is, blocked publishing."""
    run = context.dagster_run
    site = load_site(site_path())
    health = read_health(site)
    failures = {event.step_key or "": event.step_failure_data for event in context.get_step_failure_events()}
    others = {
        step: failure
        for step, failure in failures.items()
        if not is_failed_check(failure) and not (health and health.failed and is_refusal(failure))
    }
    failed = []
    if others or not failures:
        errors = [f"{step}: {first_cause(failure)}" for step, failure in others.items()]
        if not failures:
            errors = [_without_step(context.failure_event)]
        failed.append(
            told.failed_run(
                site,
                run.job_name,
                errors,
                _ended_at(context.instance.get_run_record_by_id(run.run_id)) or datetime.now(UTC),
                run.run_id,
                [table for step in others for table in tables_of_step(step)],
            )
        )
    return _told(told.watch(site, datetime.now(UTC), failed))


@dg.sensor(
    name="alerts",
    minimum_interval_seconds=60,
    default_status=dg.DefaultSensorStatus.RUNNING,
    description="Tells those whom `[alerts]` in the site file names what blocks publishing, which sources are stale, "
    "what still lasts after a day, and what is over.",
)
def alerts(context: dg.SensorEvaluationContext) -> dg.SkipReason:
    """Judges what the last build left, and when each job ended well."""
    site = load_site(site_path())
    if not site.content.alerts.has_receiver:
        return dg.SkipReason("the site file names nobody to tell: [alerts] has neither recipients nor a webhook")
    ended_well = {}
    for job in JOBS:
        last = context.instance.get_run_records(
            dg.RunsFilter(job_name=job, statuses=[dg.DagsterRunStatus.SUCCESS]), limit=1
        )
        if last and (ended_at := _ended_at(last[0])):
            ended_well[job] = ended_at
    return _told(told.watch(site, datetime.now(UTC), ended_well=ended_well))


def tables_of_step(step: str) -> list[str]:
    """The tables that a step builds."""
    catalogue = load_catalogue()
    if step == "days":
        return [table.full_name for table in catalogue if table.contract.partition]
    name = step.replace("__", ".", 1)
    return [name] if name in catalogue.tables else []


def _without_step(event: dg.DagsterEvent) -> str:
    """Why a run failed without a step that did."""
    message = event.message or "The run failed before its first step, or its process is gone."
    if cause := cause_without_step(event):
        return f"{message.removesuffix('.')}: {cause}"
    return f"{message} Mostly a process that was killed, for want of memory; its log says more."


def _ended_at(record: dg.RunRecord | None) -> datetime | None:
    return datetime.fromtimestamp(record.end_time, UTC) if record and record.end_time else None


def _told(sent: list[Sent]) -> dg.SkipReason:
    """What was sent, where the UI shows it with the tick: alerts request no run."""
    return dg.SkipReason("; ".join(f"{each.receiver}: {each.problem or 'sent'}" for each in sent) or "nothing is due")
