"""Bars of one colour with their values: what every benchmark draws."""

from __future__ import annotations

from pathlib import Path

__all__ = ["bars"]


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
