"""Sentences that give a whole and a part of it: "EUR 12 million, of which 3 million was drawn", "five of the seven members".

Read are four forms only: "W, of which P"; "of the W …, P …"; "P of the W"; "W … included P for …". Both figures are of one
unit, the part is not larger than the whole, and a whole with two parts gives both.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from decimal import Decimal
from itertools import pairwise

from rag_core.arithmetic.figures import Figure, find_figures
from rag_core.language.periods import find_periods

__all__ = ["Share", "counted_figures", "sentence_shares"]

# A sentence with more figures than this is a list or an attack.
_MOST_FIGURES = 24
_NUMBERS = "one two three four five six seven eight nine ten eleven twelve".split()
_NUMBER = re.compile(rf"\b(?:{'|'.join(_NUMBERS)})\b", re.IGNORECASE)
_OF_WHICH = re.compile(
    r"\s*[^,;.()]{0,60}?,?\s*\(?of\s+(?:which|whom|these|this|that amount)\s+(?:about\s+|some\s+)?", re.IGNORECASE
)
_OF_THE_BEFORE = re.compile(
    r"(?:^|[,;]\s+|\bwhile\s+)of\s+(?:the|its|our|their|these|a total of)\s+(?:total\s+(?:of\s+)?)?$", re.IGNORECASE
)
_PART_AFTER = re.compile(r"(?P<whole>[^,;.]{1,80}),\s+(?:about\s+|only\s+|some\s+)?(?:a further\s+)?", re.IGNORECASE)
_OF_THE = re.compile(r"\s+(?:\w+\s+)?of\s+(?:the|its|our|their)\s+", re.IGNORECASE)
_INCLUDED = re.compile(r"(?P<whole>[^,;.]{0,60}?),?\s+(?:includ(?:es|ed|ing)|comprising|thereof)\s+", re.IGNORECASE)
# What stands in brackets is another year's, but for parts in brackets.
_BRACKETS = re.compile(r"\((?!\s*(?:of which|of whom|including|thereof))[^()]*\)", re.IGNORECASE)
_CLAUSE_END = re.compile(r"[,;()]|\.(?:\s|$)|\b(?:while|whereas|and the (?:rest|remainder|balance))\b")
_CLAUSE_START = re.compile(r"[;()]|,\s(?=and\b|while\b)")


@dataclass(frozen=True, slots=True)
class Share:
    """A whole and a part: their figures with their spans in the sentence, and what it says that each is of."""

    whole: tuple[Figure, int, int]
    whole_label: str
    part: tuple[Figure, int, int]
    part_label: str


def sentence_shares(sentence: str) -> Iterator[Share]:
    """Yield the wholes of a sentence with their parts, in order."""
    sentence = _BRACKETS.sub(lambda found: " " * len(found.group()), sentence)
    figures = counted_figures(sentence)[:_MOST_FIGURES]
    for first, second in pairwise(figures):
        share = _share(sentence, first, second)
        if share is not None:
            yield share


def counted_figures(sentence: str) -> list[tuple[Figure, int, int]]:
    """Return the figures of a sentence, numbers up to twelve in words among them, years and dates not."""
    periods = [(start, end) for period, start, end in find_periods(sentence) if period.year or period.month]
    spelled = [
        (Figure(found.group(), Decimal(_NUMBERS.index(found.group().lower()) + 1)), found.start(), found.end())
        for found in _NUMBER.finditer(sentence)
    ]
    found = [item for item in find_figures(sentence) if not any(s < item[2] and item[1] < e for s, e in periods)]
    return sorted(found + spelled, key=lambda item: item[1])


def _share(sentence: str, first: tuple[Figure, int, int], second: tuple[Figure, int, int]) -> Share | None:
    before, between, after = sentence[: first[1]], sentence[first[2] : second[1]], sentence[second[2] :]
    since = [found.end() for found in _CLAUSE_START.finditer(before)]
    lead = before[since[-1] if since else 0 :]
    tail = after[: found.start()] if (found := _CLAUSE_END.search(after)) else after
    if _OF_THE_BEFORE.search(before) and (found := _PART_AFTER.fullmatch(between)):
        return _made(first, found["whole"], second, tail)
    if _OF_WHICH.fullmatch(between):
        return _made(first, f"{lead} {between.split(',')[0]}", second, tail)
    if _OF_THE.fullmatch(between) and not first[0].percent:
        return _made(second, _noun(tail), first, f"{lead} {tail}")
    if found := _INCLUDED.fullmatch(between):
        return _made(first, f"{lead} {found['whole']}", second, tail)
    return None


def _noun(tail: str) -> str:
    """Return the first words of a clause, up to its verb: what is counted."""
    return re.split(r"\b(?:is|are|was|were|has|have|had|do|does|did|will|that|who|which)\b", tail)[0][:60]


def _made(whole: tuple[Figure, int, int], label: str, part: tuple[Figure, int, int], of: str) -> Share | None:
    large, small = whole[0], part[0]
    if not (small.currency or small.scale or small.percent) and large.scale and "." in small.text + large.text:
        small = replace(small, scale=large.scale, currency=large.currency)
    if large.percent or small.percent or (large.currency or small.currency) != (small.currency or large.currency):
        return None
    if bool(large.currency) != bool(small.currency):
        return None
    if small.value.scaleb(small.scale) > large.value.scaleb(large.scale) or small.value <= 0:
        return None
    return Share(whole, label.strip(), (small, part[1], part[2]), of.strip())
