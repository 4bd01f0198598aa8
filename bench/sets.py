"""The sets of questions that quality is measured on, each question with the document that it is put to.

Questions without an answer are made of those with one: `other document`, the question put to a document that does not
hold its answer; `wrong year`, a year in it changed for one that the document does not name; in a collection, `left
out`, its document taken away.
"""

from __future__ import annotations

import json
import random
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from rag_core.evaluation import EvalQuestion, question_from, read_questions
from rag_core.evaluation.scoring import holds
from rag_core.language.sentences import years

__all__ = ["READING", "ROOT", "Item", "QuestionSet", "Source", "feedback_set", "read_sets", "take"]

ROOT = Path(__file__).parent.parent
READING = ROOT / "bench" / "data" / "reading.jsonl"
# Paragraphs of company reports with near misses; those whose id begins with d were held out when rules were made.
FINANCE = ROOT / "bench" / "data" / "finance_reading.jsonl"
# Excerpts of reports and what analysts would type, by a hand of its own; read while rules were made since December 2026.
ANALYSTS = ROOT / "bench" / "data" / "analyst_reading.jsonl"
# Excerpts of reports (ids with f) and paragraphs of general knowledge (p) by a third hand: nothing was ever fitted to them.
HELD_OUT = ROOT / "bench" / "data" / "held_out_reading.jsonl"
# By four more hands, a to d in the ids: finance, and general prose in b and a third of d. Nothing was ever fitted to them.
FOUR_HANDS = ROOT / "bench" / "data" / "four_hands_reading.jsonl"
# By three more, e to g in the ids: excerpts of reports, general prose, business documents of other sorts. Read when measured.
THREE_HANDS = ROOT / "bench" / "data" / "three_hands_reading.jsonl"
# By a ninth hand, half finance and half general prose. Written beside the last training texts, measured once, changed nothing.
NINTH_HAND = ROOT / "bench" / "data" / "ninth_hand_reading.jsonl"
# By a tenth hand: filings, reports, agreements and prose, a quarter each. Measured once, never read.
TENTH_HAND = ROOT / "bench" / "data" / "tenth_hand_reading.jsonl"
SAMPLES = ROOT / "sample_files"
OTHER_DOCUMENT, WRONG_YEAR, LEFT_OUT = "other document", "wrong year", "left out"
# Of the answerable questions, the share that is also put to another document, and at most to a wrong year.
_PAIRED, _NEAR = 0.5, 0.5


@dataclass(frozen=True)
class Source:
    """A document: its text as the plain recipe is given it, and the file, or the text that is written to one."""

    key: str
    text: str
    path: Path | None = None


@dataclass(frozen=True)
class Item:
    """A question put to the document of that key; without a key, to all documents of the set."""

    question: EvalQuestion
    source: str = ""


@dataclass(frozen=True)
class QuestionSet:
    """Documents and the questions that are put to them."""

    name: str
    sources: dict[str, Source]
    items: tuple[Item, ...]


def read_sets(data: Path | None, names: Sequence[str], seed: int) -> list[QuestionSet]:
    """Return the sets of those names, or all that there are; each question alone with its document, or among all."""
    makers: dict[str, Callable[[], QuestionSet]] = {}
    if data and (data / "queries.jsonl").is_file():
        corpus, rows = data / "corpus.jsonl", data / "queries.jsonl"
        makers["alone"] = lambda: _alone(*_corpus(corpus, rows), seed)
        makers["all"] = lambda: _among_all(*_corpus(corpus, rows), seed)
    reading = data / "reading.jsonl" if data and (data / "reading.jsonl").is_file() else READING
    if reading.is_file():
        makers["reading"] = lambda: _reading(reading)
    makers["finance"] = lambda: _reading(FINANCE, "finance")
    makers["analysts"] = lambda: _reading(ANALYSTS, "analysts")
    makers["held-out"] = lambda: _reading(HELD_OUT, "held-out")
    makers["four-hands"] = lambda: _reading(FOUR_HANDS, "four-hands")
    makers["three-hands"] = lambda: _reading(THREE_HANDS, "three-hands")
    makers["ninth-hand"] = lambda: _reading(NINTH_HAND, "ninth-hand")
    makers["tenth-hand"] = lambda: _reading(TENTH_HAND, "tenth-hand")
    makers["tenth-elsewhere"] = lambda: _elsewhere(TENTH_HAND, "tenth-elsewhere", seed)
    makers["samples"] = lambda: _samples(seed)
    unknown = [name for name in names if name not in makers]
    if unknown:
        raise SystemExit(f"There is no set {', '.join(unknown)}; there are {', '.join(makers)}")
    return [make() for name, make in makers.items() if not names or name in names]


def take(chosen: QuestionSet, limit: int, seed: int) -> QuestionSet:
    """Return the set with `limit` of its questions (0: all), drawn so that each kind keeps its share."""
    if not limit or limit >= len(chosen.items):
        return chosen
    kinds: dict[str, list[int]] = {}
    for place, item in enumerate(chosen.items):
        kinds.setdefault(item.question.kind, []).append(place)
    kept: list[int] = []
    for places in kinds.values():
        random.Random(seed).shuffle(places)
        kept += places[: round(limit * len(places) / len(chosen.items))]
    return replace(chosen, items=tuple(chosen.items[place] for place in sorted(kept)))


def feedback_set(path: Path, documents: Path) -> QuestionSet:
    """Return the thumbs of the app, put to the files of the folder `documents` that they name; others are left out."""
    files = {item.name: item for item in documents.iterdir() if item.is_file()}
    questions = [question for question in read_questions(path) if question.document in files]
    sources = {name: _file(files[name]) for name in dict.fromkeys(question.document for question in questions)}
    return QuestionSet("feedback", sources, tuple(Item(question, question.document) for question in questions))


