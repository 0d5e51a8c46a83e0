"""Which of a file's columns are the ones that a contract names.

What belongs here: names, aliases and positions of columns. What does not: reading the file.
"""

from collections.abc import Sequence

from capacity_dagster.errors import SourceError
from capacity_dagster.tables.catalogue import Table


def resolve_columns(table: Table, names: Sequence[str], where: str, may_repeat: bool = False) -> dict[str, int | None]:
    """The position (from 1) of each delivered column among a file's column names, by name or alias, whatever the case.

    Args:
        may_repeat: a column may be there twice, as `sacct -o ALL,End` writes it: with the same values.

    Raises:
        SourceError: a required column is missing, or a column is named twice.
    """
    spelled = [name.strip().lower() for name in names]
    doubled = sorted({name for name in spelled if name and spelled.count(name) > 1 and name in known_names(table)})
    if doubled and not may_repeat:
        raise SourceError(f"{where} names the column '{doubled[0]}' twice; expected each column once")
    positions: dict[str, int | None] = {}
    missing: list[str] = []
    for name, delivered in table.contract.delivered.items():
        candidates = [name.lower(), *(alias.lower() for alias in delivered.aliases)]
        position = next((spelled.index(each) + 1 for each in candidates if each in spelled), None)
        if position is None and delivered.required:
            missing.append(name)
        if positions.get(delivered.column) is None:
            positions[delivered.column] = position
    if missing:
        shown = ", ".join(names)
        raise SourceError(
            f"{where} has no column {', '.join(repr(name) for name in missing)}; "
            f"found: {shown[:300]}{'…' if len(shown) > 300 else ''}; expected at least {required_names(table)}",
            shown[:300],
        )
    return positions


def repeated_columns(table: Table, names: Sequence[str]) -> list[tuple[int, int]]:
    """The positions (from 1) of each column that is there again, with that of the first: both must say the same."""
    spelled = [name.strip().lower() for name in names]
    first = {
        name: position for position, name in reversed(list(enumerate(spelled, start=1))) if name in known_names(table)
    }
    return [
        (first[name], position)
        for position, name in enumerate(spelled, start=1)
        if first.get(name, position) != position
    ]


def unused_columns(table: Table, names: Sequence[str]) -> list[str]:
    """The columns of a file that the table does not know, but for those that are marked as a provider's own by `x_`."""
    known = known_names(table)
    return [name for name in names if name.strip().lower() not in known and not name.strip().lower().startswith("x_")]


def known_names(table: Table) -> set[str]:
    """The names of columns that a table reads, or knows and leaves unread, in lower case."""
    contract = table.contract
    read = {name for key, delivered in contract.delivered.items() for name in (key, *delivered.aliases)}
    return {name.lower() for name in (*read, *contract.unread)}


def required_names(table: Table) -> str:
    """The columns that each file must have, in a sentence."""
    return ", ".join(name for name, delivered in table.contract.delivered.items() if delivered.required)
