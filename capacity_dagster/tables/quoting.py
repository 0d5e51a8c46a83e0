"""Quoting: nothing that a user delivered reaches SQL text unquoted, and a file is the one that is named."""

from collections.abc import Iterable


def identifier(name: str) -> str:
    """A column, table or schema name, quoted."""
    return '"' + name.replace('"', '""') + '"'


def literal(text: object) -> str:
    """A string literal, where a statement takes no parameter."""
    return "'" + str(text).replace("'", "''") + "'"


def file_literal(file: object) -> str:
    """A file's path as a literal for functions that take patterns: `*`, `?` and `[` in it are what they are."""
    return literal("".join(f"[{each}]" if each in "*?[" else each for each in str(file)))


def parquet(files: Iterable[object], options: str = "") -> str:
    """SQL for the rows of Parquet files; folders called `name=value` add no column."""
    return f"read_parquet([{', '.join(map(file_literal, files))}], hive_partitioning = false{options})"
