"""Words that messages share."""

from datetime import timedelta


def counted(number: int, noun: str) -> str:
    """A number with its noun: `1 row`, `1,204 rows`."""
    return f"{number:,} {noun}{'' if number == 1 else 's'}"


def printable(text: str, keeps: str = "\n\t") -> str:
    """A text in which each character can be seen; what cannot, or is obeyed by terminals, is its escape: `\\x1b`."""
    if text.isprintable():
        return text
    return "".join(
        each if each.isprintable() or each in keeps else each.encode("unicode_escape").decode() for each in text
    )


def shown(name: str) -> str:
    """A name that others chose, in one line."""
    return printable(name, keeps="")


def lasted(span: timedelta) -> str:
    """How long something takes or is ago, in its largest unit: `3 days`, `5 hours`, `1 minute`."""
    seconds = max(0, int(span.total_seconds()))
    for noun, size in (("day", 86_400), ("hour", 3_600), ("minute", 60)):
        if seconds >= 2 * size or (noun == "minute" and seconds >= size):
            return counted(seconds // size, noun)
    return counted(seconds, "second")
