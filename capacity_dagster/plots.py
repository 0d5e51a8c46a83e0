"""Pictures of a published version, where people would rather look than read: from its queries in `published/plots`.

What belongs here: drawing. What does not: computing, which is the queries'.
"""

import io
import warnings
from pathlib import Path
from typing import Any

import duckdb

from capacity_dagster.tables.catalogue import assets_folder
from capacity_dagster.wording import shown

LOST, KEPT, UNKNOWN = "#b0533c", "#0b6e4f", "#999999"
LINKS = {
    "installed": "#9db4ab",
    "available": "#5f9e87",
    "allocated": "#0b6e4f",
    "sm_active": "#d9a441",
    "productive": "#b0533c",
}
MOST_CURRENCIES, MOST_REASONS = 3, 12
LONGEST_NAME = 60


def draw_plots(database: Path, folder: Path) -> list[str]:
    """Draws what the tables of a published database allow, into a folder; the names of the files."""
    import matplotlib as mpl

    connection = duckdb.connect(str(database), read_only=True)
    try:
        waterfalls = _rows(connection, "cost_waterfall")[:MOST_CURRENCIES]
        chain = _rows(connection, "cost_chain")
    finally:
        connection.close()
    folder.mkdir()
    with (
        warnings.catch_warnings(),
        mpl.rc_context({"text.parse_math": False}),
    ):  # names that were delivered are no formulas
        warnings.filterwarnings("ignore", r"Glyph .* missing from font")  # a box is drawn instead
        if waterfalls:
            _draw_waterfalls(waterfalls, folder / "cost_waterfall.png")
        if chain:
            _draw_chain(chain, folder / "cost_chain.png")
    return sorted(file.name for file in folder.iterdir())


def reasons_picture(reasons: list[dict[str, Any]]) -> bytes:
    """A picture, as PNG, of what was rejected by rule: records, and the accelerator-hours that they are worth."""
    import matplotlib as mpl
    from matplotlib.figure import Figure

    shown = reasons[:MOST_REASONS]
    places = range(len(shown))
    with mpl.rc_context({"text.parse_math": False}):
        figure = Figure(figsize=(10, 1.2 + 0.3 * len(shown)), layout="constrained")
        left, right = figure.subplots(1, 2, sharey=True)
        for axes, column, title in (
            (left, "records", "rejected records"),
            (right, "accelerator_hours", "accelerator-hours that they are worth"),
        ):
            bars = axes.barh(places, [row[column] for row in shown], color=LOST)
            axes.bar_label(bars, [f"{row[column]:,.0f}" for row in shown], fontsize=8, padding=2)
            axes.margins(x=0.15)
            axes.set_title(title, fontsize=10)
            axes.spines[["top", "right"]].set_visible(False)
        left.set_yticks(places, [f"{row['source']}: {row['reject_reason']}" for row in shown])
        left.invert_yaxis()
        buffer = io.BytesIO()
        figure.savefig(buffer, dpi=110, format="png", metadata={"Software": None})
    return buffer.getvalue()


def _rows(connection: duckdb.DuckDBPyConnection, name: str) -> list[dict[str, Any]]:
    sql = (assets_folder() / "published" / "plots" / f"{name}.sql").read_text(encoding="utf-8")
    result = connection.execute(sql)
    names = [column[0] for column in result.description]
    return [dict(zip(names, row, strict=True)) for row in result.fetchall()]


def _label(name: str) -> str:
    """A name in one line that fits, as it would be read aloud: nothing in it turns or hides what stands beside it."""
    name = shown(name)
    return name if len(name) <= LONGEST_NAME else f"{name[:LONGEST_NAME]}…"


def _draw_waterfalls(waterfalls: list[dict[str, Any]], target: Path) -> None:
    from matplotlib.figure import Figure

    figure = Figure(figsize=(10, 3.6 * len(waterfalls)), layout="constrained")
    for axes, row in zip(figure.subplots(len(waterfalls), squeeze=False)[:, 0], waterfalls, strict=True):
        steps = [(name, row[name] or 0.0) for name in list(row)[3:-1]]
        steps = [(name, amount) for name, amount in steps if amount]
        labels = ["paid", *(name.replace("_", " ") for name, _ in steps), "allocated"]
        left = row["paid"]
        bottoms, heights, colours = [0.0], [left], [KEPT]
        for name, amount in steps:
            left -= amount
            bottoms.append(left)
            heights.append(amount)
            colours.append(UNKNOWN if name == "unknown_use" else LOST)
        bars = axes.bar(labels, [*heights, left], bottom=[*bottoms, 0.0], color=[*colours, KEPT], width=0.65)
        axes.bar_label(bars, [f"{height:,.0f}\n{height / row['paid']:.1%}" for height in (*heights, left)], fontsize=8)
        axes.margins(y=0.18)
        axes.set_title(f"What hours cost, by where they went: {row['last_date']:%Y-%m} until day {row['last_date']:%d}")
        axes.set_ylabel(row["currency"])
        axes.yaxis.set_major_formatter("{x:,.0f}")
        axes.spines[["top", "right"]].set_visible(False)
    figure.savefig(target, dpi=110, metadata={"Software": None})


def _draw_chain(chain: list[dict[str, Any]], target: Path) -> None:
    from matplotlib.figure import Figure

    links = [name for name in LINKS if any(row[f"cost_per_{name}_hour"] is not None for row in chain)]
    figure = Figure(figsize=(10, 1.2 + 0.28 * len(links) * len(chain)), layout="constrained")
    axes = figure.subplots()
    height = 0.8 / len(links)
    for number, name in enumerate(links):
        places = [place + number * height for place in range(len(chain))]
        rates = [row[f"cost_per_{name}_hour"] for row in chain]
        bars = axes.barh(places, [rate or 0.0 for rate in rates], height * 0.92, color=LINKS[name], label=name)
        told = ["unknown" if rate is None else f"{rate:,.2f}" for rate in rates]
        axes.bar_label(bars, told, fontsize=8, padding=2)
    axes.set_yticks([place + 0.4 - height / 2 for place in range(len(chain))])
    axes.set_yticklabels([f"{_label(row['pool'])} ({row['currency']})" for row in chain])
    axes.invert_yaxis()
    axes.margins(x=0.12)
    axes.set_title(f"What an accelerator-hour cost at each link of the chain, {chain[0]['usage_month']:%Y-%m}")
    axes.legend(loc="lower right", fontsize=8, frameon=False)
    axes.spines[["top", "right"]].set_visible(False)
    figure.savefig(target, dpi=110, metadata={"Software": None})
