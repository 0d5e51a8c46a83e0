"""An explained number as a person reads it, and as a machine does.

What belongs here: words and layout. What does not: finding anything out (`chain`).
"""

import json
from dataclasses import asdict
from datetime import date, datetime
from decimal import Decimal
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text
from rich.tree import Tree

from capacity_dagster.explain.changes import Restated
from capacity_dagster.explain.explanation import Explanation, Step
from capacity_dagster.explain.number import shown
from capacity_dagster.wording import counted

EXPRESSIONS, LONGEST_EXPRESSION = 6, 240
"""How many expressions of a query are shown, and how much of each."""
LONGEST_CELL, LONGEST_LINE = 60, 400


def print_explanation(told: Explanation, console: Console) -> None:
    """Prints the number, the chain below it and what changed it; nothing that was delivered acts on the terminal."""
    _print_number(told, console)
    _section(console, "\nWhere it comes from")
    console.print(_tree(told.steps))
    for step in told.steps:
        _print_step(step, told, console)
    _section(console, "\nWhat changed it last")
    _print_changes(told, console)


def as_json(told: Explanation) -> str:
    """The same for machines; amounts are strings, so that they stay exact."""
    return json.dumps(asdict(told), default=_plain, indent=1)


def _plain(value: Any) -> Any:
    return value.isoformat() if isinstance(value, date | datetime) else str(value)


def _print_number(told: Explanation, console: Console) -> None:
    value = "unknown (NULL)" if told.value is None else _cell(told.value)
    _section(console, f"{told.table}.{told.column} = {value}{f' {shown(told.unit)}' if told.unit else ''}")
    keys = " · ".join(f"{name} {shown(value)}" for name, value in told.keys.items()) or "all of the table"
    _line(console, keys + (f": the sum of {counted(told.rows, 'row')}" if told.rows > 1 else ""))
    if told.rows > 1 and told.unknown_rows:
        _line(console, f"{told.unknown_rows:,} of them are unknown (NULL) and not in the sum")
    _line(console, told.description, "dim")
    if told.divided:
        _line(console, f"It is {told.divided[0]} / {told.divided[1]}; explain those for sums that can be checked.")
    if told.published_version is None:
        _line(console, "Not published: this is the working table.")
    else:
        _line(console, f"Published in version {told.published_version}. {_now(told)}")


def _now(told: Explanation) -> str:
    if not told.is_known_now:
        return (
            f"The working tables cannot be read now ({shown(told.not_read_because)}): what is below the mart is told "
            "without its rows."
        )
    if told.known_now == told.value:
        return "What is known now is the same."
    known = "nothing" if told.known_now is None else _cell(told.known_now)
    closed = ", ".join(f"{month:%Y-%m}" for month in told.changes.closed_months)
    why = f"{closed} is closed and stays as it was signed" if closed else "it is not published yet"
    return f"What is known now is {known}: {why}. The rows below are those of what is known now."


def _tree(steps: list[Step]) -> Tree:
    nodes: dict[str | None, Tree] = {}
    for number, step in enumerate(steps, start=1):
        label = Text(f"{number} {step.table}")
        label.append(f"  {_rows(step)}", "dim")
        parent = nodes.get(step.read_by)
        nodes[step.table] = parent.add(label) if parent else Tree(label, guide_style="dim")
    return nodes[steps[0].table]


def _rows(step: Step) -> str:
    match step.rows_are:
        case "not read":
            return "not read"
        case "candidates":
            return f"{counted(step.rows or 0, 'row')} that can contribute"
        case "records":
            return f"{counted(step.rows or 0, 'record')}"
        case "summands":
            return f"{counted(step.rows or 0, 'row')}, which sum to it"
        case _:
            return counted(step.rows or 0, "row")


def _print_step(step: Step, told: Explanation, console: Console) -> None:
    number = next(each for each, other in enumerate(told.steps, start=1) if other is step)
    columns = f"  ({', '.join(step.columns)})" if step.columns else ""
    _section(console, f"\n{number} {step.table}{columns}")
    _line(console, f"{step.what}  {step.query}", "dim")
    for expression in step.expressions[:EXPRESSIONS]:
        _line(console, f"  {_cut(expression, LONGEST_EXPRESSION)}")
    if len(step.expressions) > EXPRESSIONS:
        _line(console, f"  … and {len(step.expressions) - EXPRESSIONS} more expressions in the query", "dim")
    _line(console, _verdict(step, told))
    if step.sample:
        _print_rows(step, told, console)
    for line in step.lines:
        where = f"  {shown(line.file)}:{line.line}"
        _line(console, where, "bold")
        text = f"({line.why_not})" if line.text is None else _cut(shown(line.text), LONGEST_LINE)
        _line(console, f"    {text}")
    if step.empty:
        _line(console, f"Nothing of it comes from {', '.join(step.empty)}.", "dim")
    if step.counts:
        _line(console, f"No column of another table becomes it: the query counts rows of {', '.join(step.counts)}.")
    if step.decides:
        _line(console, f"The query also reads {', '.join(step.decides)} (--all follows them).", "dim")


