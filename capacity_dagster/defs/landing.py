"""What is delivered: external assets, observed by the raw tables that read them."""

from datetime import timedelta

import dagster as dg

from capacity_dagster.tables.catalogue import load_catalogue

DAILY = dg.FreshnessPolicy.time_window(warn_window=timedelta(hours=26), fail_window=timedelta(hours=50))
"""Of what comes each day, or more often: warns when a day was missed, fails when two were."""

DELIVERED_DAILY = frozenset(
    {
        "slurm_jobs",
        "slurm_queue",
        "slurm_nodes",
        "slurm_node_events",
        "slurm_reservations",
        "slurm_account_usage",
        "slurm_cluster_usage",
    }
)
"""Kinds of which each day brings a file. Files that people keep, and what says the same most days, are not of them."""


@dg.definitions
def landing() -> dg.Definitions:
    """One external asset for each kind of source."""
    return dg.Definitions(
        assets=[
            dg.AssetSpec(
                key=["landing", table.name],
                description=f"Delivered files of the kind `{table.name}`, exactly as they came; never edited.",
                group_name="landing",
                kinds={"file"},
                owners=[table.contract.owner],
                tags=table.contract.tags,
                freshness_policy=DAILY if table.name in DELIVERED_DAILY else None,
            )
            for table in load_catalogue().of_layer("raw")
        ]
    )
