"""Whether the evidence holds what the question asks for, and in words what is missing where it does not.

A logistic decision over measures of the best answer and its sentence: how well the term of the question that is held
worst is held, how near the sentences are in meaning, what the readers say less what speaks against their words, whether
another ordinal, modifier or name stands in the place of one that is asked for, and what the close reader says of the passage
as a whole. The weights are fitted on
questions of our own with and without answers.
"""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass

from rag_core.answers.evidence import Evidence
from rag_core.answers.questions import Asked
from rag_core.answers.reading import Reading
from rag_core.answers.replacing import HELD, class_replaced, helping_terms, modifier_replaced, name_replaced
from rag_core.language.offices import OFFICES
from rag_core.language.sentences import terms
from rag_core.language.tablecells import table_at
from rag_core.records import Hit

__all__ = ["MEASURES", "Decision", "decide", "is_sure", "measures"]

# Fitted by logistic regression on some 1,000 questions, 400 of them without an answer: those over paragraphs, over excerpts
# of company reports, the even half of the analysts' (it counts half as much again) and excerpts with questions of other
# excerpts, each set of the same weight. On the analysts' questions, by another hand, the reader's margin tells more than
# the words that are missing.
_QUICK = {
    "bias": 0.344,
    "least_near": 0.772,
    "best_cosine": 0.912,
    "margin": 0.214,
    "quick": 0.0,
    "replaced": -0.672,
    "modifier": -0.726,
    "another_name": -0.294,
    "held": 0.0,
}
# The same where the generator has read, fitted on 1,000 questions of the same sets. `held` is its word on the passage as a
# whole, which alone tells questions with and without an answer as well as margins do, or better. The bias is 1.299 above the
# fitted one, so that it answers from a probability of 0.21 on: there precision and recall of what is left unanswered are
# best together. 0.2 of that came with the close reader of December 2026, which is more careful: of the analysts' questions
# precision rises from 0.867 to 0.886 at the same recall. Weights fitted to that reader anew were no better on any other set.
_CLOSE = {
    "bias": 2.104,
    "least_near": 1.212,
    "best_cosine": 0.371,
    "margin": 0.082,
    "quick": 0.134,
    "replaced": 0.212,
    "modifier": -0.716,
    "another_name": -1.087,
    "held": 0.235,
}
_THRESHOLD = 0.5
MEASURES = tuple(name for name in _QUICK if name != "bias")
# Nats of the generator and of the quick reader from which on no rule's doubt counts: of 57 questions that such doubts refuse
# rightly one reaches both, of 10 that they refuse wrongly seven.
_SURE = (6.0, 0.0)
# In nats; beyond, the reader is as sure as it gets.
_LEAST_MARGIN, _MOST_MARGIN, _MOST_HELD = -20.0, 12.0, 12.0
# A name behind "of" and the like, or one that owns what follows.
_CAPITAL = r"[A-ZÀ-Þ][\w&-]+"
_BODY = re.compile(
    rf"\b(?:of|at|for|by|with|behind) (?:the )?(?P<of>{_CAPITAL}(?: {_CAPITAL})*)|\b(?P<own>{_CAPITAL})(?:['’]s\b|s['’])"
)
# Capitals that name no body: offices, fields, months, and what begins a question ("What's the title ...?").
_NO_BODIES = frozenset(OFFICES) | frozenset(
    (
        "CMO CHRO ESG USA UAE January February March April May June July August September October November December "
        "What Who Where When How Which That There Here"
    ).split()
)
# What is missing where the words that answer best are of another kind.
_FORMS = {
    "count": "a number",
    "amount": "an amount",
    "percentage": "a percentage",
    "measure": "a figure",
    "name": "a name",
}


@dataclass(frozen=True, slots=True)
class Decision:
    """`probability` in [0, 1] that the evidence holds the answer, and what is missing where it is judged not to."""

    probability: float
    missing: str = ""

    @property
    def answers(self) -> bool:
        """Whether to answer."""
        return not self.missing


def decide(asked: Asked, reading: Reading | None, hits: Sequence[Hit]) -> Decision:
    """Return whether `reading` answers `asked`, and if not, why in one line."""
    if reading is None:
        return Decision(0.0, "no sentence of the passages shares a word with the question")
    absent = _absent_years(asked, hits)
    if absent:
        # A figure of another year is the likeliest of all wrong answers, and the one that is hardest to notice.
        return Decision(0.0, f"{' and '.join(absent)} {_do(absent)} not occur in the passages")
    strange = _strange(asked, hits)
    if strange:
        return Decision(0.0, f"{strange} does not occur in the documents")
    doubt = _doubt(asked, reading)
    if doubt:
        return Decision(0.0, doubt)
    found = measures(asked, reading)
    weights = _QUICK if reading.both is None else _CLOSE
    total = weights["bias"] + sum(weights[name] * value for name, value in zip(MEASURES, found, strict=True))
    probability = 1.0 / (1.0 + math.exp(-max(-30.0, min(30.0, total))))
    return Decision(probability, "" if probability >= _THRESHOLD else _missing(asked, reading, hits))


