"""Question and hits to the few words of a document that answer, with the sentence that they stand in.

The reading model marks the words and says by how much they beat "not in this passage"; the sentence around them is what
the answer rests on and is judged by.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field

from rag_core.answers.cells import Fitting
from rag_core.answers.doubts import Doubts, doubts_about, sentence_of
from rag_core.answers.evidence import Evidence, find_evidence
from rag_core.answers.latest import Candidate, prefer_latest, within_sentence
from rag_core.answers.nearness import WordNearness
from rag_core.answers.questions import Asked, analyse
from rag_core.answers.reader import Marked, Reader, ReadSpan
from rag_core.answers.roles import holders, lacks_role, restated, signatures
from rag_core.answers.widening import whole_answer
from rag_core.arithmetic.planned import compute_planned
from rag_core.language.orders import asks_about_orders, gives_orders
from rag_core.language.sentences import sentence_spans
from rag_core.records import Computation, Hit

__all__ = ["Marks", "Reading", "computed", "mark", "read"]

# Passages that are read closely, each in about 0.05 s on a core.
_MOST_HITS = 4
# Spans of each that are weighed.
_MOST_SPANS = 6
# Probability of a plan from which on it is computed. Where a formula is likely at all, one that has this share of all formulas
# is heard too, and where no words answer one that has less: of the analysts' 40 questions to be computed half were then
# computed rightly, one in 20 wrongly, and of the held-out ones of ours 0.427 and 0.076.
_PLANNED, _NEEDED, _SHARE, _SHARE_UNREAD = 0.6, 0.3, 0.7, 0.5
_IN_WORDS: frozenset[str] = frozenset(("name", "place", "reason", "manner"))
_RESPECTIVELY = re.compile(r"\brespective(?:ly)?\b", re.IGNORECASE)
# Characters of a document that say whose it is.
_OPENING = 400
# Nats of a name that stands as a signature, or in a table of offices.
_SIGNED = 8.0


@dataclass(frozen=True)
class Marks:
    """What a reader marked in the `texts` of `hits`, for the question as it was put to it, perhaps in other words."""

    asked: Asked
    hits: tuple[Hit, ...]
    texts: tuple[str, ...]
    found: tuple[Marked, ...]


@dataclass(frozen=True)
class Reading:
    """The words [start, end) of the document of `evidence` that answer best; `margin` and `both` in nats, see `ReadSpan`.

    `sentences` are the sentences of all hits that fit the question best, `evidence`, which holds the words, among them.
    `asked` is the question as it was read, perhaps put in other words: what `evidence` measures is by its terms. `held` is
    what the reader says of the passage as a whole, see `Marked`.
    """

    evidence: Evidence
    start: int
    end: int
    margin: float
    both: tuple[float, float] | None
    sentences: tuple[Evidence, ...]
    asked: Asked
    doubts: Doubts = field(default_factory=Doubts)
    held: float = 0.0

    @property
    def text(self) -> str:
        """The answer as it stands in the document, white space folded."""
        return " ".join(self.evidence.hit.document.text[self.start : self.end].split())


def mark(asked: Asked, hits: Sequence[Hit], reader: Reader) -> Marks:
    """Return what `reader` marks in the first hits. Raises ModelError."""
    shown = hits[:_MOST_HITS]
    own = " ".join(f"{hit.document.name} {hit.document.text[:_OPENING]}" for hit in shown)
    plain = analyse(restated(asked.text, own) or asked.text)
    if any(not lacks_role(plain, hit.text, 0, len(hit.text)) for hit in shown):
        asked = plain
    texts = tuple(_readable(asked, hit) for hit in shown)
    return Marks(asked, tuple(shown), texts, tuple(reader.mark(asked.text, texts, _MOST_SPANS)))


def computed(question: str, marks: Marks, *, unread: bool = False) -> Computation | None:
    """Return the figure that the surest plan for `question` comes to, None where none is sure enough.

    `unread` says that no words answer: then a plan need not be as sure of its figures. What is asked for in words is never
    computed, nor several figures respectively: no formula gives those.
    """
    if marks.asked.kind in _IN_WORDS or _RESPECTIVELY.search(question):
        return None
    best = max(
        ((each.plan, hit) for each, hit in zip(marks.found, marks.hits, strict=True) if each.plan is not None),
        key=lambda item: item[0].probability,
        default=None,
    )
    if best is None:
        return None
    plan = best[0]
    least = _SHARE_UNREAD if unread else _SHARE
    if plan.probability < _PLANNED and (plan.needed < _NEEDED or plan.share < least):
        return None
    return compute_planned(question, *best)


def read(marks: Marks, hits: Sequence[Hit], wording: WordNearness, fitting: Fitting | None = None) -> Reading | None:
    """Return what answers best of what is marked, None where there is nothing to read; `fitting` judges cells."""
    asked, shown, texts = marks.asked, marks.hits, marks.texts
    signed = [
        [ReadSpan(*span, _SIGNED) for span in (*signatures(asked.text, text), *holders(asked, text))] for text in texts
    ]
    weighed = [
        Candidate(
            hit,
            span.margin,
            span.both,
            hit.start + span.start,
            end,
            doubts_about(asked, hit, hit.start + span.start, end),
        )
        for each, more, hit in zip(marks.found, signed, shown, strict=True)
        for span in (*each.spans, *more)
        for end in [within_sentence(asked, hit, hit.start + span.start, hit.start + span.end)]
    ]
    if not weighed:
        return None
    fits = [item for item in weighed if fitting is None or not fitting.misfits(item.hit.document, item.start)]
    best = prefer_latest(asked, fits or weighed)
    hit, start, end, doubts = best.hit, best.start, best.end, best.doubts
    start, end = whole_answer(asked, hit.document.text, start, end, *sentence_of(hit, start, end))
    sentences = find_evidence(asked, hits, wording, (hit, start, end))
    holding = next((item for item in sentences if _holds(item, hit, start)), None)
    if holding is None:
        return None
    held = next(each.held for each, own in zip(marks.found, shown, strict=True) if own == hit)
    return Reading(holding, start, end, best.margin, best.both, tuple(sentences), asked, doubts, held)


def _holds(item: Evidence, hit: Hit, position: int) -> bool:
    return item.hit.document.id == hit.document.id and item.start <= position < item.end


def _readable(asked: Asked, hit: Hit) -> str:
    """Return the hit's text with white space in place of sentences that give orders: positions stay as they are."""
    if asks_about_orders(asked.text):
        return hit.text
    text = hit.text
    for start, end in sentence_spans(text):
        if gives_orders(text[start:end]):
            text = text[:start] + " " * (end - start) + text[end:]
    return text
