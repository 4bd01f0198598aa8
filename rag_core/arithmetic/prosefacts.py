"""Figures that sentences give one by one, with what stands before each: "service cost of CHF 3.3 million"."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from rag_core.arithmetic.figures import Figure
from rag_core.arithmetic.outright import is_change
from rag_core.arithmetic.prose import prose_sentences, spoken_name
from rag_core.arithmetic.prosewholes import counted_figures
from rag_core.arithmetic.series import Point, Series
from rag_core.arithmetic.units import Unit
from rag_core.arithmetic.wording import words
from rag_core.language.periods import Period, find_periods
from rag_core.records import Hit

__all__ = ["prose_facts"]

# What may stand between a figure's name and the figure.
_OF = re.compile(
    r"(?:\b(?:of|was|were|is|are|at|to|be|been|totall?ed|totall?ing|reached|came in at|equalled|cost|costs|being|only|about|just|"
    r"approximately|some|around|nearly|a|an|the|over|under|up to)\s*|[:(–-]\s*)+$",
    re.IGNORECASE,
)
_BOUNDARY = re.compile(r"[,;()]|\b(?:and|while|whereas|but|against|plus|with)\b")
_PERIOD_AFTER = re.compile(
    r"\s*,?\s*\(?(?:in|for|at|on|as (?:at|of)|during)?\s*(?:the )?(?:end of |year |fiscal )*$", re.IGNORECASE
)
_LONGEST = 12


def prose_facts(hits: Sequence[Hit]) -> list[Series]:
    """Return the figures of the sentences of `hits`, each a series of one point, where it is said before it what it is."""
    return [
        series
        for hit, rank, number, start, end in prose_sentences(hits)
        for series in _facts(hit, rank, number, start, end)
    ]


def _facts(hit: Hit, rank: int, number: int, start: int, end: int) -> Iterator[Series]:
    sentence = hit.document.text[start:end]
    since = 0
    for column, (figure, first, last) in enumerate(counted_figures(sentence)):
        lead, since = sentence[since:first], last
        found = _OF.search(lead)
        if not (figure.currency or figure.scale or figure.percent or figure.value > _LONGEST):
            continue
        if found is None or is_change(sentence, first, last):
            continue
        parts = _BOUNDARY.split(lead)
        name = spoken_name(parts[-1]) or (spoken_name(lead) if len(parts) == 2 else "")
        if words(name) and len(words(name)) <= _LONGEST:
            point = Point(_period(sentence, last), figure, start + first, start + last, start, end, number, column)
            yield _series(hit, rank, name, sentence, point, figure)


def _period(sentence: str, end: int) -> Period | None:
    """Return the period that directly follows a figure."""
    for period, start, _ in find_periods(sentence):
        if start >= end and _PERIOD_AFTER.fullmatch(sentence[end:start]) and period.year:
            return period
    return None


def _series(hit: Hit, rank: int, name: str, sentence: str, point: Point, figure: Figure) -> Series:
    return Series(
        document=hit.document,
        label=name,
        own=words(name),
        column=(),
        section=words(sentence),
        near=frozenset(
            words(" ".join([*hit.headings, hit.document.text[max(0, point.row_start - 200) : point.row_start]]))
        ),
        far=frozenset(),
        points=(point,),
        unit=Unit(figure.currency, figure.scale, figure.percent),
        table=(hit.document.id, -1),
        rank=rank,
        spoken=True,
    )
