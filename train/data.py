"""`python -m train.data CONFIG`: the gate before any GPU time; what the rows hold, what is learnt of them, what it costs."""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Sequence
from itertools import groupby
from pathlib import Path
from typing import Any

from rag_core.terminal import plain
from train.encoding import Encoder, Example, limited
from train.errors import DataError, DiskError
from train.findings import Part, Report, Source
from train.rows import COLUMNS, Split
from train.settings import TrainSettings, load_settings
from train.terminal import command_parser, note, run, write

__all__ = ["main", "marked_text", "plot_lengths"]

_DESCRIPTION = """Look at the rows before any GPU time is spent: columns, empty and repeated rows, lengths and what is cut,
held-out rows that training sees too, and one row as the model sees it, what is learnt in colour.

Ends with 1 where training must not start."""
_EXAMPLES = """
python -m train.data train/configs/mistral-7b-p100.yaml
python -m train.data train/configs/smollm2-cpu.yaml --set data.train=rows.jsonl --row 3 --plot lengths.png
python -m train.data train/configs/t4x2.yaml --devices 2 --json
"""
_REPORT_EVERY = 5_000
_LEARNT, _READ, _CONTROL, _PLAIN = "\x1b[32m", "\x1b[2m", "\x1b[7m", "\x1b[0m"


def main(arguments: Sequence[str]) -> int:
    """Run the command; return the exit code: 0 where training may start, 1 where it must not."""
    parser = command_parser("data", _DESCRIPTION, _EXAMPLES)
    parser.add_argument("config", help="YAML file; profiles are in train/configs")
    parser.add_argument("--set", action="append", default=[], metavar="SECTION.KEY=VALUE", help="change one setting")
    parser.add_argument("--row", type=_positive, metavar="N", help="training row to show, counted from 1 (default 1)")
    parser.add_argument("--devices", type=_positive, default=1, metavar="N", help="GPUs, for the number of steps")
    parser.add_argument("--plot", type=Path, metavar="FILE.png", help="write histograms of the lengths")
    parser.add_argument("--json", action="store_true", help="write everything as one JSON object")
    options = parser.parse_args(arguments)
    settings = load_settings(options.config, options.set)

    from train.base import base_folder, base_name
    from train.gate import examine

    encoder = Encoder(base_folder(settings.base, weights=False), base_name(settings.base))
    report, split = examine(settings, encoder, options.devices, _tell)
    if options.plot and report.parts:
        plot_lengths(report.parts, settings.data.max_tokens, options.plot)
    shown = _shown(split, options.row or 1, settings, encoder)
    if options.json:
        row = {"row": _row_values(options.row, shown, encoder)} if options.row and shown else {}
        write(json.dumps({**report.plain(), **row}, ensure_ascii=False, indent=1) + "\n")
        return 0 if report.passed else 1
    write(_summary(report, settings))
    if shown:
        write(f"\n{_row_text(options.row or 1, shown, encoder)}\n")
    write(_findings(report))
    return 0 if report.passed else 1


def _positive(text: str) -> int:
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text} is no whole number from 1")
    return int(text)


def _tell(done: int, total: int) -> None:
    if done % _REPORT_EVERY == 0 and total > _REPORT_EVERY:
        note(f"{done:,} of {total:,} rows encoded")


def _shown(split: Split | None, number: int, settings: TrainSettings, encoder: Encoder) -> Example | None:
    """Return a training row as a run would use it, whole where it would not be used."""
    if split is None:
        return None
    if number > len(split.train):
        raise DataError(f"--row {number}: there are {len(split.train):,} training rows")
    example = encoder.encode(split.train[number - 1])
    return limited(example, settings.data.max_tokens, settings.data.overlong) or example


def _summary(report: Report, settings: TrainSettings) -> str:
    lines = []
    for source in report.sources:
        lines.append(f"{source.name}: {source.rows:,} rows; columns {_columns(source)}")
    if report.parts:
        lines.append("")
        lines.append(f"{'tokens':<18}{'least':>9}{'median':>9}{'95 %':>9}{'most':>9}")
    for part in report.parts:
        for name, spread in (("prompt", part.prompt), ("answer", part.answer), ("total", part.total)):
            values = (spread.minimum, spread.median, spread.p95, spread.maximum)
            lines.append(f"{part.name + ' ' + name:<18}" + "".join(f"{value:>9,}" for value in values))
    for part in report.parts:
        without = part.rows - part.with_context
        lines.append(
            f"{part.name}: {part.rows:,} rows, {part.with_context:,} with a context, {without:,} without; "
            f"over {settings.data.max_tokens} tokens: {part.cut:,} cut, {part.lost:,} left out"
        )
    if effort := report.effort:
        cards = f"{effort.devices} devices" if effort.devices > 1 else "one device"
        lines.append(
            f"epoch: {effort.tokens_per_epoch:,} tokens, {effort.answer_tokens_per_epoch:,} of them learnt, "
            f"{effort.padding:.1%} padding on top; {effort.steps_per_epoch:,} steps on {cards}"
        )
        lines.append(f"run: {effort.steps:,} steps")
    return plain("\n".join(lines), keep="\n") + "\n"


