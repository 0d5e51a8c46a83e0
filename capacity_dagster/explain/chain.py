"""Where one published number comes from: the chain of SQL, rows and source lines behind it.

What belongs here: which tables a number goes through, and whether their rows sum to it. What does not: which number is
meant (`number`), reading rows (`rows`), what changed it (`changes`), how it is told (`text`).

A number goes through more tables than a person wants to read. Of what a query reads, those inputs are followed whose
rows sum to the number; else those that are its records; else those that have amounts of its kind. The others decide
about rows or shares: they are named, and followed where that is asked for.
"""

from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass, replace
from decimal import Decimal
from functools import cache

from capacity_dagster.explain.changes import find_changes
from capacity_dagster.explain.explanation import Explanation, Proof, SourceLine, Step
from capacity_dagster.explain.number import Number, find_number, window_of
from capacity_dagster.explain.rows import PROVENANCE, Books, Scope, Window, books, restriction
from capacity_dagster.site_file import Site
from capacity_dagster.sources.landing import has_content
from capacity_dagster.sources.lines import lines_of
from capacity_dagster.tables.catalogue import SCOPES, Catalogue, Table, load_catalogue
from capacity_dagster.tables.contract import Column
from capacity_dagster.tables.lineage import Derivation, committed_lineage, derivation
from capacity_dagster.tables.quoting import identifier

UNITS: dict[str, tuple[str, int | None]] = {
    "accelerator-hours": ("capacity", 302_400_000),
    "accelerator-seconds": ("capacity", 84_000),
    "unit-seconds": ("capacity", 1),
    "units": ("capacity", None),
    "accelerators": ("capacity", None),
    "currency": ("money", 10**12),
    "trillionths of the currency": ("money", 1),
    "jobs": ("jobs", 1),
    "attempts": ("jobs", 1),
    "tasks": ("jobs", None),
    "seconds": ("time", 1),
    "hours": ("time", 3_600),
    "CPU-seconds": ("CPUs", 1),
    "CPU-hours": ("CPUs", 3_600),
    "CPUs": ("CPUs", None),
    "node-seconds": ("nodes", 1),
    "node-hours": ("nodes", 3_600),
    "nodes": ("nodes", None),
    "rows": ("rows", 1),
}
"""What kind of amount a unit is of, and how many of the kind's smallest; None: it is none until times a time."""
RECORDS = ("job_id", "started_at", "ended_at", "accelerators")
"""What is shown of an attempt, whatever is asked."""
CONCEALED = "withheld, as users have pseudonyms here; --show-people shows it"
READING = Decimal("0.0000005")
"""How far hours, which are rounded for reading, may be from what they are made of, a row."""


@dataclass
class _Open:
    """A step whose inputs are still to be followed.

    Attributes:
        part_unit: where all above it sums to the number: how many of the smallest unit one of its amounts is.
    """

    step: Step
    table: Table
    scope: Scope | None
    totals: dict[str, Decimal]
    part_unit: int | None


def explain(
    site: Site,
    table_name: str,
    words: list[str],
    *,
    depth: int | None = None,
    rows: int = 3,
    every: bool = False,
    shows_people: bool = False,
) -> Explanation:
    """Explains the number that words name, as `find_number` reads them.

    Args:
        depth: how many tables down; None: to the source lines.
        rows: how many rows of each table are shown.
        every: follows what decides about rows and shares too.
        shows_people: shows names and delivered lines also where users have pseudonyms.

    Raises:
        ExplainError: there is no such number, or nothing can be read.
    """
    catalogue = load_catalogue()
    with books(site, shows_people) as found:
        number = find_number(found, catalogue, table_name, words)
        window = window_of(found, number, site.content.site.reporting_time_zone)
        working = found.relation(number.table, number.table.database)
        known_now = None
        if working:
            sql, values = number.condition
            known_now = found.rows(f"select {number.aggregate} from {working} as c where {sql}", values)[0][0]
        steps = _chain(site, found, catalogue, number, window, depth, rows, every)
        meaning = number.table.columns[number.column]
        is_published = found.relation(number.table, "signed") is not None
        return Explanation(
            table=number.table.full_name,
            column=number.column,
            description=meaning.description,
            unit=number.unit,
            keys=number.keys,
            rows=number.rows,
            unknown_rows=number.unknown_rows,
            value=found.shown(number.column, number.value),
            divided=None if number.table.is_raw else _derivation(number.table.full_name, number.column).divides,
            published_version=found.published.manifest["version"] if found.published and is_published else None,
            known_now=found.shown(number.column, known_now),
            is_known_now=working is not None,
            not_read_because=found.closed_to,
            steps=steps,
            changes=find_changes(site, found, number, window, [step.table for step in steps]),
        )


