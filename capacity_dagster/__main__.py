"""`python -m capacity_dagster` is the command line."""

from capacity_dagster.cli import main

main(prog_name="capacity")
