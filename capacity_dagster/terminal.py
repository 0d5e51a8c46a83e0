"""A terminal that obeys nobody but us: what was delivered is printed, escape sequences in it are shown.

What belongs here: printing. What does not: what is printed (`cli`, `summary`).
"""

from collections.abc import Iterable

from rich.console import Console, ConsoleOptions, RenderableType
from rich.segment import Segment

from capacity_dagster.wording import printable


class Terminal(Console):
    """A console on which texts can only be read, whatever they are part of: messages, tables, logs, the status line.

    Colours and the movements of the cursor are no text to rich, and stay.
    """

    def render(self, renderable: RenderableType, options: ConsoleOptions | None = None) -> Iterable[Segment]:
        """What a thing looks like, with the characters that a terminal would obey as their escapes."""
        for segment in super().render(renderable, options):
            yield segment if segment.control else segment._replace(text=printable(segment.text))
