"""Which passage is found first: ours against the plain recipe, each half alone, and the usual ways to join them.

`python -m bench.retrieval --data DIR [--out bench/results] [--index FOLDER]`. DIR holds `corpus.jsonl` (`id`, `text`) and
`queries.jsonl` (`question`, `relevant_ids`). Each text is a document of its own; a method ranks documents by their best
passage. Prints hit@1, 3, 5, 10 (share of questions whose text is among the first k) and MRR@10 (mean of 1 / rank, 0
beyond 10), and writes JSON and a picture. Questions of `bench/data/paraphrases.jsonl`, which avoid the words of their
text, are reported apart where DIR has their texts. So are questions about the long reports of `bench.filings`, each
asked of one report: there the ranks are those of passages, and one counts as right on a page that holds the answer.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import re
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bench.baseline import PlainRecipe

ROOT = Path(__file__).parent.parent
PARAPHRASES = ROOT / "bench" / "data" / "paraphrases.jsonl"
CUTS = (1, 3, 5, 10)
# Passages asked for, so that ten different documents are among them.
DEPTH = 50
# The constant of reciprocal rank fusion (Cormack et al. 2009).
_RRF = 60

# A question to document ids, best first.
Ranker = Callable[[str], list[str]]
# By set of questions, by method, by figure.
Figures = dict[str, dict[str, dict[str, float]]]


@dataclass(frozen=True)
class Question:
    """A question, and the ids of the documents that answer it."""

    text: str
    relevant: frozenset[str]


def read_rows(path: Path) -> list[dict[str, Any]]:
    """Return the rows of a JSON Lines file."""
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines() if line.strip()]


def read_questions(path: Path) -> list[Question]:
    """Return the questions of a JSON Lines file."""
    return [Question(row["question"], frozenset(row["relevant_ids"])) for row in read_rows(path)]


def asked_of(data: Path) -> list[tuple[str, frozenset[str], str]]:
    """Return the questions about DIR's texts with the texts' ids and their kind: `text` or `paraphrase`."""
    known = {row["id"] for row in read_rows(data / "corpus.jsonl")}
    sources = {"text": data / "queries.jsonl", "paraphrase": PARAPHRASES}
    asked = [(q.text, q.relevant, kind) for kind, path in sources.items() for q in read_questions(path)]
    return [item for item in asked if item[1] <= known]


def first_ten(ids: Sequence[str]) -> list[str]:
    """Return the first ten different ids, in order."""
    return list(dict.fromkeys(ids))[: max(CUTS)]


def score(rank: Ranker, questions: Sequence[Question]) -> dict[str, float]:
    """Return hit@k and MRR@10 of a method, each in [0, 1], higher is better."""
    places = []
    for question in questions:
        found = rank(question.text)
        places.append(next((place for place, key in enumerate(found, 1) if key in question.relevant), 0))
    figures = {f"hit@{cut}": sum(1 for place in places if 0 < place <= cut) / len(places) for cut in CUTS}
    figures["MRR@10"] = sum(1 / place for place in places if place) / len(places)
    return figures


def fused(*rankers: Ranker) -> Ranker:
    """Return the equal-weight reciprocal rank fusion of methods."""

    def rank(question: str) -> list[str]:
        sums: dict[str, float] = {}
        for ranker in rankers:
            for place, key in enumerate(ranker(question), 1):
                sums[key] = sums.get(key, 0.0) + 1 / (_RRF + place)
        return first_ten(sorted(sums, key=lambda key: -sums[key]))

    return rank


def indexed(corpus: Sequence[dict[str, Any]], folder: Path, index: Path | None = None) -> tuple[Any, dict[str, str]]:
    """Return a pipeline with each text as a file, and the text's id by that of its document.

    `folder` is for the files; `index` keeps the vectors, so that the next run embeds nothing.
    """
    from rag_core import RagConfig, RagPipeline

    rag = RagPipeline(RagConfig().with_setting("index.directory", index and index / "texts"))
    keys: dict[str, str] = {}
    for number, row in enumerate(corpus):
        path = folder / f"{number}.txt"
        path.write_text(row["text"], encoding="utf-8")
        # The name says nothing: a real one would help.
        keys[rag.add_document(path, name="report.txt").id] = row["id"]
    return rag, keys


def our_rankers(corpus: Sequence[dict[str, Any]], folder: Path, index: Path | None = None) -> dict[str, Ranker]:
    """Return our search over the texts, and each half of it alone; see `indexed`."""
    rag, keys = indexed(corpus, folder, index)

    def ours(question: str) -> list[str]:
        return first_ten([keys[hit.document.id] for hit in rag.search(question, DEPTH)])

    def dense(question: str) -> list[str]:
        vector = rag.embedder.encode([question])[0]
        return first_ten([keys[near.key.document_id] for near in rag.index.nearest(vector, 2 * DEPTH)])

    def worded(question: str) -> list[str]:
        return first_ten([keys[match.key[0]] for match in rag.index.lexical().search(question, DEPTH)])

    return {"ours": ours, "our dense side alone": dense, "our BM25 side alone": worded}


def plain_ranker(corpus: Sequence[dict[str, Any]], recipe: PlainRecipe) -> Ranker:
    """Return the plain recipe's search over the same texts."""
    recipe.index([row["text"] for row in corpus], [{"id": row["id"]} for row in corpus])
    return lambda question: first_ten([found.metadata["id"] for found in recipe.search(question, DEPTH)])


