"""Which number is meant: a column of a table, and the rows that keys name.

What belongs here: reading the words of a question, and refusing those that name no number, with what there is instead.
What does not: where the number comes from (`chain`).
"""

import difflib
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from capacity_dagster.errors import ExplainError
from capacity_dagster.explain.rows import Books, Condition, Window
from capacity_dagster.tables.catalogue import Catalogue, Table
from capacity_dagster.tables.lineage import derivation
from capacity_dagster.tables.quoting import identifier
from capacity_dagster.wording import counted

LISTED = 20
"""How many of the things that there are a message lists."""
ALTERNATIVES = ("currency", "idle_policy", "wait_kind", "grouped_by", "weighting", "resource", "measure")
"""Key columns of which each value is another view of the same, so that a sum over several says nothing."""
MONTHS = ("usage_month", "billing_month")


@dataclass(frozen=True)
class Number:
    """A column of the rows that some keys name.

    Attributes:
        keys: what is asked for, by column.
        rows: how many rows it is of, in the table that is asked: the published one, else the working one.
        value: the column's value, or the sum over the rows.
        unknown_rows: how many of them have no value, and are not in the sum.
        unit: the column's, with the currency of the rows.
    """

    table: Table
    column: str
    keys: dict[str, Any]
    rows: int
    value: Any
    unknown_rows: int
    unit: str | None = None

    @property
    def condition(self) -> Condition:
        """What the rows are, as SQL."""
        return _condition(self.table, self.keys)

    @property
    def aggregate(self) -> str:
        """SQL for the number over the rows."""
        column = identifier(self.column)
        return f"any_value({column})" if self.table.columns[self.column].additive == "no" else f"sum({column})"


def find_number(books: Books, catalogue: Catalogue, table_name: str, words: Sequence[str]) -> Number:
    """The number that words name: values of the leading key columns, or `column=value`; last the column.

    Raises:
        ExplainError: they name none; the message lists what there is.
    """
    table = _table(catalogue, table_name)
    *key_words, column = words
    if column not in table.columns:
        raise ExplainError(
            f"{table.full_name} has no column '{shown(column)}'{_meant(column, table.columns)}; "
            f"it has {', '.join(table.columns)}. Its key is {', '.join(table.contract.key)}"
        )
    relation = books.relation(table, "signed") or books.relation(table)
    if relation is None:
        raise ExplainError(f"{table.full_name} is not published and cannot be read now: {books.closed_to}")
    keys = _keys(books, table, key_words)
    for count in range(1, len(keys) + 1):
        some = dict(list(keys.items())[:count])
        sql, values = _condition(table, some)
        if not books.rows(f"select 1 from {relation} as c where {sql} limit 1", values):
            raise _nothing(books, table, relation, some)
    number = Number(table, column, keys, 0, None, 0)
    sql, values = number.condition
    rows, known, value = books.rows(
        f"select count(*), count({identifier(column)}), {number.aggregate} from {relation} as c where {sql}", values
    )[0]
    if rows == 0:
        raise ExplainError(f"{table.full_name} has no rows: there is nothing to explain")
    if rows > 1:
        _refuse_unless_summable(books, catalogue, number, relation, rows)
    unit = table.columns[column].unit
    if unit and unit.startswith("currency") and "currency" in table.columns:
        currencies = _distinct(books, relation, "currency", sql, values)
        unit = unit.replace("currency", str(currencies[0][0])) if len(currencies) == 1 else unit
    return Number(table, column, keys, rows, value, rows - known, unit)


def window_of(books: Books, number: Number, zone_name: str) -> Window | None:
    """The reporting days that the rows of a number are of; None: they are not of days."""
    table = number.table
    column = next((name for name in ("usage_date", *MONTHS) if name in table.columns), None)
    relation = books.relation(table, "signed") or books.relation(table)
    if column is None:
        return None
    sql, values = number.condition
    first, last = books.rows(f"select min({column}), max({column}) from {relation} as c where {sql}", values)[0]
    if first is None:
        return None
    if column in MONTHS:
        last = (last.replace(day=1) + timedelta(days=31)).replace(day=1) - timedelta(days=1)
    return Window(first, last, _midnight(first, zone_name), _midnight(last + timedelta(days=1), zone_name))


def shown(value: object) -> str:
    """A value for a terminal: what does not print is escaped, so that nothing delivered acts on it."""
    return "".join(sign if sign.isprintable() else sign.encode("unicode_escape").decode() for sign in str(value))


def _table(catalogue: Catalogue, name: str) -> Table:
    if name in catalogue.tables:
        return catalogue[name]
    bare = [table.full_name for table in catalogue if table.name == name]
    if len(bare) == 1:
        return catalogue[bare[0]]
    published = [table.full_name for table in catalogue if table.is_published]
    raise ExplainError(
        f"there is no table '{shown(name)}'{_meant(name, catalogue.tables)}; published are {', '.join(published)}"
    )


