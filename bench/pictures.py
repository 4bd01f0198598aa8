"""Bars with their values: what every benchmark draws."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

__all__ = ["bars", "grouped_bars"]

_SHADES = ("#12526e", "#4f93ad", "#a9cbd8")


def bars(values: dict[str, float], title: str, path: Path) -> None:
    """Draw horizontal bars, the first on top, a line at 1, and write a PNG."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(figsize=(8, 0.55 * len(values) + 1.2))
    names = list(values)[::-1]
    drawn = axes.barh(names, [values[name] for name in names], color="#12526e")
    axes.bar_label(drawn, fmt="%.2f", padding=4)
    axes.axvline(1.0, color="#b03030", linewidth=1)
    axes.set_title(title)
    axes.margins(x=0.12)
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)
    figure.tight_layout()
    figure.savefig(path, dpi=110)
    pyplot.close(figure)


def grouped_bars(panels: Mapping[str, Mapping[str, Mapping[str, float]]], path: Path) -> None:
    """Draw for each panel (title: row: figure: value in [0, 1]) its rows, the first on top, one bar a figure."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    longest = max(len(rows) for rows in panels.values())
    # Panels of the same rows name them once, on the left; others each name their own.
    alike = len({tuple(rows) for rows in panels.values()}) == 1
    figure, grid = pyplot.subplots(
        1,
        len(panels),
        figsize=(1.5 + (5 if alike else 6.5) * len(panels), 0.75 * longest + 1.3),
        sharey=alike,
        squeeze=False,
    )
    for axes, (title, rows) in zip(grid[0], panels.items(), strict=True):
        figures = list(next(iter(rows.values())))
        height = 0.8 / len(figures)
        for number, name in enumerate(figures):
            places = [row + (number - (len(figures) - 1) / 2) * height for row in range(len(rows))]
            values = [row[name] for row in rows.values()]
            drawn = axes.barh(places, values, height, label=name, color=_SHADES[number % len(_SHADES)])
            axes.bar_label(drawn, fmt="%.3f", padding=3, fontsize=7)
        axes.set_yticks(range(len(rows)), list(rows))
        axes.set_xlim(0, 1.1)
        axes.set_title(title)
        for side in ("top", "right"):
            axes.spines[side].set_visible(False)
    for axes in grid[0][: 1 if alike else None]:
        axes.invert_yaxis()
    figure.tight_layout(rect=(0, 0.06, 1, 1))
    handles, labels = grid[0][0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="lower center", ncols=len(labels), fontsize=8, frameon=False)
    figure.savefig(path, dpi=110)
    pyplot.close(figure)
