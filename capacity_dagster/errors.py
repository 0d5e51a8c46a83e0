"""Errors a person can act on: each message names the file, line or key, what was found and what was expected."""

from capacity_dagster.wording import printable


class CapacityError(Exception):
    """Base of the errors that the command line prints as one message, without a traceback.

    Whatever a message quotes, it can be printed anywhere.
    """

    def __init__(self, message: str) -> None:
        super().__init__(printable(message))


class SiteFileError(CapacityError):
    """The site file cannot be used."""


class SourceError(CapacityError):
    """A delivered file cannot be used as a whole; single bad rows are rejected instead.

    Attributes:
        delivered: what the message quotes of the file, as it does.
    """

    def __init__(self, message: str, *delivered: str) -> None:
        super().__init__(message)
        self.delivered = tuple(printable(text) for text in delivered if text)


class WorkError(CapacityError):
    """The folder of the databases cannot be used, whatever is delivered."""


class CollectionError(CapacityError):
    """Another program was asked for data and did not give them."""


class ClosingError(CapacityError):
    """A month cannot be closed, or opened again."""


class ExplainError(CapacityError):
    """There is no such number to explain."""


class ContractError(CapacityError):
    """A table's SQL and its contract disagree: a defect of ours, never of the data."""
