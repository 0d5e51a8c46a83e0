"""Errors a person can act on: each message names the file, line or key, what was found and what was expected."""


class CapacityError(Exception):
    """Base of the errors that the command line prints as one message, without a traceback."""


class SiteFileError(CapacityError):
    """The site file cannot be used."""


class SourceError(CapacityError):
    """A delivered file cannot be used as a whole; single bad rows are rejected instead."""


class WorkError(CapacityError):
    """The folder of the databases cannot be used, whatever is delivered."""


class CollectionError(CapacityError):
    """Another program was asked for data and did not give them."""


class ClosingError(CapacityError):
    """A month cannot be closed, or opened again."""


class ContractError(CapacityError):
    """A table's SQL and its contract disagree: a defect of ours, never of the data."""