def _chain(
    site: Site,
    found: Books,
    catalogue: Catalogue,
    number: Number,
    window: Window | None,
    depth: int | None,
    rows: int,
    every: bool,
) -> list[Step]:
    table = number.table
    amounts = _amounts(table, [number.column])
    scope = found.scope(table, number.condition, list(number.keys), amounts[0] if amounts else None)
    totals = found.totals(table, scope, amounts) if scope else {}
    step = _step(table, [number.column], None, 0, scope, totals)
    unit = _smallest(table.columns[number.column]) if totals else None
    steps, pending, seen = [step], deque([_Open(step, table, scope, totals, unit)]), {table.full_name}
    while pending:
        here = pending.popleft()
        _cut_out(here)
        _show_rows(site, found, here, rows, unit)
        if depth is not None and here.step.depth >= depth:
            continue
        for below in _inputs(found, catalogue, here, window, every, seen):
            steps.append(below.step)
            pending.append(below)
            seen.add(below.table.full_name)
    return steps


def _step(
    table: Table,
    columns: list[str],
    above: Step | None,
    depth: int,
    scope: Scope | None,
    totals: dict[str, Decimal],
) -> Step:
    return Step(
        table=table.full_name,
        what=table.contract.first_line,
        read_by=above.table if above else None,
        depth=depth,
        columns=columns,
        query=f"assets_sql/{table.layer}/{table.name}/query.sql",
        expressions=(),
        rows=scope.rows if scope else None,
        rows_are="not read" if scope is None else "candidates" if above else "the number",
        restricted_by=scope.restricted_by if scope else [],
        totals=totals,
    )


@cache
def _derivation(table_name: str, column: str) -> Derivation:
    catalogue = load_catalogue()
    return derivation(catalogue, catalogue[table_name], column)


def _derivations(here: _Open) -> list[Derivation]:
    """How the amounts of a step are made; where it has none, its columns."""
    if here.table.is_raw:
        return []
    made = _amounts(here.table, here.step.columns) or here.step.columns
    return [_derivation(here.table.full_name, column) for column in made]


def _cut_out(here: _Open) -> None:
    """Puts the expressions of a step's query into it."""
    expressions = (each for made in _derivations(here) for each in made.expressions)
    here.step.expressions = tuple(dict.fromkeys(expressions))


def _inputs(
    found: Books, catalogue: Catalogue, here: _Open, window: Window | None, every: bool, seen: set[str]
) -> list[_Open]:
    """The inputs of a step that are followed; the step is told of the others."""
    origins = _origins(catalogue, here)
    if not origins:
        here.step.counts = list(here.table.inputs)
    filters = _filters(here)
    kinds = {kind for kind in map(_kind, _meanings(here.table, here.step.columns)) if kind}
    tried: dict[str, _Open] = {}
    for name, columns in origins.items():
        table = catalogue[name]
        fits = {kind for kind in map(_kind, _meanings(table, columns)) if kind}
        is_record = _is_record(here, table)
        if name in seen or not (every or is_record or not kinds or fits & kinds):
            continue
        tried[name] = _opened(found, here, table, columns, window, filters.get(name))
    with_rows = {name: each for name, each in tried.items() if each.step.rows != 0}
    here.step.empty = sorted(tried.keys() - with_rows.keys())
    followed = with_rows
    if not every:
        for chosen in (
            {name: each for name, each in with_rows.items() if each.step.proof},
            {name: each for name, each in with_rows.items() if _is_record(here, each.table)},
        ):
            if chosen:
                followed = chosen
                break
    here.step.decides = sorted(origins.keys() - followed.keys() - set(here.step.empty) - seen)
    return list(followed.values())


