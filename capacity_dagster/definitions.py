"""The code location: loads the definitions, nothing else."""

from pathlib import Path

import dagster as dg


@dg.definitions
def defs() -> dg.Definitions:
    """All that `capacity_dagster/defs` holds, for the site that CAPACITY_SITE names (without it, the demo)."""
    return dg.load_from_defs_folder(path_within_project=Path(__file__).parent)
