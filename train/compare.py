"""Score the checkpoints of runs and the untouched base on the same held-out rows, and name the best."""

from __future__ import annotations

import json
import math
import time
from argparse import ArgumentParser, BooleanOptionalAction, Namespace
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from train.checkpoint import disk_error
from train.comparison import BASE, Bench, HeldOut, Result, Run, best_result, find_run, held_out
from train.errors import HubError
from train.hub import BEST_TAG, tag
from train.terminal import command_parser, note, run, write
from train.upload import is_uploaded

__all__ = ["main"]

_MEASURES = ("loss", "token_accuracy", "f1", "exact", "numeric")
_DESCRIPTION = """Score every checkpoint of the runs, and the untouched base, on the same held-out rows: those of the first run.

loss (nats) and token accuracy are per answer token; F1, exact and numeric match are of answers that the model wrote itself,
greedily. The best checkpoint is named, recorded in RUN/best.json and tagged `best` on the Hub."""
_EXAMPLES = """
python -m train.compare runs/mistral-7b-finance
python -m train.compare runs/alpha-4 runs/alpha-16 --rows 200 --generate 0
python -m train.compare owner/finance-checkpoints --by f1 --generate 200
python -m train.compare runs/smollm2-cpu --set data.eval=held_out.jsonl --no-tag
"""
_NOTES = """A RUN is the folder of a run or of a checkpoint, or owner/name[@revision] on the Hub. In DIR are written
compare.json (all scores), compare.png and answers.jsonl (what each checkpoint answered)."""
# Seconds between lines about the progress of one checkpoint.
_QUIET_SECONDS = 15.0


def main(arguments: Sequence[str]) -> int:
    """Run the command; return the exit code. Raises TrainError."""
    parser = _parser()
    options = parser.parse_args(arguments)
    if options.rows < 0 or options.generate < 0 or options.max_new_tokens < 1:
        parser.error("--rows and --generate take 0 or more, --max-new-tokens 1 or more")
    if not options.generate and options.by in ("f1", "exact", "numeric"):
        parser.error(f"--by {options.by} needs answers; --generate 100 writes some")
    runs = [find_run(name, options.set, note) for name in dict.fromkeys(options.runs)]
    results, facts = _scored(runs, options)
    best = best_result(results, options.by)
    write(_table(results, best))
    _tell_best(results, best, options.by)
    folder = options.out or _default_folder(runs[0])
    _write_results(folder, results, best, facts)
    for item in runs:
        _record_best(item, results, options.by)
    if options.tag is not False:
        _tag_best(runs, results, options.by, must=bool(options.tag))
    return 0


def _parser() -> ArgumentParser:
    parser = command_parser("compare", _DESCRIPTION, _EXAMPLES, _NOTES)
    parser.add_argument("runs", nargs="+", metavar="RUN", help="folder of a run, or owner/name on the Hub")
    parser.add_argument("--rows", type=int, default=0, metavar="N", help="score the first N held-out rows (0: all)")
    parser.add_argument(
        "--generate", type=int, default=64, metavar="N", help="let the first N rows be answered; 0: none (64)"
    )
    parser.add_argument("--max-new-tokens", type=int, default=128, metavar="N", help="longest answer in tokens (128)")
    parser.add_argument("--base", action=BooleanOptionalAction, default=True, help="score the untouched base too")
    parser.add_argument("--by", choices=_MEASURES, default="loss", help="what makes the best one (loss)")
    parser.add_argument("--out", type=Path, metavar="DIR", help="folder of the results (RUN/compare)")
    parser.add_argument("--device", default="auto", help="auto, cpu or cuda (auto)")
    parser.add_argument(
        "--tag",
        action=BooleanOptionalAction,
        default=None,
        help="tag the best on the Hub (where a repository and a token are there)",
    )
    parser.add_argument(
        "--set", action="append", default=[], metavar="SECTION.KEY=VALUE", help="change one setting of all runs"
    )
    return parser


def _scored(runs: Sequence[Run], options: Namespace) -> tuple[list[Result], dict[str, Any]]:
    """Return the scores of all, and under what they were measured."""
    from train.devices import device_of

    rows = held_out(runs, options.rows, note)
    device = device_of(options.device)
    settings = runs[0].settings
    note(f"{len(rows.rows):,} held-out rows, {min(options.generate, len(rows.rows)):,} of them answered, on {device}")
    bench = Bench(settings, rows, device, options.generate, options.max_new_tokens)
    todo = [(BASE, None)] if options.base else []
    candidates = [*todo, *((item.name, checkpoint) for item in runs for checkpoint in item.checkpoints)]
    results = []
    for name, checkpoint in candidates:
        label = _label(name, checkpoint.step if checkpoint else None)
        results.append(bench.score(name, checkpoint, _reporter(label)))
        found = results[-1]
        note(f"{label}: loss {found.tokens.loss:.4f} ({found.seconds:.0f} s)")
    facts = {
        "rows": len(rows.rows),
        "answer_tokens": results[0].tokens.tokens,
        "generated": min(options.generate, len(rows.rows)),
        "max_new_tokens": options.max_new_tokens,
        "by": options.by,
        "base": runs[0].checkpoints[-1].base,
        "device": str(device),
        "dtype": bench.dtype,
        "quantization": bench.quantization,
        "held_out": rows,
    }
    return results, facts


def _label(name: str, step: int | None) -> str:
    return name if step is None else f"{name} step {step}"


def _reporter(label: str) -> Callable[[str, int, int], None]:
    """Return what tells of progress now and then: one checkpoint of a large model takes minutes."""
    told = time.monotonic()

    def report(what: str, done: int, total: int) -> None:
        nonlocal told
        if time.monotonic() - told >= _QUIET_SECONDS:
            told = time.monotonic()
            note(f"{label}: {done} of {total} {what}")

    return report


