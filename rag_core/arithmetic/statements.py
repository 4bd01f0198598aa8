"""What one statement gives by a step: the figure before a change, the share that is left to a whole, the middle of a range.

"The plan is now 180 million, 40 million lighter"; "38% of the loans"; "between $22 and $25 a share". Every telling word of
the question must stand in the sentence or in the title, and only one figure may be meant.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from decimal import Decimal
from itertools import pairwise

from rag_core.arithmetic.figures import Figure, shown
from rag_core.arithmetic.operations import Result
from rag_core.arithmetic.phrases import FILLERS
from rag_core.arithmetic.prose import prose_sentences
from rag_core.arithmetic.prosepairs import sentence_pairs
from rag_core.arithmetic.prosewholes import counted_figures
from rag_core.arithmetic.wording import GENERIC, LIGHT, folded, same_as, words
from rag_core.language.periods import find_periods, without_periods
from rag_core.records import Hit

__all__ = ["Step", "steps"]

_MINUS = "\u2212"
_KINDS = r"(?:share|percentage|percent|per cent|proportion|portion|part|%)"
_BEFORE_ASKED = re.compile(
    r"\bwhat (?:was|were|had been) (?:the |its |their )?(?:(?:previous|prior|earlier|old|former|original|initial) (?P<what>.+)"
    r"|(?P<what2>.+?) (?:before (?:the |this |that |its )?(?:change|increase|decrease|cut|rise|reduction|raise|revision)\b.*"
    r"|(?:a|one) year (?:earlier|before|ago)|(?:in )?the (?:previous|prior|preceding) (?:year|period|quarter)|the year before))"
)
_LEFT_ASKED = re.compile(
    rf"\b(?:what|which) {_KINDS} of (?P<whole>.+?) (?:is|was|are|were|do|does|did|has|have|had) (?:not|n't) (?P<part>.+)"
)
_MIDDLE_ASKED = re.compile(r"\b(?:mid[ -]?points?|middle)\b(?: of)?(?P<what>.+)")
_UP = r"(?:rose|risen|grew|grown|increas\w+|climb\w+|rais\w+|lift\w+|gain\w+|widen\w+|improv\w+|jump\w+|add\w+)"
_DOWN = r"(?:fell|fallen|declin\w+|decreas\w+|drop\w+|reduc\w+|lower\w+|cut|shrank|narrow\w+|slipp\w+|eas\w+)"
_MOVED_BY = re.compile(rf"\b(?:(?P<up>{_UP})|(?P<down>{_DOWN}))(?: \w+){{0,4}}? by (?:about |some )?$", re.IGNORECASE)
_HIGHER = re.compile(
    r"\s*(?:(?P<up>higher|more|heavier|up|above)|(?P<down>lower|less|lighter|fewer|cheaper|down|below|leaner))\b(?P<than>[^,;.]*)",
    re.IGNORECASE,
)
_THAN_BEFORE = re.compile(
    r"\s*(?:than (?:before|previously|planned before)|(?:than |on |those of |that of )?(?:in )?(?:a year|last year|"
    r"the (?:previous|prior)).*)?",
    re.IGNORECASE,
)
_RANGE = re.compile(r"\s*(?:and|to|[–-])\s*", re.IGNORECASE)

# What a figure is called before it is reached, and the range of one.
_CALLED = frozenset(words("plan planned guidance target forecast estimate outlook expectation level range rate price"))

_Item = tuple[Figure, int, int]


@dataclass(frozen=True, slots=True)
class Step:
    """A result, and the figures that it rests on with where each stands in the document and its sentence's span."""

    result: Result
    figures: tuple[_Item, ...]
    hit: Hit
    start: int
    end: int