def whole_text_ranker(corpus: Sequence[dict[str, Any]]) -> Ranker:
    """Return plain BM25 over whole texts: words in small letters, every setting of bm25s at its default."""
    import bm25s

    def words(text: str) -> list[str]:
        return re.findall(r"\w+", text.lower())

    index = bm25s.BM25()
    index.index([words(row["text"]) for row in corpus], show_progress=False)

    def rank(question: str) -> list[str]:
        found, _ = index.retrieve([words(question)], k=min(max(CUTS), len(corpus)), show_progress=False)
        return [corpus[int(number)]["id"] for number in found[0]]

    return rank


def measure_texts(data: Path, index: Path | None = None) -> tuple[Figures, dict[str, int]]:
    """Return by set of questions, by method, its figures over DIR's texts; and the questions of each set."""
    corpus = read_rows(data / "corpus.jsonl")
    asked = asked_of(data)
    sets = {
        title: [Question(text, ids) for text, ids, own in asked if own == kind]
        for title, kind in (("questions", "text"), ("paraphrases", "paraphrase"))
    }
    with tempfile.TemporaryDirectory() as folder:
        rankers = our_rankers(corpus, Path(folder), index)
    rankers["equal-weight RRF of both"] = fused(rankers["our dense side alone"], rankers["our BM25 side alone"])
    rankers["BM25 over whole texts"] = whole_text_ranker(corpus)
    recipe = PlainRecipe()
    rankers["plain recipe"] = plain_ranker(corpus, recipe)
    found = scored(sets, rankers)
    # Recipes of one process share a collection.
    recipe.forget()
    return found


def measure_reports(data: Path, index: Path | None = None) -> tuple[Figures, dict[str, int]]:
    """Return the same over the long reports, with pages in place of texts."""
    from bench.filings import build_filings
    from bench.pages import page_key, page_rankers

    titles = {
        "analyst": "reports: analysts",
        "second analyst": "reports: second analyst",
        "third analyst": "reports: held-out analyst",
        "fourth analyst": "reports: wordy analyst",
        "text": "reports: questions",
        "paraphrase": "reports: paraphrases",
    }
    with tempfile.TemporaryDirectory() as folder:
        asked = build_filings(Path(folder), read_rows(data / "corpus.jsonl"), asked_of(data))
        sets = {
            title: [
                Question(q.text, frozenset(page_key(q.file, page) for page in q.pages)) for q in asked if q.kind == kind
            ]
            for kind, title in titles.items()
        }
        rankers = page_rankers(Path(folder), {q.text: q.file for q in asked}, index)
    rankers["RRF of dense, plain BM25"] = fused(rankers["our dense side alone"], rankers["BM25 over passages"])
    return scored(sets, rankers)


def scored(sets: dict[str, list[Question]], rankers: dict[str, Ranker]) -> tuple[Figures, dict[str, int]]:
    """Return each method's figures on each set that has questions, and how many it has."""
    sets = {title: questions for title, questions in sets.items() if questions}
    figures = {
        title: {name: score(rank, questions) for name, rank in rankers.items()} for title, questions in sets.items()
    }
    return figures, {title: len(questions) for title, questions in sets.items()}


def report(figures: Figures, counts: dict[str, int], out: Path) -> None:
    """Print the tables, write JSON and the picture."""
    from bench.pictures import grouped_bars

    for title, methods in figures.items():
        names = list(next(iter(methods.values())))
        print(f"\n{f'{title} ({counts[title]})':<28}" + "".join(f"{name:>9}" for name in names))
        for method, row in methods.items():
            print(f"{method:<28}" + "".join(f"{row[name]:>9.3f}" for name in names))
    out.mkdir(parents=True, exist_ok=True)
    machine = f"{platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}"
    document = {"date": time.strftime("%Y-%m-%d"), "machine": machine, "counts": counts, "figures": figures}
    (out / "retrieval.json").write_text(json.dumps(document, indent=1) + "\n", encoding="utf-8")
    shown = ("hit@1", "hit@5", "MRR@10")
    grouped_bars(
        {
            f"{counts[title]} {title}": {method: {name: row[name] for name in shown} for method, row in methods.items()}
            for title, methods in figures.items()
        },
        out / "retrieval.png",
    )


def main() -> None:
    """Measure and report."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--data", type=Path, required=True, help="folder with corpus.jsonl and queries.jsonl")
    parser.add_argument("--out", type=Path, default=ROOT / "bench" / "results")
    parser.add_argument("--index", type=Path, help="folder that keeps our vectors for the next run")
    options = parser.parse_args()
    figures, counts = measure_texts(options.data, options.index)
    long_figures, long_counts = measure_reports(options.data, options.index)
    counts = {"texts": len(read_rows(options.data / "corpus.jsonl")), **counts, **long_counts}
    figures.update(long_figures)
    report(figures, counts, options.out)


if __name__ == "__main__":
    main()
