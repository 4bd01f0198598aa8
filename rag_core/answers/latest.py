"""Of figures that sentences give for several years, that of the latest one: what a question without a period means.

"What is the dividend per share?" finds "0.46 euros for 2022" as well as "0.58 euros for 2023".
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from rag_core.answers.doubts import Doubts, sentence_of
from rag_core.answers.questions import Asked
from rag_core.language.sentences import content_terms, sentence_spans, years
from rag_core.language.tablecells import table_at
from rag_core.records import Hit

__all__ = ["FIGURES", "Candidate", "prefer_latest", "within_sentence"]

FIGURES: frozenset[str] = frozenset(("amount", "percentage", "measure", "count"))
# What may take more than one sentence to tell.
_LONG: frozenset[str] = frozenset(("reason", "manner", "definition", "thing"))
_EARLIER = re.compile(
    r"\b(?:prior|previous\w*|preceding|earlier|earliest|before|first|last|past|former\w*|ever)\b", re.I
)
# What is said of a time to come, or of a bound.
_AHEAD = re.compile(
    r"\b(?:expect\w*|target\w*|plan\w*|outlook|forecast\w*|guidance|will|until|due|matur\w*|aim\w*|goal\w*|committed)\b",
    re.IGNORECASE,
)
# A later figure may fall behind by so many nats, and has to hold as many of the question's words.
_BEHIND = 12.0
# A year right behind a figure is its own: "0.58 euros per share for 2023".
_BESIDE = re.compile(r"(?: [\w-]+){0,3}? (?:in|for|at the end of|during) (?:fiscal )?(?P<year>(?:19|20)\d\d)\b")
_GOES_ON = re.compile(r",? (?:and|which|but) (?:was|were|is|are|has|have|had|will)\b|[.;] ")


@dataclass(frozen=True, slots=True)
class Candidate:
    """A span [start, end) of the document of `hit` that may answer, the readers' margins in nats (see
    `rag_core.answers.reader.ReadSpan`) and what speaks against it."""

    hit: Hit
    margin: float
    both: tuple[float, float] | None
    start: int
    end: int
    doubts: Doubts

    @property
    def weight(self) -> float:
        """The margin less the doubts, in nats."""
        return self.margin - self.doubts.total


def within_sentence(asked: Asked, hit: Hit, start: int, end: int) -> int:
    """Return the end of a span without the next sentence, and of a figure without the next cell or what is said after it."""
    text = hit.document.text
    if "|" in text[start:end]:
        # Of a row's figures the first that is marked; a label and what stands behind it belong together.
        cell = text[start:end].partition("|")[0].rstrip()
        return start + len(cell) if asked.kind in FIGURES and re.match(r"\W*\d", cell) else end
    if asked.kind in _LONG:
        return end
    spans = sentence_spans(text, hit.start, hit.end)
    last = next((high for low, high in spans if low <= start < high), end)
    if last < end:
        end = start + len(text[start:last].rstrip(" .;,"))
    if asked.kind not in FIGURES:
        return end
    first = re.search(r"\d[\d.,]*", text[start:end])
    if first is None:
        return end
    found = _GOES_ON.search(text, start + first.end(), end)
    return found.start() if found else end


def prefer_latest(asked: Asked, found: Sequence[Candidate]) -> Candidate:
    """Return the best of `found`, or where it is a sentence's figure of a year and none is asked for, a later year's."""
    best = max(found, key=lambda item: item.weight)
    year = _year(best)
    if not year or asked.kind not in FIGURES or asked.years or _EARLIER.search(asked.text):
        return best
    held = _held(asked, best)
    later = [
        item
        for item in found
        if item.hit.document.id == best.hit.document.id
        and item.weight > best.weight - _BEHIND
        and _year(item) > year
        and not item.doubts.kind
        and _held(asked, item) >= held
        and not _AHEAD.search(_sentence(item))
    ]
    return max(later, key=lambda item: (_year(item), item.weight), default=best)


def _year(item: Candidate) -> str:
    """Return the year that a sentence gives for its figure, nothing where it gives none or a table has it."""
    document = item.hit.document
    if table_at(document, item.start) is not None or not re.search(r"\d", document.text[item.start : item.end]):
        return ""
    low, high = _span(item)
    told, behind = years(document.text[low : item.start]), document.text[item.end : high]
    beside = _BESIDE.match(behind)
    if beside:
        return beside["year"]
    after = years(behind)
    return told[-1] if told else after[0] if after else ""


def _held(asked: Asked, item: Candidate) -> int:
    return len(set(asked.terms) & set(content_terms(_sentence(item))))


def _sentence(item: Candidate) -> str:
    return item.hit.document.text[slice(*_span(item))]


def _span(item: Candidate) -> tuple[int, int]:
    return sentence_of(item.hit, item.start, item.end)
