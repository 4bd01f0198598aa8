"""How near an answer comes to an expected one: words shared, the same words, held whole, the same figures.

The word measures compare as SQuAD's evaluation does (Rajpurkar et al. 2016): lower case, no ASCII punctuation, no
articles, single spaces. Figures are compared by value, see rag_core.evaluation.figures.
"""

from __future__ import annotations

import re
import string
from collections import Counter

from rag_core.evaluation.figures import figures_in, numeric_match

__all__ = ["exact_match", "holds", "token_f1", "word_count"]

_ARTICLES = re.compile(r"\b(?:a|an|the)\b")
_COMMA = re.compile(r"(?<=\d),(?=\d)")
_BETWEEN = re.compile(r"(?<!\d)\.|\.(?!\d)|[^\w\s.]")
_NO_PUNCTUATION = str.maketrans("", "", string.punctuation)
# What else a figure may be written with: a text of figures and these alone is compared by value.
_AROUND_FIGURES = re.compile(
    r"[\d\s.,;:()\[\]+%$€£¥₹−–-]|\b(?:thousand|million|billion|trillion|per ?cent|basis|points?|bps?|and|usd|eur|gbp)s?\b",
    re.IGNORECASE,
)


def token_f1(predicted: str, expected: str) -> float:
    """Return the harmonic mean of precision and recall over words, in [0, 1] (Rajpurkar et al. 2016, SQuAD).

    Two empty answers agree, an empty and another one do not (as in SQuAD 2.0).
    """
    given, wanted = _normalised(predicted).split(), _normalised(expected).split()
    if not given or not wanted:
        return float(given == wanted)
    shared = sum((Counter(given) & Counter(wanted)).values())
    return 2 * shared / (len(given) + len(wanted))


def exact_match(predicted: str, expected: str) -> bool:
    """Return whether both are the same but for case, punctuation, articles and white space (SQuAD's exact match)."""
    return _normalised(predicted) == _normalised(expected)


def holds(text: str, wanted: str) -> bool:
    """Return whether `text` has `wanted` in it: its words in a row, or, where it is all figures, its values.

    Words are whole ones: `art` is not in `part`, nor `15` in `1.5`. An empty `wanted` is in nothing.
    """
    sought = _words(wanted)
    if not sought:
        return False
    if f" {sought} " in f" {_words(text)} ":
        return True
    return bool(figures_in(wanted)) and not _AROUND_FIGURES.sub("", wanted) and bool(numeric_match(text, wanted))


def word_count(text: str) -> int:
    """Return the number of words, as white space parts them."""
    return len(text.split())


def _words(text: str) -> str:
    """Return the words of a text without punctuation of any script; a decimal point stays, a thousands comma goes."""
    return " ".join(_ARTICLES.sub(" ", _BETWEEN.sub(" ", _COMMA.sub("", text.lower()))).split())


def _normalised(text: str) -> str:
    return " ".join(_ARTICLES.sub(" ", text.lower().translate(_NO_PUNCTUATION)).split())
