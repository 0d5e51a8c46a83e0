"""What has been published: versions, and the link to the one that is current.

What belongs here: reading them. What does not: making one (`publish`), months that are closed (`closing`).
"""

import hashlib
import json
from dataclasses import dataclass
from functools import cache
from importlib.metadata import version as package_version
from pathlib import Path
from typing import Any

from capacity_dagster.tables.catalogue import assets_folder, load_catalogue

CURRENT = "current"
VERSIONS = "versions"
MANIFEST = "manifest.json"


@dataclass(frozen=True)
class Publication:
    """A published version.

    Attributes:
        folder: the immutable folder, resolved: what a reader should open.
        is_new: false where nothing changed since it was published.
    """

    folder: Path
    manifest: dict[str, Any]
    is_new: bool


def current(published: Path) -> Publication | None:
    """What is published now, if anything that can be read."""
    try:
        folder = (published / CURRENT).resolve(strict=True)
    except (OSError, RuntimeError):  # a link that leads to itself is a RuntimeError
        return None
    return read_publication(folder)


def read_publication(folder: Path) -> Publication | None:
    """The version in a folder, if it is one."""
    try:
        manifest = json.loads((folder / MANIFEST).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    if not isinstance(manifest, dict) or not manifest.keys() >= {"version", "code_version", "state", "tables"}:
        return None
    return Publication(folder, manifest, is_new=False)


@cache
def code_version() -> str:
    """The version of the package, and a digest of its SQL and contracts."""
    digest = hashlib.sha256("".join(table.code_hash for table in load_catalogue()).encode())
    for file in sorted((assets_folder() / "published").rglob("*.sql")):
        digest.update(file.read_bytes())
    return f"{package_version('capacity-dagster')}+{digest.hexdigest()[:12]}"