def steps(question: str, hits: Sequence[Hit]) -> list[Step]:
    """Return what the sentences of `hits` give by a step; [] where the question asks for nothing of the kind."""
    text = folded(" ".join(question.split()))[:400]
    if match := _LEFT_ASKED.search(text):
        reader, subject = _left, f"{match['whole']} {match['part']}"
    elif match := _BEFORE_ASKED.search(text):
        reader, subject = _before, match["what"] or match["what2"]
    elif match := _MIDDLE_ASKED.search(text):
        reader, subject = _middle, match["what"]
    else:
        return []
    wanted = set(words(FILLERS.sub(" ", without_periods(subject)))) - GENERIC - LIGHT - _CALLED
    named = {period.year for period, _, _ in find_periods(text) if period.year}
    return [
        Step(result, figures, hit, start, end)
        for hit, _, _, start, end in prose_sentences(hits)
        if _is_about(hit, start, end, wanted, named)
        for result, figures in reader(hit.document.text[start:end])
    ]


def _is_about(hit: Hit, start: int, end: int, wanted: set[str], named: set[int]) -> bool:
    sentence = hit.document.text[start:end]
    held = set(words(sentence))
    title = set(words(" ".join([*hit.headings, hit.document.text[:200].split(" | ")[0]])))
    found = [word for word in wanted if word in held or same_as(word, held)]
    years = {period.year for period, _, _ in find_periods(sentence) if period.year}
    if not wanted or len(found) * 3 < len(wanted) * 2 or (named and years and not named & years):
        return False
    return all(word in held | title or same_as(word, held | title) for word in wanted)


def _left(sentence: str) -> Iterator[tuple[Result, tuple[_Item, ...]]]:
    figures = [item for item in counted_figures(sentence) if item[0].percent]
    if len(figures) == 1 and figures[0][0].value < 100:
        figure = figures[0][0]
        rest = 100 - figure.value
        formula = f"100 {_MINUS} {shown(figure.value, figure.places)}"
        yield Result(rest, figure.places, formula, percent=True, least=figure.places), (figures[0],)


def _before(sentence: str) -> Iterator[tuple[Result, tuple[_Item, ...]]]:
    if any(True for _ in sentence_pairs(sentence)):
        return
    figures = counted_figures(sentence)
    for first, second in pairwise(figures):
        between, after = sentence[first[2] : second[1]], sentence[second[2] :]
        moved = _MOVED_BY.search(sentence[: first[1]])
        higher = _HIGHER.match(after)
        if moved and re.fullmatch(r"\s+(?:\w+\s+)?to\s+(?:about\s+)?", between):
            yield from _undone(second, first, rising=bool(moved["up"]))
        elif (
            higher
            and re.fullmatch(r"\s*,\s*(?:or\s+|some\s+|about\s+)?", between)
            and _THAN_BEFORE.fullmatch(higher["than"])
        ):
            yield from _undone(first, second, rising=bool(higher["up"]))


def _undone(now: _Item, step: _Item, *, rising: bool) -> Iterator[tuple[Result, tuple[_Item, ...]]]:
    """Yield the figure before it changed by `step` to `now`."""
    new, change = now[0], step[0]
    if (new.currency, new.scale, new.percent) != (change.currency, change.scale, change.percent):
        return
    value = new.value - change.value if rising else new.value + change.value
    places = max(new.places, change.places)
    sign = _MINUS if rising else "+"
    formula = f"{shown(new.value, new.places)} {sign} {shown(change.value, change.places)}"
    yield Result(value, places, formula, percent=new.percent, least=places), (now, step)


def _middle(sentence: str) -> Iterator[tuple[Result, tuple[_Item, ...]]]:
    figures = counted_figures(sentence)
    for first, second in pairwise(figures):
        low, high = first[0], second[0]
        if (
            not _RANGE.fullmatch(sentence[first[2] : second[1]])
            or low.value * 10 < high.value
            or low.value >= high.value
        ):
            continue
        places = max(low.places, high.places) + 1
        formula = f"({shown(low.value, low.places)} + {shown(high.value, high.places)}) / 2"
        yield Result((low.value + high.value) / Decimal(2), places, formula, percent=high.percent), (first, second)
