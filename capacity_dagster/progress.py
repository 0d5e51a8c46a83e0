"""Tells whoever waits what a build is doing. Without a listener nothing is told."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Protocol

from capacity_dagster.outcome import Outcome

if TYPE_CHECKING:  # publishing tells its progress
    from capacity_dagster.versions import Publication


class Listener(Protocol):
    """Hears of a build's steps."""

    def started(self, name: str) -> None:
        """A step begins."""

    def finished(self, outcome: Outcome) -> None:
        """A table is up to date."""

    def published(self, publication: "Publication") -> None:
        """A version is published, or is still current."""


_listeners: list[Listener] = []


@contextmanager
def listening(listener: Listener) -> Iterator[None]:
    """Tells a listener of every step in this process, for as long as the context lasts."""
    _listeners.append(listener)
    try:
        yield
    finally:
        _listeners.remove(listener)


def started(name: str) -> None:
    """Tells that a step begins."""
    for listener in _listeners:
        listener.started(name)


def finished(outcome: Outcome) -> None:
    """Tells that a table is up to date."""
    for listener in _listeners:
        listener.finished(outcome)


def published(publication: "Publication") -> None:
    """Tells that a version is published."""
    for listener in _listeners:
        listener.published(publication)