def _corpus(corpus: Path, queries: Path) -> tuple[dict[str, Source], list[tuple[EvalQuestion, str]]]:
    sources = {row["id"]: Source(row["id"], row["text"]) for row in _rows(corpus)}
    questions = []
    for number, row in enumerate(_rows(queries), start=1):
        row = {"answerable": bool(row.get("answer") or row.get("answers")), **row}
        questions.append((question_from(row, f"{queries}, line {number}", str(number)), row["relevant_ids"][0]))
    return sources, questions


def _alone(sources: dict[str, Source], questions: list[tuple[EvalQuestion, str]], seed: int) -> QuestionSet:
    items = [Item(question, key) for question, key in questions]
    items += _other_documents(items, sources, seed) + _wrong_years(items, lambda item: sources[item.source].text, seed)
    return QuestionSet("alone", sources, tuple(items))


def _among_all(sources: dict[str, Source], questions: list[tuple[EvalQuestion, str]], seed: int) -> QuestionSet:
    """One index of all documents but those of every fifth document that is asked about."""
    asked = list(dict.fromkeys(key for _, key in questions))
    missing = set(random.Random(seed).sample(asked, len(asked) // 5))
    kept = {key: source for key, source in sources.items() if key not in missing}
    everything = "\n".join(source.text for source in kept.values())
    items = [Item(question) for question, key in questions if key not in missing]
    items += [_without(Item(question), LEFT_OUT) for question, key in questions if key in missing]
    items += _wrong_years([item for item in items if item.question.answerable], lambda _: everything, seed)
    return QuestionSet("all", kept, tuple(items))


def _reading(path: Path, name: str = "reading") -> QuestionSet:
    """Paragraphs, each a document of its own, with near misses written by hand."""
    questions = read_questions(path)
    keys = {text: f"paragraph {number}" for number, text in enumerate(dict.fromkeys(q.text for q in questions), 1)}
    items = tuple(
        Item(replace(question, kind=question.kind or ("" if question.answerable else "near miss")), keys[question.text])
        for question in questions
    )
    return QuestionSet(name, {key: Source(key, text) for text, key in keys.items()}, items)


def _elsewhere(path: Path, name: str, seed: int) -> QuestionSet:
    """Every second question that has an answer, put to another document of its set, which does not hold it."""
    own = _reading(path)
    answerable = [item for item in own.items if item.question.answerable]
    return QuestionSet(name, own.sources, tuple(_other_documents(answerable, own.sources, seed)))


def _samples(seed: int) -> QuestionSet:
    rows = json.loads((SAMPLES / "questions.json").read_text(encoding="utf-8"))
    sources = {name: _file(SAMPLES / name) for name in dict.fromkeys(row["file"] for row in rows)}
    items = [Item(question_from(row, "questions.json", str(number)), row["file"]) for number, row in enumerate(rows)]
    items = [item if item.question.answerable else _without(item, "near miss") for item in items]
    answerable = [item for item in items if item.question.answerable]
    items += _other_documents(answerable, sources, seed)
    items += _wrong_years(answerable, lambda item: sources[item.source].text, seed)
    return QuestionSet("samples", sources, tuple(items))


def _file(path: Path) -> Source:
    """Read a file: pages of a PDF as LangChain's loader gives them, else the text that our loader finds."""
    from bench.baseline import pdf_text
    from rag_core.config import LimitsConfig
    from rag_core.loading import load_document

    text = "\n".join(pdf_text(path)) if path.suffix == ".pdf" else load_document(path, LimitsConfig()).text
    return Source(path.name, text, path)


def _without(item: Item, kind: str, **changes: Any) -> Item:
    """Return the question as one that has no answer."""
    question = replace(
        item.question,
        answers=(),
        parts=(),
        figures=(),
        operands=(),
        evidence=(),
        answerable=False,
        kind=kind,
        **changes,
    )
    return replace(item, question=replace(question, id=f"{question.id}, {kind}"))


def _other_documents(items: Sequence[Item], sources: dict[str, Source], seed: int) -> list[Item]:
    """Put every second question to a document drawn from those that do not hold its answer."""
    draw, keys, made = random.Random(seed), sorted(sources), []
    for item in draw.sample(items, round(len(items) * _PAIRED)):
        for key in draw.sample(keys, len(keys)):
            if key != item.source and not _held(sources[key].text, item.question):
                made.append(replace(_without(item, OTHER_DOCUMENT), source=key))
                break
    return made


def _held(text: str, question: EvalQuestion) -> bool:
    return any(holds(text, answer) for answer in (*question.answers, *question.parts))


def _wrong_years(items: Sequence[Item], text_of: Callable[[Item], str], seed: int) -> list[Item]:
    """Change the years of questions that name some for years that the document does not name."""
    draw, made = random.Random(seed), []
    dated = [item for item in items if years(item.question.question)]
    for item in draw.sample(dated, min(len(dated), round(len(items) * _NEAR))):
        text, question = text_of(item), item.question.question
        named = sorted(set(years(question)))
        distance = draw.choice((3, 4, 5, 6))
        swapped = {year: _absent(int(year) - distance, text) for year in named}
        for year in named:
            question = question.replace(year, swapped[year])
        made.append(_without(item, WRONG_YEAR, question=question))
    return made


def _absent(year: int, text: str) -> str:
    """Return that year, or the nearest before it that the text does not have in its digits (FY19 and 2019 alike)."""
    while str(year) in text or f"FY{year % 100:02}" in text:
        year -= 1
    return str(year)


def _rows(path: Path) -> Iterable[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").split("\n") if line.strip()]
