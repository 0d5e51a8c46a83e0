"""The command line: `capacity init`, `collect`, `check`, `build`, `rejects`, `explain`, `close`, `alert`, `demo`, ….

What belongs here: arguments, exit codes and what is printed. What does not: Dagster's definitions, building.
"""

from capacity_dagster.cli import building, collecting, operating, reading
from capacity_dagster.cli.common import EXIT_UNUSABLE, main

__all__ = ["EXIT_UNUSABLE", "building", "collecting", "main", "operating", "reading"]
