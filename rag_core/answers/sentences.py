"""Sentences of the hits that say in full what a question asks about, where a table's row says it in part.

Among them those that give several figures for several things "respectively".
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from rag_core.answers.lookups import LookUp, joined
from rag_core.answers.questions import Asked
from rag_core.answers.rows import row_words
from rag_core.arithmetic.wording import GENERIC, same_as, words
from rag_core.language.sentences import sentence_spans, years
from rag_core.records import Document, Hit

__all__ = ["Respective", "respective_figures", "told_in_a_sentence"]

_FIGURE = re.compile(r"\d")
_RESPECTIVELY = re.compile(r"\brespective(?:ly)?\b", re.IGNORECASE)
# Things that are listed by a word each, and figures that follow each other.
_THINGS = re.compile(r"[^\W\d][\w-]*(?:, [^\W\d][\w-]*)*,? and [^\W\d][\w-]*")
_AMOUNT = r"(?:[$€£¥]|[A-Z]{3} )?\d[\d,]*(?:\.\d+)?(?: ?%| per ?cent| (?:thousand|million|billion))?"
_AMOUNTS = re.compile(rf"{_AMOUNT}(?:, {_AMOUNT})*,? and {_AMOUNT}(?=[^\d])")


@dataclass(frozen=True, slots=True)
class Respective:
    """Figures in the order of the things asked about, and the span of the sentence that gives them."""

    text: str
    document: Document
    span: tuple[int, int]


def told_in_a_sentence(asked: Asked, found: LookUp, hits: Sequence[Hit]) -> bool:
    """Tell whether a sentence holds every word that names what is asked for, and the row that was found lacks some.

    "The value of a share when options were exercised" is no row of options exercised.
    """
    named = [word for word in row_words(asked.text) if word not in GENERIC]
    series = found.series
    row = {*series.own, *series.column, *series.section}
    missing = [word for word in named if word not in row and not same_as(word, row)]
    if not missing:
        return False
    own = [hit for hit in hits if hit.document.id == series.document.id]
    return any(_holds(sentence, named) for _, _, sentence in _sentences(own) if _FIGURE.search(sentence))


def respective_figures(asked: Asked, hits: Sequence[Hit]) -> Respective | None:
    """Return the figures of the things that a question lists, from a sentence that lists both and says "respectively"."""
    if not _RESPECTIVELY.search(asked.text):
        return None
    named = [word for word in row_words(asked.text) if word not in GENERIC]
    wanted = [_items(match.group()) for match in _THINGS.finditer(asked.text)]
    for hit, start, sentence in _sentences(hits):
        if not _RESPECTIVELY.search(sentence) or not set(asked.years) <= set(years(sentence)):
            continue
        if not named or not _holds(sentence, named):
            continue
        things = [_items(match.group()) for match in _THINGS.finditer(sentence)]
        amounts = [re.findall(_AMOUNT, match.group()) for match in _AMOUNTS.finditer(sentence)]
        pairs = [
            (listed, there) for listed in wanted for there in things if len(listed) > 1 and set(listed) == set(there)
        ]
        # Where a sentence has several lists of figures, it is not said which is whose.
        if not pairs or len(amounts) != 1 or len(amounts[0]) != len(pairs[0][1]):
            continue
        listed, there = pairs[0]
        given = dict(zip(there, amounts[0], strict=True))
        text = joined([given[thing] for thing in listed])
        return Respective(text, hit.document, (start, start + len(sentence)))
    return None


def _items(listed: str) -> tuple[str, ...]:
    return tuple(re.split(r",? and |, ", listed.lower()))


def _holds(sentence: str, named: Sequence[str]) -> bool:
    held = set(words(sentence))
    return all(word in held or same_as(word, held) for word in named)


def _sentences(hits: Sequence[Hit]) -> Iterator[tuple[Hit, int, str]]:
    """Yield the sentences of the hits that are no rows, each with its start."""
    for hit in hits:
        for start, end in sentence_spans(hit.document.text, hit.start, hit.end):
            sentence = hit.document.text[start:end]
            if "|" not in sentence:
                yield hit, start, sentence
