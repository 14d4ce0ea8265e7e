"""The report's plots as SVG (needs matplotlib)."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import matplotlib
import matplotlib.figure

from benchmarks.growth import AXES

matplotlib.use("svg")
# The same record gives the same file: no date, no random identifiers; text stays text.
matplotlib.rcParams |= {"svg.hashsalt": "minisgd", "svg.fonttype": "none", "axes.grid": True}
MARKERS = "osD^v<>Ph*X"
_LEFT = 10  # microseconds, where the bars of the stages begin


def draw(record: dict[str, Any], folder: Path) -> list[str]:
    """Draw what the record holds; returns the files' names."""
    found = []
    if record["rows"]:
        found.append(_save(_steps(record["rows"]), folder, "steps.svg"))
    if record["stages"]:
        found.append(_save(_stages(record["stages"][0]), folder, "stages.svg"))
    if record["growth"]:
        found.append(_save(_growth(record["growth"]), folder, "growth.svg"))
    return found


def _save(figure: Any, folder: Path, name: str) -> str:
    figure.savefig(folder / name, metadata={"Date": None}, bbox_inches="tight")
    return name


def _steps(rows: list[dict[str, Any]]) -> Any:
    """One line a row, one mark a peer at its median, a bar from min to max."""
    figure = matplotlib.figure.Figure(figsize=(9, 1.2 + 0.6 * len(rows)))
    axes = figure.add_subplot()
    names = list(dict.fromkeys(name for row in rows for name in row["outcomes"]))
    for number, name in enumerate(names):
        told = [(-i, row["outcomes"].get(name, {})) for i, row in enumerate(rows)]
        measured = [(i, t) for i, t in told if "median" in t]
        if measured:
            axes.errorbar(
                *_with_range([t for _, t in measured], [i for i, _ in measured]),
                fmt=MARKERS[number % len(MARKERS)],
                label=name,
            )
    axes.set_xscale("log")
    axes.set_xlabel("microseconds per step")
    axes.set_yticks([-i for i in range(len(rows))], [row["title"] for row in rows])
    axes.legend(loc="center left", bbox_to_anchor=(1, 0.5))
    return figure


def _stages(stages: dict[str, Any]) -> Any:
    """One bar a stage, from the slowest at the top, with its median written beside it."""
    measured = {name: t for name, t in stages["outcomes"].items() if "median" in t}
    figure = matplotlib.figure.Figure(figsize=(8, 0.8 + 0.45 * len(measured)))
    axes = figure.add_subplot()
    places = [-i for i in range(len(measured))]
    median, _, _, (below, above) = _with_range(list(measured.values()), places)
    # From where the axis begins: a bar from 0 would reach beyond the picture.
    widths = [value - _LEFT for value in median]
    axes.barh(places, widths, left=_LEFT, xerr=[below, above], color="tab:blue", alpha=0.7)
    for place, value, more in zip(places, median, above, strict=True):
        axes.text((value + more) * 1.1, place, f"{value:,.0f}", va="center")
    axes.set_yticks(places, [name.replace("`", "") for name in measured])
    axes.set(xscale="log", xlim=(_LEFT, 6 * max(median, default=_LEFT)))
    axes.set_xlabel("microseconds per step (logarithmic)")
    return figure


def _with_range(told: list[dict[str, float]], places: list[int]) -> tuple[Any, ...]:
    median, low, high = ([1e6 * t[key] for t in told] for key in ("median", "min", "max"))
    below = [m - x for m, x in zip(median, low, strict=True)]
    above = [x - m for m, x in zip(median, high, strict=True)]
    return median, places, None, [below, above]


def _growth(entries: list[dict[str, Any]]) -> Any:
    """One log-log panel an axis."""
    figure = matplotlib.figure.Figure(figsize=(10, 8))
    for number, axis in enumerate(AXES):
        panel = figure.add_subplot(2, 2, number + 1)
        mine = [one for one in entries if one["axis"] == axis.key]
        names = list(dict.fromkeys(name for one in mine for name in one["outcomes"]))
        for mark, name in zip(MARKERS, names, strict=False):
            points = [
                (one["point"], one["outcomes"][name]["median"] * one["factor"])
                for one in mine
                if "median" in one["outcomes"].get(name, {})
            ]
            panel.plot(*zip(*points, strict=True), marker=mark, label=name) if points else None
        panel.set(xscale="log", yscale="log", xlabel=axis.title)
        panel.set_ylabel(f"{'microseconds' if axis.unit == 'step' else 'seconds'} per {axis.unit}")
        if names:
            panel.legend()
    figure.tight_layout()
    return figure
