"""The one job, and its schedule."""

import dagster as dg

build = dg.define_asset_job(
    "build",
    selection=dg.AssetSelection.all(),
    executor_def=dg.in_process_executor,
    description="Brings everything that is new or stale up to date, checks it and publishes it.",
)

hourly_build = dg.ScheduleDefinition(
    name="hourly_build",
    job=build,
    cron_schedule="7 * * * *",
    description="Builds once an hour; a build with nothing new does no work.",
)