def _keys(books: Books, table: Table, words: list[str]) -> dict[str, Any]:
    named: dict[str, str] = {}
    leading: list[str] = []
    for word in words:
        name, equals, value = word.partition("=")
        if equals and name in table.columns:
            named[name] = value
        else:
            leading.append(word)
    free = [name for name in table.contract.key if name not in named]
    if len(leading) > len(free):
        raise ExplainError(
            f"{table.full_name} has the key {', '.join(table.contract.key)}; {counted(len(leading), 'value')} "
            f"without a name are too many (the first that is: '{shown(leading[len(free)])}'). "
            "Write TABLE KEY… COLUMN, the column last"
        )
    texts = {**dict(zip(free, leading, strict=False)), **named}
    return {name: _typed(books, table, name, texts[name]) for name in texts}


def _typed(books: Books, table: Table, name: str, text: str) -> Any:
    kind = table.columns[name].type
    if kind == "DATE" and re.fullmatch(r"[0-9]{4}-[0-9]{2}", text):
        text += "-01"
    value = books.rows(f"select try_cast(? as {kind})", [text])[0][0]
    if value is None:
        wanted = {"DATE": "a day such as 2026-11-07", "TIMESTAMP": "an instant such as '2026-11-07 13:00:00'"}
        raise ExplainError(
            f"{name} of {table.full_name} is '{shown(text)}'; expected {wanted.get(kind, 'a value of type ' + kind)}. "
            f"Its key is {', '.join(table.contract.key)}"
        )
    return value


def _condition(table: Table, keys: dict[str, Any]) -> Condition:
    tests = [f"c.{identifier(name)} = cast(? as {table.columns[name].type})" for name in keys]
    return " and ".join(tests) or "true", list(keys.values())


def _nothing(books: Books, table: Table, relation: str, keys: dict[str, Any]) -> ExplainError:
    """That the last of some keys fits no row that those before it fit, and which would."""
    *before, last = keys
    told = " and ".join(f"{name} = {shown(keys[name])}" for name in before)
    sql, values = _condition(table, {name: keys[name] for name in before})
    count, least, most = books.rows(
        f"select count(distinct {identifier(last)}), min({identifier(last)}), max({identifier(last)}) "
        f"from {relation} as c where {sql}",
        values,
    )[0]
    if count > LISTED:
        there = f"{count:,} others, from {shown(books.shown(last, least))} to {shown(books.shown(last, most))}"
    else:
        found = books.rows(f"select distinct {identifier(last)} from {relation} as c where {sql} order by 1", values)
        there = ", ".join(f"'{shown(books.shown(last, row[0]))}'" for row in found if row[0] is not None) or "none"
    return ExplainError(
        f"{table.full_name} has no row with {last} = '{shown(keys[last])}'{f' where {told}' if told else ''}; "
        f"there is {there}"
    )


def _refuse_unless_summable(books: Books, catalogue: Catalogue, number: Number, relation: str, rows: int) -> None:
    table, meaning = number.table, number.table.columns[number.column]
    sql, values = number.condition
    open_keys = [name for name in table.contract.key if name not in number.keys]
    several = {
        name: found
        for name in open_keys
        if len(found := [row[0] for row in _distinct(books, relation, name, sql, values)]) > 1
    }
    choices = "; ".join(f"{name}: {_listed(several[name])}" for name in open_keys if name in several)
    which = f"{counted(rows, 'row')} of {table.full_name} fit"
    if meaning.additive == "no":
        divided = derivation(catalogue, table, number.column).divides if not table.is_raw else None
        instead = "Name one row"
        if divided and set(divided) <= table.columns.keys():
            instead = f"It is {divided[0]} / {divided[1]}: ask for each of those, or name one row"
        raise ExplainError(f"{which}, and {number.column} never sums. {instead}. They differ in {choices}")
    if other := next((name for name in several if name in ALTERNATIVES), None):
        raise ExplainError(
            f"{which}, which differ in {other}: their sum means nothing. Name one of them, such as "
            f"{other}={shown(several[other][0])} ({_listed(several[other])})"
        )
    instants = [name for name in several if table.columns[name].type in ("DATE", "TIMESTAMP")]
    if meaning.additive == "over_entities" and instants:
        raise ExplainError(
            f"{which}, and {number.column} sums over what there is at one time only. "
            f"Name {', '.join(instants)}. They differ in {choices}"
        )


def _distinct(books: Books, relation: str, name: str, sql: str, values: list[Any]) -> list[tuple[Any, ...]]:
    found = books.rows(
        f"select distinct {identifier(name)} from {relation} as c where {sql} order by 1 limit {LISTED + 1}", values
    )
    return [(books.shown(name, value),) for (value,) in found]


def _listed(names: Iterable[Any]) -> str:
    found = [shown(name) for name in names]
    return ", ".join(found[:LISTED]) + (", …" if len(found) > LISTED else "")


def _meant(name: str, names: Iterable[str]) -> str:
    close = difflib.get_close_matches(name, list(names), n=1)
    return f" (is {close[0]} meant?)" if close else ""


def _midnight(day: date, zone_name: str) -> datetime:
    """When a reporting day begins, in UTC as the tables have it."""
    local = datetime(day.year, day.month, day.day, tzinfo=ZoneInfo(zone_name))
    return local.astimezone(ZoneInfo("UTC")).replace(tzinfo=None)
