"""How right the answers are: ours against the plain recipe, the same questions and the same model in one run.

`python -m bench.quality [--data DIR] [--model ID] [--sets NAME...] [--limit N] [--out bench/results]`. Sets: `alone`
and `all` are the questions of DIR (`corpus.jsonl`, `queries.jsonl`), each put to its own document alone, or to all of
them in one index; `reading` is DIR's or the bundled `reading.jsonl` of one-paragraph documents, `finance` the same on
company reports; `samples` the questions on `sample_files`; `feedback` the app's thumbs (`--feedback FILE --documents
DIR`). What the marks mean is told in `rag_core.evaluation`. Prints a table a set, writes JSON and a picture. Results
are kept a question at a time: a run that was cut off goes on, and the plain recipe, which is slow, is asked once.
Times are over the questions that all answered in this very run; `--fresh` asks everything again.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import sys
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from bench.sets import ROOT, Item, QuestionSet, feedback_set, read_sets, take
from bench.systems import Cache, Ours, Plain, System
from rag_core import RagConfig
from rag_core.evaluation import Given, Marks, Summary, mark, summarise, table

Row = tuple[Item, Marks, Given]
_PICTURED = {
    "f1": "answer F1",
    "contained": "answer contained",
    "cited_right": "cited span right",
    "citation_precision": "citation precision",
    "abstention_precision": "abstention precision",
    "abstention_recall": "abstention recall",
}


def ask_all(chosen: QuestionSet, systems: Sequence[System], cache: Cache) -> dict[str, list[Row]]:
    """Put every question to every system, question by question, so that all meet the same machine; return the rows."""
    rows: dict[str, list[Row]] = {system.name: [] for system in systems}
    order = sorted(range(len(chosen.items)), key=lambda place: (chosen.items[place].source, place))
    held: dict[str, str] = {}
    started = time.monotonic()
    for done, place in enumerate(order, start=1):
        item = chosen.items[place]
        sources = [chosen.sources[item.source]] if item.source else list(chosen.sources.values())
        answers: dict[str, Given] = {}
        kept = 0
        for system in systems:
            key = cache.key(system, sources, item.question.question)
            given = cache.find(key)
            kept += given is not None
            if given is None:
                if held.get(system.name) != (item.source or "all"):
                    system.hold(sources)
                    held[system.name] = item.source or "all"
                given = system.ask(item.question.question)
                cache.keep(key, given)
            answers[system.name] = given
        for name, given in answers.items():
            if kept:  # the machine may have been another or busier when one of them answered: no time to compare
                given = replace(given, first_token_seconds=0.0, total_seconds=0.0)
            rows[name].append((item, mark(item.question, given), given))
        if done % 10 == 0 or done == len(order):
            print(f"{chosen.name}: {done} of {len(order)}, {time.monotonic() - started:.0f} s", file=sys.stderr)
    return rows


def figures_of(rows: dict[str, list[Row]]) -> dict[str, Any]:
    """Return for JSON the means by system, over all, and over each kind of question."""
    return {
        name: {
            "all": _summary(mine).as_dict(),
            "kinds": {kind: _summary(some).as_dict() for kind, some in _by_kind(mine).items()},
        }
        for name, mine in rows.items()
    }


def _by_kind(rows: Sequence[Row]) -> dict[str, list[Row]]:
    kinds: dict[str, list[Row]] = {}
    for row in rows:
        kinds.setdefault(row[0].question.kind or "answerable", []).append(row)
    return kinds


def _summary(rows: Sequence[Row]) -> Summary:
    return summarise([(marks, given) for _, marks, given in rows])


def print_set(chosen: QuestionSet, rows: dict[str, list[Row]]) -> None:
    """Print the table of one set, the ratio of F1, and our figures by kind of question."""
    columns = {name: _summary(mine) for name, mine in rows.items()}
    print(f"\n{chosen.name}: {len(chosen.items)} questions, {len(chosen.sources)} documents\n{table(columns)}")
    ours, plain = columns.get("ours"), columns.get("plain")
    if ours and plain and ours.f1 and plain.f1:
        print(f"{'answer F1, times the plain':<28}{ours.f1 / plain.f1:>14.2f}")
    for name, mine in rows.items():
        for kind, some in _by_kind(mine).items():
            means = _summary(some)
            shown = {
                "F1": means.f1,
                "contained": means.contained,
                "figures": means.numeric,
                "cited right": means.cited_right,
                "withheld": None if means.answerable else means.abstention_recall,
            }
            figures = ", ".join(f"{label} {value:.3f}" for label, value in shown.items() if value is not None)
            print(f"  {name}, {kind} ({means.questions}): {figures}")


def write_report(sets: dict[str, dict[str, Any]], model: str, options: argparse.Namespace) -> None:
    """Write JSON and the picture."""
    from bench.pictures import grouped_bars

    options.out.mkdir(parents=True, exist_ok=True)
    machine = f"{platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}"
    load = f"{os.getloadavg()[0]:.1f}" if hasattr(os, "getloadavg") else "unknown"
    document = {
        "date": time.strftime("%Y-%m-%d"),
        "machine": machine,
        "load_average": load,
        "model": model,
        "limit": options.limit,
        "seed": options.seed,
        "sets": sets,
    }
    (options.out / "quality.json").write_text(json.dumps(document, indent=1) + "\n", encoding="utf-8")
    grouped_bars(
        {
            name: {
                label: {system: float(found[system]["all"][key] or 0.0) for system in found}
                for key, label in _PICTURED.items()
            }
            for name, found in sets.items()
        },
        options.out / "quality.png",
    )


def write_rows(path: Path, rows: dict[str, dict[str, list[Row]]]) -> None:
    """Write every question with what was given and its marks, to look at what went wrong."""
    from dataclasses import asdict

    with path.open("w", encoding="utf-8") as file:
        for name, systems in rows.items():
            for system, mine in systems.items():
                for item, marks, given in mine:
                    row = {
                        "set": name,
                        "system": system,
                        "id": item.question.id,
                        "kind": item.question.kind,
                        "document": item.source,
                        "question": item.question.question,
                        "answers": item.question.answers,
                        "given": given.as_dict(),
                        "marks": asdict(marks),
                    }
                    file.write(json.dumps(row, ensure_ascii=False) + "\n")


def main() -> None:
    """Measure and report."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--data", type=Path, help="folder with corpus.jsonl and queries.jsonl, or with reading.jsonl")
    parser.add_argument("--model", help="generator of both: a Hub id or a folder (default: the embedded SmolLM2)")
    parser.add_argument(
        "--sets",
        nargs="+",
        default=[],
        metavar="NAME",
        help="alone, all, reading, finance, analysts, held-out, four-hands, three-hands, ninth-hand, tenth-hand, "
        "tenth-elsewhere, samples (default: all)",
    )
    parser.add_argument("--feedback", type=Path, metavar="FILE", help="thumbs that the app stored")
    parser.add_argument(
        "--documents", type=Path, default=ROOT / "sample_files", help="folder of the documents they name"
    )
    parser.add_argument(
        "--limit", type=int, default=0, metavar="N", help="questions of each set, drawn by --seed (0: all)"
    )
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--systems", nargs="+", choices=("ours", "plain"), default=["ours", "plain"])
    parser.add_argument("--fresh", action="store_true", help="ask everything again")
    parser.add_argument("--cache", type=Path, metavar="FILE", help="where results are kept, question by question")
    parser.add_argument("--rows", type=Path, metavar="FILE", help="also write each question, answer and mark there")
    parser.add_argument("--out", type=Path, default=ROOT / "bench" / "results")
    options = parser.parse_args()
    config = RagConfig.from_env()
    if options.model:
        config = config.with_setting("generation.model", options.model)
    sets = read_sets(options.data, options.sets, options.seed) if options.sets or not options.feedback else []
    if options.feedback:
        sets.append(feedback_set(options.feedback, options.documents))
    cache = Cache(options.cache or config.cache_directory / "bench-quality.jsonl", fresh=options.fresh)
    ours = Ours(config)
    systems: list[System] = [ours] if "ours" in options.systems else []
    systems += [Plain(config)] if "plain" in options.systems else []
    figures, rows = {}, {}
    for chosen in sets:
        part = take(chosen, options.limit, options.seed)
        rows[part.name] = ask_all(part, systems, cache)
        print_set(part, rows[part.name])
        figures[part.name] = figures_of(rows[part.name])
    if options.rows:
        write_rows(options.rows, rows)
    if len(systems) == 2:
        write_report(figures, ours.model, options)


if __name__ == "__main__":
    main()
