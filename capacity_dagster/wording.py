"""Words that messages share."""


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
