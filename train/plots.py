"""Pictures of a run: its losses while it trained, and its checkpoints side by side."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = ["plot_comparison", "plot_losses"]

_SHARES = {"token_accuracy": "token accuracy", "f1": "answer F1", "exact": "exact match", "numeric": "numeric match"}
_STYLES = ("-", "--", ":", "-.")
# Weight of a new step in the smoothed loss.
_SMOOTHING = 0.1


def plot_losses(log_lines: Iterable[Mapping[str, Any]], path: Path | None = None) -> Figure:
    """Return a picture of the events of a log: loss of each step, smoothed too, and held-out loss, in nats per token.

    It is written to `path` (a .png) where one is given. Raises ImportError without matplotlib, OSError.
    """
    events = list(log_lines)
    figure, (axes,) = _figure(1)
    steps = [(event["step"], event["loss"]) for event in events if event.get("event") == "step"]
    held_out = [(event["step"], event["loss"]) for event in events if event.get("event") == "eval"]
    if steps:
        axes.plot(*zip(*steps, strict=True), color="tab:blue", alpha=0.3, linewidth=1, label="training, each step")
        axes.plot(*zip(*_smoothed(steps), strict=True), color="tab:blue", label="training, smoothed")
    if held_out:
        axes.plot(*zip(*held_out, strict=True), color="tab:orange", marker="o", label="held out")
    _label(axes, "loss (nats per answer token)")
    return _finished(figure, path)


def plot_comparison(results: Sequence[Mapping[str, Any]], path: Path | None = None, best: int | None = None) -> Figure:
    """Return a picture of results: loss by step, and beside it the shares that were measured, a line for each run.

    A result has `run`, `step` (None: the untouched base, drawn as a level), `loss`, `token_accuracy` and, where answers
    were generated, `f1`, `exact` and `numeric`. `best` is the number of the result to mark. Written as `plot_losses` does.
    """
    figure, (losses, shares) = _figure(2)
    runs = list(dict.fromkeys(result["run"] for result in results if result["step"] is not None))
    measured = [key for key in _SHARES if any(result.get(key) is not None for result in results)]
    colours = [f"C{number}" for number in range(10)]
    for number, run in enumerate(runs):
        colour = colours[number % 10]
        _line(losses, results, run, "loss", run, color=colour)
        for style, key in zip(_STYLES, measured, strict=False):
            # With one run the colours tell the measures apart, with several the runs.
            tint = colours[measured.index(key)] if len(runs) == 1 else colour
            label = _SHARES[key] if len(runs) == 1 else f"{_SHARES[key]}, {run}"
            _line(shares, results, run, key, label, color=tint, linestyle=style)
    for result in results:
        if result["step"] is None:
            losses.axhline(result["loss"], color="grey", linestyle="--", label="base")
            for key in measured:
                if result.get(key) is not None:
                    tint = colours[measured.index(key)] if len(runs) == 1 else "grey"
                    shares.axhline(result[key], color=tint, linestyle=_STYLES[measured.index(key)], alpha=0.4)
    if best is not None and results[best]["step"] is not None:
        losses.plot(results[best]["step"], results[best]["loss"], "*", color="black", markersize=14, label="best")
    _label(losses, "held-out loss (nats per answer token)")
    _label(shares, "share of held-out tokens or answers (faint: base)")
    shares.set_ylim(0, 1)
    return _finished(figure, path)


def _line(axes: Axes, results: Sequence[Mapping[str, Any]], run: str, key: str, label: str, **style: Any) -> None:
    points = [
        (result["step"], result[key])
        for result in results
        if result["run"] == run and result["step"] is not None and result.get(key) is not None
    ]
    if points:
        axes.plot(*zip(*sorted(points), strict=True), marker="o", label=label, **style)


def _figure(panels: int) -> tuple[Figure, list[Axes]]:
    # Not pyplot: it keeps figures alive, and asks for a display.
    from matplotlib.figure import Figure

    figure = Figure(figsize=(7.0 * panels, 4.5), layout="constrained")
    return figure, [figure.add_subplot(1, panels, number + 1) for number in range(panels)]


def _label(axes: Axes, measure: str) -> None:
    from matplotlib.ticker import MaxNLocator

    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.set_xlabel("optimizer step")
    axes.set_ylabel(measure)
    axes.grid(alpha=0.3)
    if axes.get_legend_handles_labels()[0]:
        axes.legend(fontsize="small")


def _finished(figure: Figure, path: Path | None) -> Figure:
    if path is not None:
        figure.savefig(path, dpi=120)
    return figure


def _smoothed(points: Sequence[tuple[int, float]]) -> list[tuple[int, float]]:
    """Return the exponential moving average, without the pull of its start to zero (as in Adam, arXiv:1412.6980)."""
    average, smooth = 0.0, []
    for count, (step, value) in enumerate(points, start=1):
        average += _SMOOTHING * (value - average)
        smooth.append((step, average / (1 - (1 - _SMOOTHING) ** count)))
    return smooth
