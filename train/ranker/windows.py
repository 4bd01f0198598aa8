"""The texts of `train/reader` cut as the index cuts a document, and which windows hold the answer to a question."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from rag_core.chunking.splitting import split_document
from rag_core.chunking.tokens import TokenCounter
from rag_core.chunking.windows import WindowTexts
from rag_core.config import SplittingConfig
from rag_core.records import Document, Page
from train.reader.examples import occurrences
from train.reader.formulas import Calculation
from train.reader.paragraphs import Paragraph

__all__ = ["Asked", "CutText", "asked_about", "cut", "held_by", "holding"]


@dataclass(frozen=True, slots=True)
class Asked:
    """A question about a text. `parts` of it are needed for the answer, all at best in one window; none: no answer."""

    question: str
    text: str
    parts: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class CutText:
    """The windows of a text: their characters [start, end), and what the index embeds of each."""

    spans: tuple[tuple[int, int], ...]
    embedded: tuple[str, ...]


def asked_about(paragraphs: Iterable[Paragraph], calculations: Iterable[Calculation]) -> list[Asked]:
    """Return all questions: of those that are computed the figures are needed, of the others the words."""
    found = [
        Asked(question.text, paragraph.text, (question.answer,) if question.answer else ())
        for paragraph in paragraphs
        for question in paragraph.questions
    ]
    for each in calculations:
        parts = each.formula.operands if each.formula is not None else (each.answer,) if each.answer else ()
        found.append(Asked(each.question, each.text, parts))
    return found


def cut(text: str, config: SplittingConfig, counter: TokenCounter) -> CutText:
    """Return the windows of a text that is a document of its own."""
    document = Document("0" * 64, "report.txt", "text/plain", len(text), text, (Page(1, 0, len(text)),))
    texts = WindowTexts(document, config, counter)
    windows = [window for chunk in split_document(document, config, counter) for window in chunk.windows]
    return CutText(
        tuple((window.start, window.end) for window in windows),
        tuple(texts.embedded(window.start, window.end) for window in windows),
    )


def holding(asked: Asked, windows: CutText) -> list[int]:
    """Return which windows hold the most of what is needed, none where nothing is."""
    counts = [0] * len(windows.spans)
    for part in asked.parts:
        places = occurrences(asked.text, part)
        for number, (start, end) in enumerate(windows.spans):
            counts[number] += any(start <= place and place + len(part) <= end for place in places)
    most = max(counts, default=0)
    return [number for number, count in enumerate(counts) if most and count == most]


def held_by(parts: Sequence[str], text: str) -> bool:
    """Return whether a text has all that is needed somewhere, so that it might answer as well."""
    return bool(parts) and all(part in text for part in parts)
