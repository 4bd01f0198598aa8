"""Draw what the proofs measured: `python -m train.proofs.pictures [train/results]` writes a PNG beside each JSON file."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from train.terminal import run, write

__all__ = ["main"]

_OURS, _PLAIN = "#12526e", "#b9b9b9"


def main(arguments: Sequence[str]) -> int:
    """Run the command; return the exit code."""
    parser = argparse.ArgumentParser(prog="python -m train.proofs.pictures", description=__doc__)
    parser.add_argument("folder", type=Path, nargs="?", default=Path("train/results"))
    folder: Path = parser.parse_args(arguments).folder
    for name, draw in (("speed", _speed), ("curves", _curves), ("learning", _learning), ("sharding", _sharding)):
        path = folder / f"{name}.json"
        if path.is_file():
            figure = draw(json.loads(path.read_text(encoding="utf-8")))
            figure.tight_layout()
            figure.savefig(path.with_suffix(".png"), dpi=110)
            write(f"{path.with_suffix('.png')}\n")
    return 0


def _speed(found: dict[str, Any]) -> Any:
    """Return tokens a second and peak memory of each variant, side by side, the first on top."""
    from matplotlib.figure import Figure

    rows = {name: row for name, row in list(found["variants"].items())[::-1] if "error" not in row}
    figure = Figure(figsize=(11, 0.5 * len(rows) + 1.3))
    left, right = figure.subplots(1, 2, sharey=True)
    colours = [_PLAIN if name.startswith("plain") else _OURS for name in rows]
    for axes, key, target, title in (
        (left, "tokens_per_second", 12_000, f"tokens a second, {found['device']}"),
        (right, "peak_gb", 14, "peak memory, GB"),
    ):
        drawn = axes.barh(list(rows), [row[key] for row in rows.values()], color=colours)
        axes.bar_label(drawn, padding=3)
        axes.axvline(target, color="#b03030", linewidth=1)
        axes.set_title(title)
        axes.margins(x=0.15)
    return figure


def _curves(found: dict[str, Any]) -> Any:
    """Return the losses of the plain recipe under two seeds and of ours, by step."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(7, 4))
    axes = figure.subplots()
    for (name, losses), style in zip(found["losses"].items(), ("-", ":", "--"), strict=True):
        axes.plot(range(1, len(losses) + 1), losses, style, label=name)
    axes.set_xlabel("step")
    axes.set_ylabel("loss (nats per token)")
    axes.legend(frameon=False)
    return figure


def _learning(found: dict[str, Any]) -> Any:
    """Return loss and answer F1 of each variant, side by side, the first on top."""
    from matplotlib.figure import Figure

    rows = found["rows"][::-1]
    names = [row["variant"] for row in rows]
    colours = [_OURS if name.startswith("recipe") else _PLAIN for name in names]
    figure = Figure(figsize=(11, 0.45 * len(rows) + 1.3))
    for axes, key, title in zip(
        figure.subplots(1, 2, sharey=True),
        ("loss", "f1"),
        (f"held-out loss, nats ({found['device']})", "answer F1"),
        strict=True,
    ):
        values = [row[key] for row in rows]
        # Points, since bars that do not begin at 0 would mislead.
        axes.scatter(values, names, color=colours, s=60)
        for value, name in zip(values, names, strict=True):
            axes.annotate(f"{value:.3f}", (value, name), xytext=(8, -4), textcoords="offset points")
        axes.grid(axis="y", color="#eeeeee")
        axes.margins(x=0.2)
        axes.set_title(title)
    return figure


def _sharding(found: dict[str, Any]) -> Any:
    """Return the losses by step of each way to train, and the peak memory of a card."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(11, 3.6))
    left, right = figure.subplots(1, 2)
    for (name, way), style in zip(found["ways"].items(), ("-", "--", ":", "-."), strict=True):
        left.plot(range(1, len(way["losses"]) + 1), way["losses"], style, label=name)
    left.set_xlabel("step")
    left.set_ylabel("loss (nats per answer token)")
    left.legend(frameon=False)
    names = [name for name in found["ways"] if "resumed" not in name]
    drawn = right.barh(names, [found["ways"][name]["peak_gb"] for name in names], color=_OURS)
    right.bar_label(drawn, padding=3)
    right.margins(x=0.15)
    right.set_title("peak memory of a card, GB")
    figure.suptitle(found["device"])
    return figure


if __name__ == "__main__":
    sys.exit(run(main))