def _opened(
    found: Books,
    here: _Open,
    table: Table,
    columns: list[str],
    window: Window | None,
    condition: str | None,
) -> _Open:
    amounts = _amounts(table, columns)
    amount = next(iter(amounts), None)
    above = here.scope if _is_record(here, table) else None
    scope: Scope | None = None
    totals: dict[str, Decimal] = {}
    proof: Proof | None = None
    if here.scope is not None:
        restricted, told = restriction(here.scope, table, window, condition)
        scope = found.scope(table, restricted, told, amount, above)
    if scope is not None:
        totals = found.totals(table, scope, amounts)
        proof = _proof(here, table, scope, totals)
        by = table.contract.filed_by
        if not proof and totals and window and by and here.scope and "days" in scope.restricted_by:
            sql, values = scope.condition
            of_days = f"{sql} and c.{identifier(by)} >= ? and c.{identifier(by)} < ?"
            of_days_bound = (of_days, [*values, window.starts_at, window.ends_at])
            filed = found.scope(table, of_days_bound, scope.restricted_by, amount)
            if filed and (same := _proof(here, table, filed, sums := found.totals(table, filed, amounts))):
                scope, totals, proof = filed, sums, same
    step = _step(table, columns, here.step, here.step.depth + 1, scope, totals)
    step.only = condition if scope else None
    if proof:
        step.proof, step.rows_are = proof, "summands"
    elif scope is not None and above:
        step.rows_are = "records"
    part_unit = _smallest(table.columns[amount]) if here.part_unit and proof and proof.column == amount else None
    if scope is not None and above and not amount and here.part_unit:
        part_unit, scope.has_parts = here.part_unit, True
    if proof:
        totals = {name: total for name, total in totals.items() if name in proof.column.split(" + ")}
    return _Open(step, table, scope, totals, part_unit)


def _origins(catalogue: Catalogue, here: _Open) -> dict[str, list[str]]:
    """The columns of each input of which a step's columns are made; and the inputs that are its records."""
    lineage = committed_lineage().get(here.table.full_name, {})
    origins: dict[str, list[str]] = {}
    for column in here.step.columns:
        for name, origin in lineage.get(column, []):
            if origin not in origins.setdefault(name, []):
                origins[name].append(origin)
    for name in here.table.inputs:
        if name in catalogue.tables and _is_record(here, catalogue[name]):
            origins.setdefault(name, [])
    return origins


def _filters(here: _Open) -> dict[str, str]:
    """By input, on which of its rows alone a step's one amount depends."""
    made = _derivations(here)
    return made[0].filters if len(made) == 1 else {}


def _is_record(here: _Open, table: Table) -> bool:
    """Whether the rows of an input are the records that a step's rows are about."""
    mine = here.table.columns.keys()
    if table.is_raw:
        return set(PROVENANCE) <= mine
    is_made_of = table.is_published or table.full_name == SCOPES.get(here.table.scope or "")
    is_of_attempts = table.contract.key == ("attempt_id",) and set(PROVENANCE) <= table.columns.keys()
    return is_made_of and is_of_attempts and "attempt_id" in mine


def _meanings(table: Table, columns: Iterable[str]) -> list[Column]:
    return [table.columns[name] for name in columns]


def _kind(meaning: Column) -> str | None:
    return UNITS.get(meaning.unit or "", (None, None))[0]


def _amounts(table: Table, columns: Iterable[str]) -> list[str]:
    """The columns that sum."""
    return [name for name in columns if table.columns[name].additive == "yes" and _smallest(table.columns[name])]


def _smallest(meaning: Column) -> int | None:
    return UNITS.get(meaning.unit or "", (None, None))[1]