def _verdict(step: Step, told: Explanation) -> str:
    sums = ", ".join(f"{name} {_cell(total)}" for name, total in step.totals.items())
    only = f" where {step.only}" if step.only else ""
    match step.rows_are:
        case "not read":
            return f"Its rows cannot be read now: {shown(told.not_read_because)}."
        case "summands" if step.proof:
            proof = step.proof
            return (
                f"{counted(step.rows or 0, 'row')}{only}. Proof: {proof.column} sums to {_cell(proof.total)} "
                f"{proof.unit}, and {proof.above} is {_cell(proof.above_total)} {proof.above_unit}: the same."
            )
        case "records":
            return f"{counted(step.rows or 0, 'record')}, known by {' and '.join(step.restricted_by)}."
        case "candidates":
            shared = [name for name in step.restricted_by if name != "days"]
            by = f"with the same {', '.join(shared)}" if shared else "all there are"
            days = " on these days" if "days" in step.restricted_by else ""
            rows = f"{counted(step.rows or 0, 'row')} that can contribute: {by}{days}{only}"
            return f"{rows}. They sum to {sums}." if sums else f"{rows}."
        case _:
            return f"{counted(step.rows or 0, 'row')}."


def _print_rows(step: Step, told: Explanation, console: Console) -> None:
    table = Table(box=None, pad_edge=False, header_style="dim")
    hidden = {name for name in step.restricted_by if name in told.keys} | ({"source_file"} if step.lines else set())
    places = [place for place, name in enumerate(step.sample_columns) if name not in hidden]
    for name in [*(["part"] if step.parts else []), *(step.sample_columns[place] for place in places)]:
        table.add_column(name, overflow="fold")
    for position, row in enumerate(step.sample):
        part = [_rounded(step.parts[position])] if step.parts else []
        table.add_row(*(Text(_cut(_cell(value), LONGEST_CELL)) for value in [*part, *(row[place] for place in places)]))
    console.print(table)
    if step.parts:
        _line(console, f"part: how much of the number it is, in {shown(told.unit)}", "dim")
    if step.rows and step.rows > len(step.sample):
        _line(console, f"… and {step.rows - len(step.sample):,} more (--rows N shows more)", "dim")


def _print_changes(told: Explanation, console: Console) -> None:
    changes = told.changes
    if changes.restated:
        _line(console, _restated(changes.restated))
        for reason in changes.restated.because:
            _line(console, f"  {shown(reason)}")
    if changes.journal:
        _line(console, "The journal (report.restatement_journal) has:")
        table = Table(box=None, pad_edge=False, header_style="dim")
        for name in changes.journal_columns:
            table.add_column(name, overflow="fold")
        for row in changes.journal:
            table.add_row(*(Text(_cell(value)) for value in row))
        console.print(table)
    elif changes.restated:
        _line(console, "The journal has no line about it.")
    brought = [each for each in changes.tables if any(file for file, _ in each.files)]
    for each in brought:
        files = ", ".join(f"{shown(file)} ({counted(rows, 'row')})" for file, rows in each.files if file)
        _line(console, f"{each.table}: last changed for these days by {files}")
    if not brought and changes.tables:
        _line(console, "No file is known to have changed these days in its tables since they were built as a whole.")


def _restated(restated: Restated) -> str:
    since = f"It is so since version {restated.version} ({restated.published_at})"
    if restated.before is not None:
        return f"{since}; before that it was {_cell(restated.before)}. That version differs in:"
    if restated.has_before:
        return f"{since}; before that it was unknown. That version differs in:"
    if restated.because:
        return f"{since}, the first that has it. That version differs in:"
    return f"{since}, the oldest that is kept."


def _section(console: Console, text: str) -> None:
    _line(console, text, "bold")


def _line(console: Console, text: str, style: str = "") -> None:
    console.print(Text(text, style=style))


def _rounded(part: Decimal | None) -> Decimal | None:
    """A part of a number for reading: a count of units by the units of an hour has no end."""
    return None if part is None else round(part, 6)


def _cell(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, Decimal):
        exact = f"{value:,f}"
        return exact.rstrip("0").rstrip(".") if "." in exact else exact
    return shown(value)


def _cut(text: str, longest: int) -> str:
    return text if len(text) <= longest else text[: longest - 1] + "…"
