"""Hits to the sentences that may hold the answer: what of the question each covers, in its own words or in related ones."""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from rag_core.answers.nearness import WordNearness
from rag_core.answers.questions import Asked
from rag_core.language.sentences import STOP_WORDS, content_terms, sentence_spans, terms
from rag_core.language.tablecells import table_at
from rag_core.records import Hit

__all__ = ["Evidence", "Word", "find_evidence"]

# Sentences that are read closely; the others share too little with the question.
_MOST_SENTENCES = 12
# A sentence beyond this many characters is cut: such are lists or tables without breaks.
_LONGEST = 900
# What a term counts that stands only in the sentence before, or in a heading: the subject is often named there.
_NEIGHBOUR, _HEADING = 0.6, 0.6
# Characters from which on a document is taken for one with a subject of its own, and those that say which.
_REPORT, _OPENING = 1_500, 120
_WORD = re.compile(r"[$€£¥]?\d[\d,.]*\d%?|[$€£¥]?\d%?|[^\W_]+(?:[’'.&-][^\W_]+)*|[^\w\s]")


@dataclass(frozen=True, slots=True)
class Word:
    """A word, figure or mark of a sentence: its span in the document, and its normalised term (nothing for a mark)."""

    start: int
    end: int
    text: str
    term: str


@dataclass(frozen=True)
class Evidence:
    """A sentence of a hit, [start, end) of its document.

    `matches` has for each word how well it matches some term of the question, in [0, 1], and `which` the number of that
    term. `covered` is for each term of the question how well the sentence holds it, `near` the same with the sentence
    before and the headings. `coverage` and `near_coverage` in [0, 1] weigh these by rarity; `cosine` in [-1, 1].
    """

    hit: Hit
    start: int
    end: int
    words: tuple[Word, ...]
    matches: npt.NDArray[np.float32] = field(repr=False)
    which: npt.NDArray[np.int64] = field(repr=False)
    covered: npt.NDArray[np.float32] = field(repr=False)
    near: npt.NDArray[np.float32] = field(repr=False)
    weights: npt.NDArray[np.float32] = field(repr=False)
    coverage: float
    near_coverage: float
    cosine: float

    @property
    def text(self) -> str:
        """The sentence as it stands in the document."""
        return self.hit.document.text[self.start : self.end]


def find_evidence(
    asked: Asked, hits: Sequence[Hit], wording: WordNearness, answer: tuple[Hit, int, int] | None = None
) -> list[Evidence]:
    """Return the sentences of `hits` that fit `asked` best, best first; at most 12, or one more. Raises ModelError.

    `answer` is a span [start, end) in the document of a hit: the sentences that it stands in are among those returned,
    as one where it runs over their end.
    """
    spans = _sentences(hits)
    if answer is not None:
        spans = _joined(spans, *answer)
    if not spans or not asked.terms:
        return []
    held = [frozenset(content_terms(hit.document.text[start:end])) for hit, start, end, _ in spans]
    weights = _weights(asked.terms, held)
    total = float(weights.sum()) or 1.0
    exact = np.array([[term in terms_ for term in asked.terms] for terms_ in held], dtype=np.float32)
    cosines = _cosines(asked, spans, exact @ weights, wording)
    order = sorted(range(len(spans)), key=lambda row: -(float(exact[row] @ weights) / total + float(cosines[row])))
    holding = [row for row in order[_MOST_SENTENCES:] if answer and _stands_in(answer, spans[row])]
    order = [*order[:_MOST_SENTENCES], *holding]
    read = [_words(spans[row]) for row in order]
    nearness = _nearness(asked, read, wording)
    softly = {row: _softly(asked, words, nearness) for row, words in zip(order, read, strict=False)}
    found = []
    for row, words in zip(order, read, strict=False):
        hit, start, end, before = spans[row]
        matches, which, covered = softly[row]
        around = _around(asked, hit, start)
        near = np.maximum(covered, _HEADING * around)
        if before is not None:
            previous = softly[before][2] if before in softly else exact[before]
            near = np.maximum(near, _NEIGHBOUR * previous)
        found.append(
            Evidence(
                hit, start, end, words, matches, which, covered, near, weights,
                float(covered @ weights) / total, float(near @ weights) / total, float(cosines[row]),
            )
        )  # fmt: skip
    return found


_Span = tuple[Hit, int, int, int | None]


def _sentences(hits: Sequence[Hit]) -> list[_Span]:
    """Return hit, span and the number of the sentence before in the same hit; overlapping hits give each once."""
    found: list[_Span] = []
    seen: set[tuple[str, int]] = set()
    for hit in hits:
        before: int | None = None
        for start, end in sentence_spans(hit.document.text, hit.start, hit.end):
            if (hit.document.id, start) in seen:
                continue
            seen.add((hit.document.id, start))
            found.append((hit, start, min(end, start + _LONGEST), before))
            before = len(found) - 1
    return found