def _doubt(asked: Asked, reading: Reading) -> str:
    """Return what a rule has against the words that were read, in one line; nothing where both readers are sure of them."""
    if is_sure(reading):
        return ""
    doubts = reading.doubts
    if doubts.qualified:
        return f"the passages speak only of: {doubts.qualified}"
    if doubts.role:
        return f"no passage says who is {doubts.role}"
    return f"no passage gives {_FORMS[asked.kind]} for this" if doubts.kind and asked.kind in _FORMS else ""


def is_sure(reading: Reading) -> bool:
    """Tell whether both readers are so sure of the words that no rule's doubt about them counts."""
    return reading.both is not None and all(margin >= least for margin, least in zip(reading.both, _SURE, strict=True))


def measures(asked: Asked, reading: Reading) -> tuple[float, ...]:
    """Return the measures that decide, in the order of MEASURES."""
    evidence, start, end = reading.evidence, reading.start, reading.end
    better, quick = reading.both or (reading.margin, reading.margin)
    helping = helping_terms(asked)
    asking = [row for row, term in enumerate(asked.terms) if term not in helping]
    return (
        min((float(evidence.near[row]) for row in asking), default=1.0),
        max(item.cosine for item in reading.sentences),
        _bounded(better - reading.doubts.total),
        _bounded(quick - reading.doubts.total),
        float(class_replaced(asked, evidence)),
        float(modifier_replaced(asked, evidence, start, end)),
        float(name_replaced(asked, evidence, start, end)),
        max(-_MOST_HELD, min(_MOST_HELD, reading.held)),
    )


def _bounded(margin: float) -> float:
    return max(_LEAST_MARGIN, min(_MOST_MARGIN, margin))


def _lost(asked: Asked, evidence: Evidence) -> list[int]:
    """Return the numbers of the question's terms that neither the sentence nor what stands around it holds."""
    return [row for row in range(len(asked.terms)) if float(evidence.near[row]) < HELD]


def _missing(asked: Asked, reading: Reading, hits: Sequence[Hit]) -> str:
    """Return which words of the question the passages lack, or else lack where they speak of the others."""
    evidence = reading.evidence
    lost = _lost(asked, evidence)
    hard = [row for row in lost if asked.terms[row] in asked.names or asked.terms[row][:1].isdigit()]
    chosen = hard or sorted(lost, key=lambda row: -float(evidence.weights[row]))[:2]
    held = " ".join([_as_written(asked, row) for row in range(len(asked.terms)) if row not in lost][:4])
    told = {term for hit in hits for text in (hit.text, hit.document.name, *hit.headings) for term in terms(text)}
    nowhere = [row for row in chosen if asked.terms[row] not in told]
    words = list(dict.fromkeys(_as_written(asked, row) for row in nowhere or chosen))[:3]
    if nowhere:
        return f"{' and '.join(words)} {_do(words)} not occur in the passages{f' about {held}' if held else ''}"
    if words and held:
        return f"no sentence about {held} speaks of {' or '.join(words)}"
    return f"no passage{f' about {held}' if held else ''} holds what is asked for"


def _absent_years(asked: Asked, hits: Sequence[Hit]) -> list[str]:
    """Return the years of the question that stand nowhere in the hits, their table heads, titles or file names."""
    told = [f"{hit.text} {' '.join(hit.headings)} {hit.document.name} {_header(hit)}" for hit in hits]
    return [year for year in dict.fromkeys(asked.years) if not any(_names_year(text, year) for text in told)]


def _strange(asked: Asked, hits: Sequence[Hit]) -> str:
    """Return the body whose people a question is about and that no document of the hits names, or nothing.

    Offices are much alike everywhere, so the reader is sure of the chief executive, whosever it is.
    """
    if asked.kind != "name":
        return ""
    documents = {hit.document.id: hit.document for hit in hits}.values()
    for match in _BODY.finditer(asked.text):
        name = match["of"] or match["own"]
        words = [word for word in re.findall(r"[\w&-]+", name) if len(word) > 2 and word not in _NO_BODIES]
        held = (
            re.search(rf"\b{re.escape(word)}\b", text, re.IGNORECASE)
            for word in words
            for document in documents
            for text in (document.name, document.text)
        )
        if words and not any(held):
            return name
    return ""


def _header(hit: Hit) -> str:
    table = table_at(hit.document, hit.start)
    return hit.document.text[table.header_start : table.header_end] if table else ""


def _names_year(text: str, year: str) -> bool:
    """Tell whether `text` has the year in full, or as the last two digits behind FY, an apostrophe, a dash or a slash."""
    return year in text or re.search(rf"(?:FY\s?|['’]|[-–/])(?:{year[:2]})?{year[2:]}(?!\d)", text) is not None


def _do(words: Sequence[str]) -> str:
    return "does" if len(words) == 1 else "do"


def _as_written(asked: Asked, row: int) -> str:
    term = asked.terms[row]
    for word in asked.text.split():
        bare = word.strip("?.,;:!\"'()")
        if term in terms(bare):
            return bare.removesuffix("'s")
    return term
