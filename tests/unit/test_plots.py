"""Pictures of a published version: drawn of what there is, whatever things are called."""

from datetime import date
from pathlib import Path

import duckdb
import pytest

from capacity_dagster.plots import _label, draw_plots
from capacity_dagster.tables.catalogue import Catalogue

PNG = b"\x89PNG\r\n\x1a\n"
TABLES = (
    "report.fleet_efficiency_daily",
    "report.cost_per_accelerator_hour_daily",
    "report.cost_per_accelerator_hour_monthly",
)


@pytest.fixture
def database(tmp_path: Path, catalogue: Catalogue) -> Path:
    """A published file with a day of a pool that has an awkward name, and nothing in its other tables."""
    file = tmp_path / "capacity.duckdb"
    with duckdb.connect(str(file)) as connection:
        connection.execute("create schema report")
        for name in TABLES:
            connection.execute(catalogue[name].ddl(name))
    return file


def insert(database: Path, table: str, **values: object) -> None:
    names = ", ".join(values)
    with duckdb.connect(str(database)) as connection:
        connection.execute(
            f"insert into {table} ({names}) values ({', '.join('?' * len(values))})", list(values.values())
        )


def test_nothing_is_drawn_of_nothing(database: Path, tmp_path: Path) -> None:
    assert draw_plots(database, tmp_path / "plots") == []


@pytest.mark.parametrize("pool", [r"$\frac{1}{", "<script>", "模型", "a" * 200, "a\nb\x1b]0;c\x07\u202e\0"])
def test_a_waterfall_and_a_chain_are_drawn(database: Path, tmp_path: Path, pool: str) -> None:
    where = {"cluster": "alpha", "pool": pool, "accelerator_model": "h100"}
    day = date(2026, 1, 5)
    seconds = {"installed_unit_seconds": 100, "idle_unit_seconds": 40, "allocated_unit_seconds": 60}
    insert(database, TABLES[0], usage_date=day, **where, **seconds)
    insert(database, TABLES[1], usage_date=day, **where, currency="USD", known_cost=10)
    rates = {"cost_per_installed_hour": 1.0, "cost_per_available_hour": 1.5, "cost_per_allocated_hour": None}
    insert(database, TABLES[2], usage_month=date(2026, 1, 1), **where, currency="USD", cost=10, **rates)
    assert draw_plots(database, tmp_path / "plots") == ["cost_chain.png", "cost_waterfall.png"]
    assert draw_plots(database, tmp_path / "again") == ["cost_chain.png", "cost_waterfall.png"]
    for name in ("cost_chain.png", "cost_waterfall.png"):
        content = (tmp_path / "plots" / name).read_bytes()
        assert content.startswith(PNG)
        assert content == (tmp_path / "again" / name).read_bytes()


def test_a_label_is_one_line_in_which_each_character_can_be_seen() -> None:
    assert _label("a\nb\x1b]0;c\x07\u202ed") == "a\\nb\\x1b]0;c\\x07\\u202ed"
    assert _label("模型") == "模型"
    assert _label("a" * 200) == "a" * 60 + "…"