def _stands_in(answer: tuple[Hit, int, int], span: _Span) -> bool:
    return answer[0].document.id == span[0].document.id and span[1] <= answer[1] < span[2]


def _joined(spans: list[_Span], hit: Hit, start: int, end: int) -> list[_Span]:
    """Return the spans with that which holds `start` drawn out to `end`."""
    answer = (hit, start, end)
    return [(span[0], span[1], max(span[2], end), span[3]) if _stands_in(answer, span) else span for span in spans]


def _weights(asked: Sequence[str], held: Sequence[frozenset[str]]) -> npt.NDArray[np.float32]:
    """Weigh the question's terms by how few sentences hold them; one that no sentence holds weighs most."""
    counts = Counter(term for terms_ in held for term in terms_)
    return np.array([1.0 + math.log((2 + len(held)) / (1 + counts[term])) for term in asked], dtype=np.float32)


def _cosines(
    asked: Asked, spans: Sequence[_Span], scores: npt.NDArray[np.float32], wording: WordNearness
) -> npt.NDArray[np.float32]:
    """Return the cosine of the question with each sentence; 0 for those that are too far behind to be read."""
    focused = [hit.focus.start <= start < hit.focus.end for hit, start, _, _ in spans]
    order = sorted(range(len(spans)), key=lambda row: (-float(scores[row]) - 0.5 * focused[row], row))[
        : 3 * _MOST_SENTENCES
    ]
    cosines = np.zeros(len(spans), dtype=np.float32)
    texts = [spans[row][0].document.text[spans[row][1] : spans[row][2]] for row in order]
    cosines[order] = wording.sentences(asked.text, texts)
    return cosines


def _words(span: _Span) -> tuple[Word, ...]:
    hit, start, end, _ = span
    return tuple(
        Word(match.start(), match.end(), match.group(), "".join(terms(match.group())[:1]))
        for match in _WORD.finditer(hit.document.text, start, end)
    )


def _nearness(
    asked: Asked, read: Sequence[Sequence[Word]], wording: WordNearness
) -> dict[str, npt.NDArray[np.float32]]:
    """Return for each word that may stand for another how near it is to each term of the question."""
    words = sorted({word.text.lower() for words in read for word in words if _replaceable(word)})
    plain = _written(asked)
    columns = wording.nearness(plain, words)
    for row, term in enumerate(asked.terms):
        if term in asked.names or term[:1].isdigit():
            columns[row] = 0.0
    return {word: columns[:, number] for number, word in enumerate(words)}


def _written(asked: Asked) -> list[str]:
    """Return each term of the question as it is written there: a stem is no word."""
    by_term: dict[str, str] = {}
    for match in _WORD.finditer(asked.text):
        for term in terms(match.group()):
            by_term.setdefault(term, match.group().lower())
    return [by_term.get(term, term) for term in asked.terms]


def _replaceable(word: Word) -> bool:
    return word.text.isalpha() and len(word.text) > 2 and word.text.lower() not in STOP_WORDS


def _softly(
    asked: Asked, words: Sequence[Word], nearness: dict[str, npt.NDArray[np.float32]]
) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.int64], npt.NDArray[np.float32]]:
    """Return for each word its best match and which term that is, and for each term its best match."""
    table = np.zeros((len(words), len(asked.terms)), dtype=np.float32)
    rows = {term: number for number, term in enumerate(asked.terms)}
    for number, word in enumerate(words):
        if word.text.lower() in nearness:
            table[number] = nearness[word.text.lower()]
        for term in terms(word.text):
            if term in rows and word.text.lower() not in STOP_WORDS:
                table[number, rows[term]] = 1.0
    if not len(words):
        return np.zeros(0, np.float32), np.zeros(0, np.int64), np.zeros(len(asked.terms), np.float32)
    return table.max(axis=1), table.argmax(axis=1), table.max(axis=0)


def _around(asked: Asked, hit: Hit, start: int) -> npt.NDArray[np.float32]:
    """Return which terms the headings, the document's name or the table's header row hold."""
    table = table_at(hit.document, start)
    header = hit.document.text[table.header_start : table.header_end] if table else ""
    known = frozenset(content_terms(" ".join([*hit.headings, header]))) | _owner(asked, hit)
    return np.array([term in known for term in asked.terms], dtype=np.float32)


def _owner(asked: Asked, hit: Hit) -> frozenset[str]:
    """Return the names of the question that a report's own name or first words hold: all of it is about them."""
    document = hit.document
    if not asked.names or len(document.text) < _REPORT:
        return frozenset()
    return asked.names & frozenset(terms(f"{document.name.replace('_', ' ')} {document.text[:_OPENING]}"))