def _table(results: Sequence[Result], best: Result | None) -> str:
    """Return the scores as a table, the best row starred, `-` where nothing was measured."""
    width = max(len("run"), *(len(result.run) for result in results))
    lines = [f"  {'run':{width}}  {'step':>7}  {'loss':>8}  {'accuracy':>8}  {'F1':>6}  {'exact':>6}  {'numeric':>7}"]
    for result in results:
        shown = [_number(result.measures()[name], 4 if name == "loss" else 3) for name in _MEASURES]
        step = "-" if result.step is None else str(result.step)
        star = "*" if result is best else " "
        lines.append(
            f"{star} {result.run:{width}}  {step:>7}  {shown[0]:>8}  {shown[1]:>8}  "
            f"{shown[2]:>6}  {shown[3]:>6}  {shown[4]:>7}"
        )
    return "\n".join(lines) + "\n"


def _number(value: float | None, digits: int) -> str:
    return "-" if value is None else f"{value:.{digits}f}"


def _tell_best(results: Sequence[Result], best: Result | None, by: str) -> None:
    if best is None:
        note(f"No row has what {by} measures; no checkpoint is named the best")
        return
    write(f"best by {by}: {_label(best.run, best.step)}\n")
    base = next((result for result in results if result.checkpoint is None), None)
    worth, of_base = best.measures()[by], base.measures()[by] if base else None
    if worth is not None and of_base is not None and (worth >= of_base if by == "loss" else worth <= of_base):
        note(f"The untouched base is as good or better ({by} {of_base:.4f} against {worth:.4f}): nothing was gained")


def _default_folder(first: Run) -> Path:
    if first.folder is not None:
        return first.folder / "compare"
    return Path("runs") / (first.repo or first.name).strip("/").rpartition("/")[2] / "compare"


def _write_results(folder: Path, results: Sequence[Result], best: Result | None, facts: dict[str, Any]) -> None:
    """Write scores, picture and answers into `folder`. Raises DiskError."""
    rows: HeldOut = facts.pop("held_out")
    scores = [
        {
            "run": result.run,
            "step": result.step,
            **{name: _json_number(value) for name, value in result.measures().items()},
            "numeric_rows": result.texts.numeric_rows if result.texts else 0,
            "seconds": round(result.seconds, 2),
        }
        for result in results
    ]
    drawn = [number for number, score in enumerate(scores) if score["loss"] is not None]
    place = next((place for place, number in enumerate(drawn) if results[number] is best), None)
    named = None if best is None else {"run": best.run, "step": best.step}
    try:
        folder.mkdir(parents=True, exist_ok=True)
        text = json.dumps({**facts, "best": named, "results": scores}, indent=1)
        (folder / "compare.json").write_text(text + "\n", encoding="utf-8")
        _write_answers(folder / "answers.jsonl", rows, results)
        _draw(folder / "compare.png", [scores[number] for number in drawn], place)
    except OSError as error:
        raise disk_error(folder, error) from error
    note(f"written to {folder}")


def _json_number(value: float | None) -> float | None:
    """JSON knows no infinity: a loss that is not a number is left out."""
    return value if value is None or math.isfinite(value) else None


def _write_answers(path: Path, rows: HeldOut, results: Sequence[Result]) -> None:
    lines = []
    for number, row in enumerate(rows.rows[: len(results[0].answers)]):
        answers = {_label(result.run, result.step): result.answers[number] for result in results}
        lines.append({"question": row.question, "context": row.context, "expected": row.answer, "answers": answers})
    path.write_text("".join(json.dumps(line, ensure_ascii=False) + "\n" for line in lines), encoding="utf-8")


def _draw(path: Path, scores: Sequence[dict[str, Any]], best: int | None) -> None:
    from train.plots import plot_comparison

    try:
        plot_comparison(scores, path, best)
    except ImportError:
        note("No picture without matplotlib; pip install matplotlib")


def _record_best(item: Run, results: Sequence[Result], by: str) -> None:
    """Write RUN/best.json: the best of this run alone. Raises DiskError."""
    best = best_result([result for result in results if result.run == item.name], by)
    if item.folder is None or best is None or best.checkpoint is None:
        return
    folder = best.checkpoint.folder
    inside = folder.is_relative_to(item.folder)
    content = {
        "step": best.step,
        "by": by,
        by: best.measures()[by],
        "folder": folder.relative_to(item.folder).as_posix() if inside else str(folder),
    }
    try:
        (item.folder / "best.json").write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")
    except OSError as error:
        raise disk_error(item.folder, error) from error


def _tag_best(runs: Sequence[Run], results: Sequence[Result], by: str, *, must: bool) -> None:
    """Tag the best checkpoint of each repository. Raises HubError with `must`; else what fails is told."""
    for repo in dict.fromkeys(item.repo for item in runs if item.repo):
        names = {item.name for item in runs if item.repo == repo}
        best = best_result([result for result in results if result.run in names], by)
        if best is None or best.checkpoint is None:
            continue
        name = f"step-{best.step:06d}"
        try:
            if not is_uploaded(best.checkpoint.folder, repo, name):
                raise HubError(f"{repo} does not have {name} of {best.run}; python -m train.upload {best.run} sends it")
            tag(repo, BEST_TAG, name)
            note(f"{repo}: {BEST_TAG} is {name}")
        except HubError as error:
            if must:
                raise
            note(f"not tagged: {error}")


if __name__ == "__main__":
    raise SystemExit(run(main))
