"""The site file: which clusters, sources, zones, accelerators, pools and prices exist at one site.

What belongs here: reading and validating `site.toml`, and the site's folders. What does not: what its keys are
(`site_sections`), reading deliveries.
"""

import hashlib
import os
import tomllib
from importlib.resources import files
from pathlib import Path
from typing import Any, get_args

from pydantic import ValidationError

from capacity_dagster.errors import SiteFileError
from capacity_dagster.site_sections import Section, SiteFile
from capacity_dagster.site_values import listed

SITE_VARIABLE = "CAPACITY_SITE"
HOME_VARIABLE = "CAPACITY_DAGSTER_HOME"


class Site:
    """A site file in its folder: `landing/` (delivered), `work/` (may be deleted), `published/` (durable)."""

    def __init__(self, path: Path, content: SiteFile) -> None:
        self.path = path
        self.folder = path.parent
        self.content = content

    @property
    def sha256(self) -> str:
        """Changes when what the site file says of the numbers does; who is told of failures changes none."""
        return hashlib.sha256(self.content.model_dump_json(exclude={"alerts"}).encode()).hexdigest()

    @property
    def landing(self) -> Path:
        """Where delivered files are read from: the landing folder, or the copy of a store's objects."""
        return self.work / "landing" if self.landing_url else self.folder / self.content.site.landing

    @property
    def landing_url(self) -> str | None:
        """Where files are delivered, if that is an object store."""
        named = self.content.site.landing
        return named.rstrip("/") if "://" in named else None

    @property
    def slurm_clusters(self) -> list[str]:
        """The clusters that Slurm schedules."""
        return sorted(name for name, cluster in self.content.clusters.items() if cluster.scheduler == "slurm")

    @property
    def work(self) -> Path:
        """Databases and read files; may be deleted, and is rebuilt from the landing."""
        return self.folder / "work"

    @property
    def write_lock(self) -> Path:
        """Held by whoever writes the databases."""
        return self.work / "write.lock"

    @property
    def published(self) -> Path:
        """Versions that analysts open; durable."""
        return self.folder / "published"

    def records_file(self, kind: str, load_id: str) -> Path:
        """Parquet of the records that were read from one content of a kind of source."""
        return self.work / "raw" / kind / f"{load_id}.parquet"

    @property
    def dagster_home(self) -> Path:
        """Dagster's own storage: the site's, unless a service has another, which its environment names."""
        return Path(os.environ.get(HOME_VARIABLE) or self.work / "dagster_home")


def shipped_demo() -> Path:
    """The folder of the demo site that is shipped with the package."""
    return Path(str(files("capacity_dagster.demo") / "site"))


def site_path(named: str | os.PathLike[str] | None = None) -> Path:
    """The site file that is meant: the one named, else that of CAPACITY_SITE, else the shipped demo's."""
    chosen = named or os.environ.get(SITE_VARIABLE)
    path = Path(chosen) if chosen else shipped_demo() / "site.toml"
    return (path / "site.toml" if path.is_dir() else path).resolve()


def load_site(named: str | os.PathLike[str] | None = None) -> Site:
    """Reads and validates a site file.

    Raises:
        SiteFileError: it is missing, is not TOML, or a key is unknown, missing or has an unusable value; the message
            names each key, what was found and what was expected.
    """
    path = site_path(named)
    if any(each in str(path.parent) for each in "*?["):
        raise SiteFileError(
            f"{path}: is in a folder whose path has '*', '?' or '[', which Dagster would take for a pattern and "
            "then not find its settings in it; expected another folder"
        )
    try:
        text = path.read_text(encoding="utf-8")
    except OSError as error:
        raise SiteFileError(
            f"{path}: cannot be read ({error.strerror}); expected a site file, such as `capacity init DIR` writes"
        ) from error
    except UnicodeDecodeError as error:
        raise SiteFileError(f"{path}: is not UTF-8 text (byte {error.start}); expected TOML") from error
    try:
        content = SiteFile.model_validate(tomllib.loads(text))
    except tomllib.TOMLDecodeError as error:
        raise SiteFileError(f"{path}: is not TOML: {error}") from error
    except ValidationError as error:
        raise SiteFileError("\n".join(f"{path}: {_explained(problem)}" for problem in error.errors())) from None
    return Site(path, content)


def _explained(problem: Any) -> str:
    key = ".".join(f"[{part + 1}]" if isinstance(part, int) else str(part) for part in problem["loc"])
    key = key.replace(".[", "[")
    match problem["type"]:
        case "extra_forbidden":
            expected = _keys_of(problem["loc"][:-1])
            return f"unknown key '{key}'; expected one of {expected}"
        case "missing":
            return f"key '{key}' is missing"
        case "value_error":
            message = str(problem["ctx"]["error"])
            return f"key '{key}' is {problem['input']!r}; {message}" if key else message
        case _:
            return f"key '{key}' is {problem['input']!r}; {problem['msg'][0].lower()}{problem['msg'][1:]}"


def _keys_of(location: tuple[Any, ...]) -> str:
    """The keys that a section of the site file may have, found by following its annotations."""
    model: Any = SiteFile
    for part in location:
        if isinstance(part, str) and isinstance(model, type) and issubclass(model, Section):
            model = model.model_fields[part].annotation
        else:  # an entry of a list or a table of sections
            model = next(each for each in get_args(model) if isinstance(each, type) and issubclass(each, Section))
    return listed(model.model_fields)
