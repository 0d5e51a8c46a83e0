"""What a table promises: one row's meaning, key, columns and rules, written once in `contract.yaml`.

What belongs here: the model of a contract and what is computed from it alone. What does not: running anything.
"""

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

Severity = Literal["critical", "warning", "info"]
SEVERITIES: tuple[Severity, ...] = ("critical", "warning", "info")
"""Of a rule that is broken: `critical` blocks publishing, `warning` asks somebody to look, `info` is only told."""
Additive = Literal["yes", "over_entities", "no"]


class _Model(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Column(_Model):
    """What a column name means, everywhere: from `assets_sql/columns.yaml`."""

    type: str
    description: str
    unit: str | None = None
    additive: Additive = "no"
    """`yes`: sums over everything; `over_entities`: sums over entities at one instant; `no`: never sum."""
    personal: Literal["user", "text"] | None = None
    """`user`: names one; `text`: written by people or programs, who may name one in it."""


class Rules(_Model):
    """Rules for one column of one table; each row must keep them."""

    not_null: bool = False
    values: tuple[str, ...] | None = None
    minimum: float | None = None
    maximum: float | None = None
    pattern: str | None = None
    severity: Severity = "critical"


class Delivered(_Model):
    """A column as a source writes it."""

    column: str
    """The name it has in the relation `delivered`, as text."""
    required: bool = False
    aliases: tuple[str, ...] = ()


class Contract(_Model):
    """A table's contract.

    Attributes:
        key: columns that identify a row.
        partition: the column of reporting days by which the table is rebuilt; None: it is rebuilt whole.
        interval: the columns between which a row matters; a changed row re-opens every day in between. Of several
            beginnings the earliest counts; without an end it matters for ever.
        dictionary: columns of which each combination is an entry that is explained without regard to who uses it: its
            rows come and go with their users, and concern nobody else.
        accrues: columns that grow with as_of while the interval is open; that alone re-opens no day.
        provenance: columns that say where a row came from; a change in them alone changes no number.
        prunes_by: columns of an input that the query compares only to leave out early what it would not use anyway; a
            change of them alone does not concern the table.
        relabels: columns of an input, each with the column of the table that shows it and is all that it decides: a
            change of these alone changes nothing but those.
        filed_by: the column of times by whose months and days the published Parquet is split into files, where that is
            not the partition.
        closes_by: the column of days or months by which its rows stay as they were published once a month is closed.
        look_back_days: how many days before a day its rows are computed from: a changed day re-opens as many
            days after it.
        delivered: for raw tables, the columns of a delivery by the name the source's tool gives them.
        identity: for raw tables, the columns that together name the fact that a record is about, so that a rejected
            record and a later one of the same fact are known as such.
        worth: for raw tables, the column of money, and of its currency, that a rejected record is worth.
        free_text: delivered columns in which a tool writes delimiters and line breaks without escaping them.
    """

    description: str
    key: tuple[str, ...]
    columns: dict[str, Rules]
    partition: str | None = None
    interval: tuple[str | tuple[str, ...], str | None] | None = None
    dictionary: tuple[str, ...] = ()
    accrues: tuple[str, ...] = ()
    provenance: tuple[str, ...] = ()
    prunes_by: dict[str, tuple[str, ...]] = {}
    relabels: dict[str, dict[str, str]] = {}
    filed_by: str | None = None
    closes_by: str | None = None
    look_back_days: Annotated[int, Field(ge=0)] = 0
    owner: str = "team:capacity-engineering"
    tags: dict[str, str] = {}
    warnings: tuple[str, ...] = ()
    delivered: dict[str, Delivered] = {}
    unread: tuple[str, ...] = ()
    exported_by: str | None = None
    exported_as: dict[str, str] = {}
    free_text: tuple[str, ...] = ()
    identity: tuple[str, ...] = ()
    worth: tuple[str, str] | None = None

    @field_validator("columns", mode="before")
    @classmethod
    def _spelled_short(cls, columns: Any) -> Any:
        """`column:` alone may be null; `column: not_null` may not."""
        if not isinstance(columns, dict):
            return columns
        short: dict[Any, Any] = {None: {}, "not_null": {"not_null": True}}
        return {
            name: short.get(rules, rules) if rules is None or isinstance(rules, str) else rules
            for name, rules in columns.items()
        }

    @field_validator("delivered", mode="before")
    @classmethod
    def _delivered_short(cls, delivered: Any) -> Any:
        """`Name: column` is short for `Name: {column: column}`."""
        if not isinstance(delivered, dict):
            return delivered
        return {name: {"column": entry} if isinstance(entry, str) else entry for name, entry in delivered.items()}

    @model_validator(mode="after")
    def _named_columns_exist(self) -> "Contract":
        begins, end = self.interval or ((), None)
        named = {*self.key, *self.provenance, *self.accrues, *self.dictionary, *self.identity, *(self.worth or ())}
        named |= {begins} if isinstance(begins, str) else set(begins)
        named |= {name for name in (self.partition, self.filed_by, self.closes_by, self.exported_by, end) if name}
        named |= set(self.exported_as.values())
        named |= {column for shown in self.relabels.values() for column in shown.values()}
        if missing := named - set(self.columns):
            raise ValueError(
                "key, partition, filed_by, closes_by, exported_by, exported_as, interval, identity, worth, relabels "
                "and provenance name columns it does not have: "
                f"{sorted(missing)}"
            )
        if self.files_by and not self.columns[self.files_by].not_null:
            raise ValueError(f"{self.files_by} tells which file a row is published in: it must be not_null")
        return self

    @property
    def first_line(self) -> str:
        """What one row is."""
        return self.description.strip().splitlines()[0]

    @property
    def files_by(self) -> str | None:
        """The column by whose months and days the published Parquet is split into files; None: it is one file."""
        return self.filed_by or self.partition

    @property
    def compared_columns(self) -> list[str]:
        """The columns in which two versions of a row are compared: all but where it came from."""
        return [name for name in self.columns if name not in self.provenance]
