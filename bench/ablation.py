"""What each part of our retrieval brings: the search measured again with one part changed at a time.

`python -m bench.ablation --data DIR [--out bench/results] [--index FOLDER]`. The sets are those of `bench.retrieval`:
DIR's questions and our paraphrases over its texts, and the questions over the long reports of `bench.filings`.
Everything is indexed once; a row changes how questions are read and weighed. Rows of what was tried and not kept
follow. Prints MRR@10 and hit@5 by set, and writes JSON and a picture.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import platform
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack
from pathlib import Path
from typing import Any
from unittest.mock import patch

from bench.filings import SOURCE
from bench.retrieval import ROOT, Figures, Question, asked_of, indexed, read_rows, score
from rag_core.words import vocabulary
from rag_core.words.wording import stems

# A change: settings of modules of ours to put in place while the row is measured.
Change = Mapping[str, Any]


def _identity(question: str) -> str:
    return question


def _mixed(weight: float) -> Callable[..., float]:
    """Return a relevance with one weight of the cosine for every question."""
    return lambda cosine, coverage, best, **_: (
        1 / (1 + math.exp(-8 * (weight * cosine + (1 - weight) * coverage - 0.37)))
    )


def _common_names() -> tuple[dict[tuple[str, ...], str], frozenset[str], int]:
    """Return the vocabulary's names without those that occur once in the wording of the invented reports.

    Reports and vocabulary are by one author: a name that stands once in the reports' captions or questions may be in
    the vocabulary because it stands there.
    """
    source = json.loads(SOURCE.read_text(encoding="utf-8"))
    texts = [text for captions in source["labels"].values() for text in captions]
    texts += [text for question in source["questions"] for text in question["ask"]]
    said = [f" {' '.join(stems(text))} " for text in texts]
    table, _, _ = vocabulary._names()
    kept = {
        name: concept for name, concept in table.items() if sum(f" {' '.join(name)} " in text for text in said) != 1
    }
    return kept, frozenset(name[0] for name in kept), max(map(len, kept))


_COMMON = "without names said once there"
_MARKS = ("_LABEL", "_NAMED", "_ITEM", "_STATEMENT", "_TITLED", "_ANY_STATEMENT", "_QUARTER")
_NO_MARKS = {f"rag_core.words.marks.{name}": 0.0 for name in _MARKS}
ROWS: dict[str, Change] = {
    "all of it": {},
    "without row labels": {"rag_core.words.marks._LABEL": 0.0},
    "without concepts": {"rag_core.words.marks._NAMED": 0.0, "rag_core.words.marks._ITEM": 0.0},
    _COMMON: {},
    "without statements": {f"rag_core.words.marks.{name}": 0.0 for name in ("_STATEMENT", "_TITLED", "_ANY_STATEMENT")},
    "without any statement for a period": {"rag_core.words.marks._ANY_STATEMENT": 0.0},
    "without quarters": {"rag_core.words.marks._QUARTER": 0.0},
    "without spelling out": {"rag_core.search.retrieval.spelt_out": _identity},
    "with what says how to answer": {"rag_core.search.retrieval.asked_part": _identity},
    "asking words count in full": {"rag_core.words.lexical._ASKING": 1.0},
    "periods weighed as all else": {"rag_core.search.retrieval._PERIOD_SHARE": 1.0},
    "spelt out weighed as all else": {"rag_core.search.retrieval._SPELT_WEIGHT": 0.0},
    "first passages not put in order": {"rag_core.search.rereading._WEIGHT": 0.0},
    "their nearest windows alone read": {f"rag_core.search.rereading.{name}": 0 for name in ("_WHOLE", "_WHOLE_SHORT")},
    "best window alone": {"rag_core.search.retrieval._WHOLE": 0.0},
    "words alone, no cosine": {"rag_core.search.retrieval.relevance": _mixed(0.0)},
    "cosine alone, no words": {"rag_core.search.retrieval.relevance": _mixed(1.0)},
    "one weight for all: 0.3": {"rag_core.search.retrieval.relevance": _mixed(0.3)},
    "none of the marks": {
        **_NO_MARKS,
        "rag_core.search.retrieval.spelt_out": _identity,
        "rag_core.words.lexical._ASKING": 1.0,
    },
}
# Tried and not kept, beside what a row above undoes.
TRIED: dict[str, Change] = {
    "tried: statements count double": {"rag_core.words.marks._STATEMENT": 3.0, "rag_core.words.marks._TITLED": 3.0},
    "tried: any statement counts double": {"rag_core.words.marks._ANY_STATEMENT": 5.0},
    "tried: labels count double": {"rag_core.words.marks._LABEL": 2.0},
    "tried: asking words not at all": {"rag_core.words.lexical._ASKING": 0.0},
    "tried: ranking counts half": {"rag_core.search.rereading._WEIGHT": 0.06},
    "tried: ranking counts double": {"rag_core.search.rereading._WEIGHT": 0.24},
    "tried: any that are proposed read": {"rag_core.search.rereading._BEHIND": 99.0},
    "tried: fewer of them read": {"rag_core.search.rereading._BEHIND": 0.9},
    "tried: one passage a page": {},
}
_ONE_A_PAGE = "tried: one passage a page"
# Nothing may be chosen by the others that `bench.filings` has.
_ANALYSTS = ("analyst", "second analyst")


def _place(hits: Sequence[Any], one_a_page: bool) -> list[Any]:
    """Return the hits, those of a page that came before moved behind all others where `one_a_page`."""
    if not one_a_page:
        return list(hits)
    seen: set[tuple[str, int]] = set()
    first: list[Any] = []
    later: list[Any] = []
    for hit in hits:
        place = (hit.document.id, hit.page)
        (later if place in seen else first).append(hit)
        seen.add(place)
    return [*first, *later]


def _remember(rag: Any) -> None:
    """Have a pipeline keep what its rows have in common: vectors of questions and windows, what is near, scores."""
    encode, nearest, vectors = rag.embedder.encode, rag.index.nearest, rag.index.vectors
    scorer = rag._rereader._scorer
    scores = scorer.scores
    encoded: dict[str, Any] = {}
    near: dict[Any, Any] = {}
    held: dict[Any, Any] = {}
    scored: dict[tuple[str, str], float] = {}

    def encode_once(texts: Sequence[str]) -> Any:
        (text,) = texts
        if text not in encoded:
            encoded[text] = encode(texts)
        return encoded[text]

    def nearest_once(vector: Any, count: int, document_ids: Sequence[str] | None = None) -> Any:
        key = (vector.tobytes(), count, None if document_ids is None else tuple(document_ids))
        if key not in near:
            near[key] = nearest(vector, count, document_ids)
        return near[key]

    def vectors_once(keys: Sequence[Any]) -> Any:
        missing = [key for key in keys if key not in held]
        held.update(vectors(missing) if missing else {})
        return {key: held[key] for key in keys if key in held}

    def scores_once(question: str, windows: Sequence[str]) -> list[float]:
        missing = [window for window in dict.fromkeys(windows) if (question, window) not in scored]
        scored.update(zip(((question, window) for window in missing), scores(question, missing), strict=True))
        return [scored[question, window] for window in windows]

    rag.embedder.encode, rag.index.nearest, rag.index.vectors = encode_once, nearest_once, vectors_once
    scorer.scores = scores_once


def _reword(*pipelines: Any) -> None:
    """Have the word indexes built anew: the marks of passages are made when they are added."""
    for rag in pipelines:
        rag.index._forget_words(set(rag.index.records()))


def _changed(change: Change) -> AbstractContextManager[Any]:
    stack = ExitStack()
    for name, value in change.items():
        stack.enter_context(patch(name, value))
    return stack


def measure(data: Path, index: Path | None = None) -> tuple[Figures, dict[str, int]]:
    """Return by set, by row, its figures; and the questions of each set."""
    from bench.filings import build_filings
    from bench.pages import page_key, reports_index

    corpus, asked = read_rows(data / "corpus.jsonl"), asked_of(data)
    sets: dict[str, list[Question]] = {}
    files: dict[str, str] = {}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        texts, keys = indexed(corpus, folder, index)
        for text, wanted_ids, kind in asked:
            sets.setdefault(f"{kind}s", []).append(Question(text, wanted_ids))
        for question in build_filings(folder, corpus, asked):
            if question.kind not in (*_ANALYSTS, "text", "paraphrase"):
                continue
            pages = frozenset(page_key(question.file, page) for page in question.pages)
            sets.setdefault(f"reports: {question.kind}s", []).append(Question(question.text, pages))
            files[question.text] = question.file
        reports, ids = reports_index(folder, index)
    # The same questions are asked in every row.
    for rag in (texts, reports):
        _remember(rag)

    figures: Figures = {title: {} for title in sets}
    for row, change in {**ROWS, **TRIED}.items():
        one = row == _ONE_A_PAGE

        def over_texts(question: str, one: bool = one) -> list[str]:
            hits = _place(texts.search(question, 50), one)
            return list(dict.fromkeys(keys[hit.document.id] for hit in hits))[:10]

        def over_pages(question: str, one: bool = one) -> list[str]:
            file = files[question]
            hits = _place(reports.search(question, 20, document_ids=[ids[file]]), one)
            return [page_key(file, hit.page) for hit in hits][:10]

        if row == _COMMON:
            change = {"rag_core.words.vocabulary._names": (lambda names: lambda: names)(_common_names())}
        with _changed(change):
            if row == _COMMON:
                _reword(texts, reports)
            for title, questions in sets.items():
                figures[title][row] = score(over_pages if title.startswith("reports") else over_texts, questions)
        if row == _COMMON:
            _reword(texts, reports)
        print(f"{row:<36}" + " ".join(f"{figures[title][row]['hit@5']:.3f}" for title in sets), flush=True)
    return figures, {title: len(questions) for title, questions in sets.items()}


def report(figures: Figures, counts: dict[str, int], out: Path) -> None:
    """Print the table, write JSON and the picture."""
    from bench.pictures import grouped_bars

    print(f"\n{'MRR@10 / hit@5':<36}" + "".join(f"{title:>22}" for title in figures))
    for row in next(iter(figures.values())):
        cells = [f"{figures[title][row]['MRR@10']:.3f} / {figures[title][row]['hit@5']:.3f}" for title in figures]
        print(f"{row:<36}" + "".join(f"{cell:>22}" for cell in cells))
    out.mkdir(parents=True, exist_ok=True)
    machine = f"{platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}"
    document = {"date": time.strftime("%Y-%m-%d"), "machine": machine, "counts": counts, "figures": figures}
    (out / "ablation.json").write_text(json.dumps(document, indent=1) + "\n", encoding="utf-8")
    shown = ("hit@5", "MRR@10")
    panels = {
        f"{counts[title]} {title}": {row: {name: found[name] for name in shown} for row, found in rows.items()}
        for title, rows in figures.items()
    }
    grouped_bars(panels, out / "ablation.png")


def main() -> None:
    """Measure and report."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--data", type=Path, required=True, help="folder with corpus.jsonl and queries.jsonl")
    parser.add_argument("--out", type=Path, default=ROOT / "bench" / "results")
    parser.add_argument("--index", type=Path, help="folder that keeps our vectors for the next run")
    options = parser.parse_args()
    report(*measure(options.data, options.index), options.out)


if __name__ == "__main__":
    main()
