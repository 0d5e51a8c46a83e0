"""Pseudonyms: where a site wishes it, users are named by a keyed hash, and what was delivered is not quoted.

What belongs here: the key, the pseudonym, what is withheld of samples and messages. What does not: which columns hold
pseudonyms, which is the SQL of their tables.

The key never leaves the process: what SQL computes with are variables of its connection, in memory alone. Of tables
only `site.privacy` knows anything of it, an identifier that tells one key from another.
"""

import hashlib
import hmac
import os
import re
from pathlib import Path
from typing import Any

import duckdb

from capacity_dagster.errors import SiteFileError, SourceError
from capacity_dagster.site_file import Site
from capacity_dagster.tables.catalogue import personal_columns

SHORTEST_KEY = 32
"""Bytes; what `openssl rand -hex 32` writes has twice as many."""
DIGITS = 16
"""Of a pseudonym, hexadecimal: among 100,000 users two have the same once in four billion sites."""
BLOCK = 64
"""Bytes that SHA-256 takes at once, to which HMAC pads its key."""
WITHHELD = "(withheld)"


def pseudonym_key(site: Site) -> bytes | None:
    """The site's key; None where users are called by their names.

    Raises:
        SiteFileError: it is missing or too short, or lies where others look.
    """
    privacy = site.content.privacy
    if not privacy.pseudonymise_users:
        return None
    if privacy.key_variable is not None:
        where = f"{site.path}: the environment variable '{privacy.key_variable}' that privacy.key_variable names"
        given = os.environ.get(privacy.key_variable)
        if given is None:
            raise SiteFileError(f"{where} is not set; expected {_expected()}")
        key = os.fsencode(given).strip()
    else:
        file = site.folder / str(privacy.key_file)
        where = f"{site.path}: the file {file} that privacy.key_file names"
        for folder in (site.landing, site.work, site.published):
            if file.resolve().is_relative_to(folder.resolve()):
                raise SiteFileError(f"{where} is inside {folder}; expected one beside the site file, or elsewhere")
        key = _read(file, where).strip()
    if len(key) < SHORTEST_KEY:
        raise SiteFileError(f"{where} has {len(key)} bytes; expected {_expected()}")
    return key


def _read(file: Path, where: str) -> bytes:
    try:
        return file.read_bytes()
    except OSError as error:
        raise SiteFileError(f"{where} cannot be read ({error.strerror}); expected {_expected()}") from error


def _expected() -> str:
    return f"at least {SHORTEST_KEY} bytes that nobody can guess, such as `openssl rand -hex 32` writes"


def pseudonym(key: bytes, name: str) -> str:
    """What a user is called: HMAC-SHA-256 of the name, shortened. The macro `pseudonym` says the same."""
    return f"u_{hmac.new(key, name.encode(), hashlib.sha256).hexdigest()[:DIGITS]}"


def key_id(key: bytes | None) -> str | None:
    """Tells one key from another, and nothing else: no user has a NUL in its name."""
    return None if key is None else hmac.new(key, b"\0key", hashlib.sha256).hexdigest()[:DIGITS]


def prepare(connection: duckdb.DuckDBPyConnection, key: bytes | None) -> None:
    """Lets the macro `pseudonym` of a connection compute with a key: HMAC's two paddings of it."""
    if key is None:
        return
    block = (hashlib.sha256(key).digest() if len(key) > BLOCK else key).ljust(BLOCK, b"\0")
    for name, pad in (("inner", 0x36), ("outer", 0x5C)):
        connection.execute(f"set variable pseudonym_{name}_key = $1::blob", [bytes(byte ^ pad for byte in block)])


def concealed(connection: duckdb.DuckDBPyConnection, rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Sample rows as they may be shown: where users have pseudonyms, by these, and without texts that may name them."""
    if not rows or not connection.execute("select getvariable('pseudonym_inner_key') is not null").fetchall()[0][0]:
        return rows
    kinds = {**personal_columns(), "record_text": "text"}
    named = sorted({row[name] for row in rows for name in row if kinds.get(name) == "user" and row[name]})
    shown = dict(
        connection.execute(
            "select name, case when regexp_full_match(name, 'u_[0-9a-f]{16}') then name else pseudonym(name) end "
            "from (select unnest(?::varchar[]) as name)",
            [named],
        ).fetchall()
    )

    def cell(name: str, value: Any) -> Any:
        match kinds.get(name):
            case "user":
                return shown.get(value, value)
            case "text":
                return WITHHELD if value else value
            case _:
                return value

    return [{name: cell(name, value) for name, value in row.items()} for row in rows]


def discreet(name: str, value: Any) -> Any:
    """A cell as a command may print it that has no key: a pseudonym, but no name and no text that may have one."""
    kind = personal_columns().get(name)
    if not kind or not value or (kind == "user" and re.fullmatch(f"u_[0-9a-f]{{{DIGITS}}}", str(value))):
        return value
    return WITHHELD


def told(site: Site, error: SourceError) -> str:
    """Why a delivery cannot be used; where users have pseudonyms, without a word of what was delivered."""
    if not site.content.privacy.pseudonymise_users:
        return str(error)
    message = str(error)
    for text in sorted(error.delivered, key=len, reverse=True):
        message = message.replace(text, WITHHELD)
    return message