@dataclass(frozen=True)
class _Sum:
    """A sum over rows: of a column, or of several of the same unit.

    Attributes:
        smallest: the same in the smallest unit of its kind, and `slack` how far that may be off.
    """

    name: str
    total: Decimal
    unit: str
    smallest: Decimal
    slack: Decimal


def _sums(table: Table, totals: dict[str, Decimal], rows: int) -> list[_Sum]:
    by_unit: dict[str, list[str]] = {}
    for name in totals:
        by_unit.setdefault(table.columns[name].unit or "", []).append(name)
    sums = []
    for unit, names in by_unit.items():
        factor = UNITS[unit][1] or 0
        is_rounded = unit.endswith("hours") or unit == "accelerator-seconds"
        for some in [*([name] for name in names), *([names] if len(names) > 1 else [])]:
            total = sum((totals[name] for name in some), Decimal(0))
            slack = rows * len(some) * factor * READING if is_rounded else Decimal(0)
            sums.append(_Sum(" + ".join(some), total, unit, total * factor, slack))
    return sums


def _proof(here: _Open, table: Table, scope: Scope, totals: dict[str, Decimal]) -> Proof | None:
    """That the sum of a column over a scope's rows is what the step above sums to, if one is."""
    for above in _sums(here.table, here.totals, here.step.rows or 0):
        for below in _sums(table, totals, scope.rows):
            is_same = abs(above.smallest - below.smallest) <= above.slack + below.slack
            if above.total and is_same and UNITS[above.unit][0] == UNITS[below.unit][0]:
                name = f"{here.table.full_name}.{above.name}"
                return Proof(below.name, below.total, below.unit, name, above.total, above.unit)
    return None


def _show_rows(site: Site, found: Books, here: _Open, limit: int, unit: int | None) -> None:
    """Puts the largest rows of a step into it, and the delivered lines where they are records."""
    table, step, scope = here.table, here.step, here.scope
    if scope is None or not scope.rows or not limit:
        return
    records = RECORDS if {"attempt_id", *PROVENANCE} <= table.columns.keys() or table.is_raw else ()
    names = dict.fromkeys((*table.contract.key, *step.columns, *records, *PROVENANCE))
    columns = [name for name in names if name in table.columns and name != "load_id"]
    with_content = [*columns, "content_sha256"] if table.is_raw else columns
    sample = found.sample(table, scope, with_content, next(iter(step.totals), None), limit)
    step.sample_columns = columns
    step.sample = [tuple(map(found.shown, columns, row[: len(columns)])) for row in sample]
    if scope.has_parts and here.part_unit and unit:
        step.parts = [None if row[-1] is None else Decimal(row[-1]) * here.part_unit / unit for row in sample]
    if (table.is_raw or found.closed_to is not None) and set(PROVENANCE) <= set(columns):
        inputs = found.published.manifest["inputs"] if found.published else []
        known = {each["file"]: each["sha256"] for each in inputs}
        at_file, at_line = columns.index("source_file"), columns.index("source_line")
        places = [(row[at_file], row[at_line], row[-2] if table.is_raw else known.get(row[at_file])) for row in sample]
        step.lines = _lines(site, [place for place in places if place[1] is not None])
        if found.conceals:
            step.lines = [replace(each, text=None, why_not=each.why_not or CONCEALED) for each in step.lines]


def _lines(site: Site, places: list[tuple[str, int, str | None]]) -> list[SourceLine]:
    told: dict[str, dict[int, str] | str] = {}
    for file, _, sha256 in places:
        if file in told:
            continue
        if sha256 and not has_content(site, file, sha256):
            told[file] = "has another content now than the one that was read"
        else:
            told[file] = lines_of(site.landing, file, [line for each, line, _ in places if each == file])
    lines = []
    for file, line, _ in dict.fromkeys(places):
        text = told[file]
        if isinstance(text, str):
            lines.append(SourceLine(file, line, None, text))
        else:
            lines.append(SourceLine(file, line, text.get(line), None if line in text else "has no such line any more"))
    return lines
