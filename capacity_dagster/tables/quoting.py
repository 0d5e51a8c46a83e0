"""Quoting: nothing that a user delivered reaches SQL text unquoted."""


def identifier(name: str) -> str:
    """A column, table or schema name, quoted."""
    return '"' + name.replace('"', '""') + '"'


def literal(text: object) -> str:
    """A string literal, where a statement takes no parameter."""
    return "'" + str(text).replace("'", "''") + "'"
