"""What is delivered: external assets, observed by the raw tables that read them."""

import dagster as dg

from capacity_dagster.tables.catalogue import load_catalogue


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
            )
            for table in load_catalogue().of_layer("raw")
        ]
    )