def _columns(source: Source) -> str:
    """Return the columns, with their types where not all of their values are text."""
    kinds = {name: "" if kind == "text" else f" ({kind})" for name, kind in source.columns.items()}
    return ", ".join(f"{name}{kind}{'' if name in COLUMNS else ' not read'}" for name, kind in kinds.items())


def _findings(report: Report) -> str:
    """Return a line for each finding, the worst first, and the verdict."""
    lines = [f"{item.severity}: {item.text}; {item.advice}" for item in report.findings]
    verdict = "Training may start." if report.passed else "Training must not start: mend the errors first."
    return plain("\n".join(["", *lines, verdict]), keep="\n") + "\n"


def _row_text(number: int, example: Example, encoder: Encoder) -> str:
    colour = sys.stdout.isatty() and "NO_COLOR" not in os.environ and os.environ.get("TERM") != "dumb"
    learnt = len(example) - example.answer_start
    end = "its end is cut" if example.cut else "the last of them ends the turn"
    how = "in green" if colour else "between >>> and <<<"
    head = f"row {number}: {len(example):,} tokens, the {learnt:,} {how} are learnt, {end}"
    return f"{head}\n{marked_text(example, encoder, colour=colour)}"


def marked_text(example: Example, encoder: Encoder, *, colour: bool) -> str:
    """Return the text of a row with its control tokens, what is learnt in green, or between >>> and <<< without colour."""
    control = encoder.tokenizer.control_ids
    places = [(index >= example.answer_start, token in control) for index, token in enumerate(example.ids)]
    parts, was_learnt = [], False
    for (learnt, is_control), group in groupby(range(len(example)), key=places.__getitem__):
        text = plain(encoder.tokenizer.decode([example.ids[index] for index in group], control=True), keep="\n\t")
        if colour:
            parts.append(f"{_LEARNT if learnt else _READ}{_CONTROL if is_control else ''}{text}{_PLAIN}")
        else:
            parts.append(text if learnt == was_learnt else f">>>{text}")
        was_learnt = learnt
    return "".join(parts) + ("<<<" if was_learnt and not colour else "")


def _row_values(number: int, example: Example, encoder: Encoder) -> dict[str, Any]:
    return {
        "number": number,
        "ids": list(example.ids),
        "answer_start": example.answer_start,
        "cut": example.cut,
        "text": marked_text(example, encoder, colour=False),
    }


def plot_lengths(parts: Sequence[Part], limit: int, path: Path) -> None:
    """Write histograms of prompts, answers and whole rows in tokens, both parts, with the limit. Raises DiskError."""
    try:
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.figure import Figure
    except ImportError as error:
        raise DataError("--plot needs matplotlib; pip install matplotlib") from error
    figure = Figure(figsize=(12, 3.5), layout="constrained")
    FigureCanvasAgg(figure)
    for axes, (title, pick) in zip(
        figure.subplots(1, 3),
        (("prompt", lambda row: row[0]), ("answer", lambda row: row[1]), ("prompt and answer", sum)),
        strict=True,
    ):
        values = [[pick(row) for row in part.lengths] for part in parts]
        # Shares, so that the few held-out rows can be seen beside the many training rows.
        weights = [[1 / len(lengths)] * len(lengths) for lengths in values]
        axes.hist(values, bins=40, weights=weights, label=[part.name for part in parts])
        if title == "prompt and answer":
            axes.axvline(limit, color="black", linestyle="--", label=f"data.max_tokens {limit}")
        axes.set_title(title)
        axes.set_xlabel("tokens")
        axes.legend()
    figure.axes[0].set_ylabel("share of rows")
    try:
        figure.savefig(path)
    except (OSError, ValueError) as error:  # ValueError: a suffix that is no picture's.
        raise DiskError(f"--plot {path} cannot be written ({error})") from error


if __name__ == "__main__":
    sys.exit(run(main))
