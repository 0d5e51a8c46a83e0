"""Words that messages share."""

from datetime import timedelta


def counted(number: int, noun: str) -> str:
    """A number with its noun: `1 row`, `1,204 rows`."""
    return f"{number:,} {noun}{'' if number == 1 else 's'}"


def lasted(span: timedelta) -> str:
    """How long something takes or is ago, in its largest unit: `3 days`, `5 hours`, `1 minute`."""
    seconds = max(0, int(span.total_seconds()))
    for noun, size in (("day", 86_400), ("hour", 3_600), ("minute", 60)):
        if seconds >= 2 * size or (noun == "minute" and seconds >= size):
            return counted(seconds // size, noun)
    return counted(seconds, "second")
