"""The data dictionary: every table and column in Markdown, from the contracts.

What belongs here: rendering. What does not: any meaning of its own; a wrong word is mended in its contract.

`python -m capacity_dagster.tables.dictionary [FILE]` writes it, to `docs/data-dictionary.md` if no file is named.
"""

import sys
from collections.abc import Callable, Iterable
from pathlib import Path

from capacity_dagster.tables.catalogue import Catalogue, Table, load_catalogue
from capacity_dagster.tables.contract import Column

DEFAULT_FILE = Path("docs/data-dictionary.md")

PROMISES = {
    "report": "The public contract: small tables, documented and stable. Published.",
    "mart": "The capacity mart: facts at the grain of node-hour, attempt-hour and cost-day. Published.",
    "core": "One meaning each, keyed and de-duplicated. Not published; `work/pipeline.duckdb` holds it.",
    "raw": "One row per delivered record, typed, with its file, line and load. Rejected records are beside each table, "
    "in `raw.<table>__rejected`. Not published.",
}
ADDITIVE = {"yes": "yes", "over_entities": "at one instant", "no": "no"}

INTRODUCTION = """# Data dictionary

Generated from the contracts in `assets_sql` by `python -m capacity_dagster.tables.dictionary`; do not edit.

- What each number means, with worked examples: [metrics.md](metrics.md).
- Times are UTC, as `TIMESTAMP` without a zone; intervals are half-open. `usage_date` is the site's reporting day.
- **Null**: whether a value may be missing. Unknown is null, never 0.
- **Sums**: `yes` sums over everything; `at one instant` sums over entities, not over time; `no` never sums: rates are
  divided again from their sums (`report.efficiency('month')` and its siblings in the published file do that).
- One device is 84,000 units, so an accelerator-hour is 302,400,000 unit-seconds. Unit-seconds are exact; hours are
  rounded to a millionth, for reading.
"""


def dictionary(catalogue: Catalogue) -> str:
    """The whole dictionary: published tables column by column, the pipeline's own in short."""
    return "\n".join(
        [
            INTRODUCTION,
            *_contents(catalogue),
            *_layer(catalogue, "report", _in_full),
            *_layer(catalogue, "mart", _in_full),
            *_layer(catalogue, "core", _in_short),
            *_layer(catalogue, "raw", _in_short),
        ]
    )


def _contents(catalogue: Catalogue) -> list[str]:
    rows = [
        (f"[`{table.full_name}`](#{_anchor(table)})", table.contract.first_line)
        for layer in ("report", "mart")
        for table in _tables(catalogue, layer)
    ]
    return [*_grid(("table", "one row"), rows), ""]


def _layer(catalogue: Catalogue, layer: str, render: Callable[[Table], list[str]]) -> list[str]:
    lines = [f"## `{layer}`", "", PROMISES[layer], ""]
    for table in _tables(catalogue, layer):
        lines += render(table)
    return lines


def _tables(catalogue: Catalogue, layer: str) -> list[Table]:
    return sorted(catalogue.of_layer(layer), key=lambda table: table.name)


def _in_full(table: Table) -> list[str]:
    contract = table.contract
    first, *rest = contract.description.strip().splitlines()
    lines = [f"### `{table.full_name}`", "", f"**{first.strip()}**", ""]
    if told := " ".join(line.strip() for line in rest):
        lines += [told, ""]
    lines.append(f"- Key: {_names(contract.key)}")
    if contract.partition:
        lines.append(f"- Rebuilt by day: {_names([contract.partition])}")
    lines.append(f"- Owner: {contract.owner}")
    lines += [f"- **Mind:** {' '.join(warning.split())}" for warning in contract.warnings]
    rows = [
        (f"`{name}`", column.type, column.unit or "", _null(table, name), _sums(column), column.description)
        for name, column in table.columns.items()
    ]
    return [*lines, "", *_grid(("column", "type", "unit", "null", "sums", "meaning"), rows), ""]


def _in_short(table: Table) -> list[str]:
    first, *rest = (line.strip() for line in table.contract.description.strip().splitlines())
    rows = [(f"`{name}`", column.type, column.description) for name, column in table.columns.items()]
    return [
        f"### `{table.full_name}`",
        "",
        " ".join([f"**{first}**", *rest]),
        "",
        f"- Key: {_names(table.contract.key)}",
        "",
        *_grid(("column", "type", "meaning"), rows),
        "",
    ]


def _null(table: Table, column: str) -> str:
    rules = table.contract.columns.get(column)
    return "no" if rules is not None and rules.not_null else "yes"


def _sums(column: Column) -> str:
    """Whether it may be summed; of what is not measured nobody would ask."""
    return ADDITIVE[column.additive] if column.unit else ""


def _names(names: Iterable[str]) -> str:
    return ", ".join(f"`{name}`" for name in names)


def _grid(header: tuple[str, ...], rows: Iterable[tuple[str, ...]]) -> list[str]:
    return [_line(header), _line(("---",) * len(header)), *(_line(row) for row in rows)]


def _line(cells: tuple[str, ...]) -> str:
    return f"| {' | '.join(_escaped(cell) for cell in cells)} |"


def _escaped(text: str) -> str:
    """A cell's text: a pipe would end the cell, a line break the row."""
    return " ".join(text.split()).replace("|", "\\|")


def _anchor(table: Table) -> str:
    return table.full_name.replace(".", "")


def main(arguments: list[str]) -> None:
    """Writes the dictionary to the file that is named."""
    file = Path(arguments[0]) if arguments else DEFAULT_FILE
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(dictionary(load_catalogue()), encoding="utf-8")


if __name__ == "__main__":
    main(sys.argv[1:])
