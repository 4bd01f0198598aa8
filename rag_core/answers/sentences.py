"""Sentences of the hits that say in full what a question asks about, where a table's row says it in part."""

from __future__ import annotations

import re
from collections.abc import Sequence

from rag_core.answers.lookups import LookUp
from rag_core.answers.questions import Asked
from rag_core.answers.rows import row_words
from rag_core.arithmetic.wording import GENERIC, same_as, words
from rag_core.language.sentences import sentence_spans
from rag_core.records import Hit

__all__ = ["told_in_a_sentence"]

_FIGURE = re.compile(r"\d")


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
    for hit in hits:
        if hit.document.id != series.document.id:
            continue
        for start, end in sentence_spans(hit.document.text, hit.start, hit.end):
            sentence = hit.document.text[start:end]
            if "|" in sentence or not _FIGURE.search(sentence):
                continue
            held = set(words(sentence))
            if all(word in held or same_as(word, held) for word in named):
                return True
    return False
