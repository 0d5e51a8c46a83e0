from dataclasses import replace
from pathlib import Path

import pytest

from capacity_dagster.tables.catalogue import Catalogue, load_catalogue
from capacity_dagster.tables.contract import Column
from capacity_dagster.tables.dictionary import dictionary, main

COMMITTED = Path(__file__).parents[2] / "docs" / "data-dictionary.md"
PUBLISHED = [table.full_name for table in load_catalogue() if table.is_published]


def sections() -> dict[str, str]:
    """The text of each table's section, by the table's full name."""
    parts = dictionary(load_catalogue()).split("\n### `")[1:]
    return {part.partition("`")[0]: part for part in parts}


def test_committed_file_is_fresh() -> None:
    assert COMMITTED.read_text(encoding="utf-8") == dictionary(load_catalogue()), (
        "docs/data-dictionary.md is not what the contracts say: run `python -m capacity_dagster.tables.dictionary`"
    )


def test_every_table_has_one_section() -> None:
    assert sorted(sections()) == sorted(load_catalogue().tables)


@pytest.mark.parametrize("full_name", PUBLISHED)
def test_every_published_column_is_described(full_name: str) -> None:
    table = load_catalogue()[full_name]
    lines = sections()[full_name].splitlines()
    for name, column in table.columns.items():
        assert column.description.strip()
        (row,) = [line for line in lines if line.startswith(f"| `{name}` |")]
        assert column.type in row


@pytest.mark.parametrize("full_name", PUBLISHED)
def test_every_published_table_says_what_one_row_is(full_name: str) -> None:
    assert load_catalogue()[full_name].contract.first_line.startswith("One row per ")


def test_pipes_and_line_breaks_do_not_end_a_cell() -> None:
    table = load_catalogue()["report.data_trust_daily"]
    column = Column(type="VARCHAR", description="one | two\nthree")
    text = dictionary(Catalogue([replace(table, columns={"cluster": column})]))
    assert "| `cluster` | VARCHAR |  | no |  | one \\| two three |" in text.splitlines()


def test_writes_the_file_that_is_named(tmp_path: Path) -> None:
    main([str(tmp_path / "docs" / "dictionary.md")])
    assert (tmp_path / "docs" / "dictionary.md").read_text(encoding="utf-8") == dictionary(load_catalogue())
