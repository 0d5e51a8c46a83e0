"""The same facts give the same numbers, however their files are cut, named, ordered, packed, repeated or timed."""

import gzip
import random as python_random
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path

from hypothesis import given, note, settings
from hypothesis import strategies as st
from random_sites import OPEN, RandomSite, random_sites, told
from test_ledger_properties import SITES, written

from capacity_dagster.site_file import Site

Files = dict[str, str | bytes]
SEEDS = st.integers(0, 999)


def records_of(path: str, text: str) -> tuple[str, list[str], str]:
    """A file's header, its records, and what separates them."""
    if path.endswith("nodes.txt"):
        return "", text.split("\n\n"), "\n\n"
    header, *records = text.removesuffix("\n").split("\n")
    return f"{header}\n", records, "\n"


def delivered_otherwise(site: RandomSite, dice: python_random.Random) -> Files:
    """The same facts: lines in another order, in overlapping pieces with other names, some packed, some twice.

    Among the jobs are older records, of when the attempts that are over still ran.
    """
    found: Files = {}
    for path, text in site.files().items():
        if path.endswith("as_of.txt"):
            found[path] = text
            continue
        header, records, separator = records_of(path, text)
        dice.shuffle(records)
        pieces = [records]
        if len(records) > 1:
            middle = dice.randrange(1, len(records))
            pieces = [records[: middle + 1], records[middle:]]
        if path.endswith("jobs.psv"):
            pieces.append([older for record in records if (older := as_it_ran(header, record))])
        folder, _, name = path.rpartition("/")
        for number, piece in enumerate(pieces):
            content: str | bytes = header + separator.join(piece) + "\n"
            if dice.random() < 0.5:
                content = gzip.compress(content.encode(), mtime=0)
            names = [f"{name.partition('.')[0]}-{dice.randrange(100)}{number}{extra}" for extra in (".txt", "")]
            for each in names[: dice.choice((1, 1, 2))]:
                found[f"{folder}/{each}".removeprefix("/")] = content
    return found


def as_it_ran(header: str, record: str) -> str | None:
    """What sacct said about an attempt that is over, while it ran."""
    columns = header.strip().split("|")
    values = dict(zip(columns, record.split("|", len(columns) - 1), strict=True))
    if values["State"] in OPEN or "Unknown" in (values["Start"], values["End"]):
        return None
    return "|".join((values | {"State": "RUNNING", "End": "Unknown", "ElapsedRaw": "1"}).values())


def write_into(site: Site, files: Mapping[str, str | bytes]) -> None:
    for path, content in files.items():
        file = site.landing / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(content.encode() if isinstance(content, str) else content)


def arriving(files: Mapping[str, str | bytes], batches: int, dice: python_random.Random) -> list[Files]:
    """Files in batches, in a random order."""
    paths = list(files)
    dice.shuffle(paths)
    return [{path: files[path] for path in paths[number::batches]} for number in range(batches)]


def test_random_sites_delivered_otherwise_have_the_same_content(
    build, content_of: Callable[[Site], dict[str, str]]
) -> None:
    @settings(SITES, max_examples=3)
    @given(random_sites(most_clusters=3), SEEDS)
    def one_site(random: RandomSite, seed: int) -> None:
        dice = python_random.Random(seed)
        files = delivered_otherwise(random, dice)
        batches = arriving(files, 2, dice)
        note(random.toml())
        note(told(random.files()))
        note(f"arriving: {[list(batch) for batch in batches]}")
        with tempfile.TemporaryDirectory() as folder:
            plain = written(Path(folder) / "plain", random.toml(), random.files())
            build(plain)
            at_once = written(Path(folder) / "at_once", random.toml("[resources]\nthreads = 1"), files)
            build(at_once)
            assert content_of(at_once) == content_of(plain)
            piecemeal = written(Path(folder) / "piecemeal", random.toml("[resources]\nthreads = 3"), {})
            for batch in batches:
                write_into(piecemeal, batch)
                build(piecemeal)
            assert content_of(piecemeal) == content_of(plain)

    one_site()


def test_random_sites_publish_the_same_bytes(build, published_by: Callable[[Site], dict[str, str]]) -> None:
    @settings(SITES, max_examples=2)
    @given(random_sites(most_clusters=3), SEEDS)
    def one_site(random: RandomSite, seed: int) -> None:
        dice = python_random.Random(seed)
        note(random.toml())
        note(told(random.files()))
        with tempfile.TemporaryDirectory() as folder:
            plain = published_by(written(Path(folder) / "plain", random.toml(), random.files()))
            piecemeal = written(Path(folder) / "piecemeal", random.toml("[resources]\nthreads = 1"), {})
            first, last = arriving(random.files(), 2, dice)
            write_into(piecemeal, first)
            build(piecemeal)
            write_into(piecemeal, last)
            assert published_by(piecemeal) == plain
            otherwise = published_by(
                written(Path(folder) / "otherwise", random.toml(), delivered_otherwise(random, dice))
            )
            # These say where records came from, and how well.
            told_apart = ("parquet/report/data_trust_daily", "parquet/report/trust_daily", "parquet/mart/attempts")
            assert {path: sha256 for path, sha256 in otherwise.items() if not path.startswith(told_apart)} == {
                path: sha256 for path, sha256 in plain.items() if not path.startswith(told_apart)
            }

    one_site()
