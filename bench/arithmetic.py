"""Figures that a question asks to be computed: how many come out right, wrong, or not at all.

`python -m bench.arithmetic --data DIR [--no-plain] [--limit N] [--out bench/results]`. DIR holds `corpus.jsonl` (`id`,
`text`) and `queries.jsonl` (`question`, `answer`, `answer_type`, `relevant_ids`). Questions of the types `arithmetic` and
`count` are put to their own text alone, and to what the search finds among all texts. Two checks tell how often
something is computed that should not be: the other questions, and the arithmetic ones put to a text that is not theirs.
The plain recipe, which leaves the sum to the model, answers the same questions from their own text in the same run; what
it said before is kept with `bench.quality`'s. A figure is right where value, scale, percent and sign are. Prints shares
and writes JSON and a picture.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import tempfile
import time
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from bench.computing import ByProduct, Computing
from bench.sets import ROOT, Source
from bench.systems import Cache, Plain
from rag_core import Document, Hit, RagConfig, RagPipeline
from rag_core.arithmetic import compute
from rag_core.evaluation.figures import figures_in
from rag_core.evaluation.scoring import numeric_match
from rag_core.records import Window

Row = dict[str, Any]
_COMPUTED = ("arithmetic", "count")
# How many texts further on the text stands that a question is put to though it is not about it.
_STEP = 1


def read_rows(path: Path) -> list[Row]:
    """Return the rows of a JSON Lines file."""
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines() if line.strip()]


def judge(text: str | None, expected: str) -> str:
    """Return `right`, `scale` (right but for thousands or millions), `wrong`, or `none` where nothing was computed."""
    if text is None:
        return "none"
    if numeric_match(text, expected):
        return "right"
    given, wanted = figures_in(text), figures_in(expected)
    if len(given) == len(wanted) == 1 and given[0].percent == wanted[0].percent and given[0].value and wanted[0].value:
        ratio = given[0].value / wanted[0].value
        if any(abs(ratio.scaleb(power) - 1) < 1e-3 for power in (-9, -6, -3, 3, 6, 9)):
            return "scale"
    return "wrong"


def whole(document: Document) -> Hit:
    """Return all of a document as one hit."""
    end = len(document.text)
    return Hit(document, 1, 0, end, document.text, 1.0, Window(0, end))


def answers(
    questions: Sequence[Row], hits: Sequence[Sequence[Hit]], computing: Computing
) -> list[dict[str, str | None]]:
    """Return for each question what was computed from its hits, and how right it is."""
    found = []
    for row, mine in zip(questions, hits, strict=True):
        computed = computing(row["question"], mine)
        text = computed.text if computed else None
        found.append(
            {
                "question": row["question"],
                "expected": row["answer"],
                "computed": text,
                "formula": computed.formula if computed else None,
                "verdict": judge(text, row["answer"]),
            }
        )
    return found


def plain_answers(questions: Sequence[Row], texts: dict[str, str], config: RagConfig) -> list[dict[str, str | None]]:
    """Return what the plain recipe says to each question, put to its own text."""
    cache, plain = Cache(config.cache_directory / "bench-quality.jsonl"), Plain(config)
    found = []
    for row in questions:
        source = Source(row["relevant_ids"][0], texts[row["relevant_ids"][0]])
        key = cache.key(plain, [source], row["question"])
        given = cache.find(key)
        if given is None:
            plain.hold([source])
            given = plain.ask(row["question"])
            cache.keep(key, given)
        verdict = "none" if given.abstained else "right" if numeric_match(given.text, row["answer"]) else "wrong"
        found.append({"question": row["question"], "expected": row["answer"], "said": given.text, "verdict": verdict})
    return found


def measure(data: Path, limit: int, plain: bool) -> dict[str, list[dict[str, str | None]]]:
    """Return by name of the measurement its rows."""
    texts = {row["id"]: row["text"] for row in read_rows(data / "corpus.jsonl")}
    rows = read_rows(data / "queries.jsonl")
    asked = [row for row in rows if row["answer_type"] in _COMPUTED][: limit or None]
    other = [row for row in rows if row["answer_type"] not in _COMPUTED]
    config = RagConfig.from_env().with_setting("index.directory", None)
    ids = list(texts)
    following = {key: ids[(place + _STEP) % len(ids)] for place, key in enumerate(ids)}
    with tempfile.TemporaryDirectory() as folder, RagPipeline(config) as rag:
        documents = {}
        for number, (key, text) in enumerate(texts.items()):
            path = Path(folder) / f"{number}.txt"
            path.write_text(text, encoding="utf-8")
            documents[key] = rag.add_document(path, name="report.txt")
        gold = [[whole(documents[row["relevant_ids"][0]])] for row in asked]
        others = [[whole(documents[row["relevant_ids"][0]])] for row in other]
        strange = [[whole(documents[following[row["relevant_ids"][0]]])] for row in asked]
        computing = ByProduct()
        found = {
            "own text": answers(asked, gold, computing),
            "own text, rules alone": answers(asked, gold, compute),
            "searched": answers(asked, [rag.search(row["question"]) for row in asked], computing),
            "other questions": answers(other, others, computing),
            "another text": answers(asked, strange, computing),
        }
    if plain:
        found["plain recipe, own text"] = plain_answers(asked, texts, config)
    return found


def shares(found: Sequence[dict[str, str | None]]) -> dict[str, float]:
    """Return the share of each verdict, and that of right ones among those that gave a figure."""
    counts = Counter(row["verdict"] for row in found)
    figures = {verdict: counts[verdict] / len(found) for verdict in ("right", "scale", "wrong", "none")}
    given = len(found) - counts["none"]
    return {**figures, "right of given": counts["right"] / given if given else 0.0}


def report(found: dict[str, list[dict[str, str | None]]], out: Path) -> None:
    """Print the table and the ratio, write JSON and the picture."""
    from bench.pictures import grouped_bars

    figures = {name: shares(rows) for name, rows in found.items()}
    columns = list(next(iter(figures.values())))
    print(f"{'':<32}" + "".join(f"{column:>16}" for column in columns))
    for name, row in figures.items():
        title = f"{name} ({len(found[name])})"
        print(f"{title:<32}" + "".join(f"{row[column]:>16.3f}" for column in columns))
    plain = figures.get("plain recipe, own text")
    if plain and plain["right"]:
        print(f"right, times the plain recipe: {figures['own text']['right'] / plain['right']:.2f}")
    out.mkdir(parents=True, exist_ok=True)
    machine = f"{platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}"
    counts = {name: len(rows) for name, rows in found.items()}
    document = {"date": time.strftime("%Y-%m-%d"), "machine": machine, "counts": counts, "figures": figures}
    (out / "arithmetic.json").write_text(json.dumps(document, indent=1) + "\n", encoding="utf-8")
    shown = ("right", "scale", "wrong")
    names = [
        name for name in ("own text", "own text, rules alone", "searched", "plain recipe, own text") if name in figures
    ]
    panels = {
        f"{counts['own text']} questions that ask for a computed figure": {
            name: {column: figures[name][column] for column in shown} for name in names
        }
    }
    grouped_bars(panels, out / "arithmetic.png")


def main() -> None:
    """Measure and report."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--data", type=Path, required=True, help="folder with corpus.jsonl and queries.jsonl")
    parser.add_argument("--no-plain", action="store_true", help="leave out the plain recipe, which takes minutes")
    parser.add_argument("--limit", type=int, default=0, metavar="N", help="the first questions only (0: all)")
    parser.add_argument("--rows", type=Path, metavar="FILE", help="also write each question, answer and verdict there")
    parser.add_argument("--out", type=Path, default=ROOT / "bench" / "results")
    options = parser.parse_args()
    found = measure(options.data, options.limit, not options.no_plain)
    report(found, options.out)
    if options.rows:
        lines = (
            json.dumps({"measurement": name, **row}, ensure_ascii=False) for name, rows in found.items() for row in rows
        )
        options.rows.write_text("\n".join(lines) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
