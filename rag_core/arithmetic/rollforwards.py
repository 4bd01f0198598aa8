"""Movements of a balance over one year, where its opening and its closing are rows of their own under that year."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from rag_core.arithmetic.matching import Match
from rag_core.arithmetic.series import Point, Series
from rag_core.arithmetic.wording import words
from rag_core.language.periods import Period, find_periods, without_periods

__all__ = ["movements"]

_OPENING = re.compile(r"\b(?:opening|beginning|start|brought forward)\b", re.IGNORECASE)
_CLOSING = re.compile(r"\b(?:closing|end|carried forward)\b", re.IGNORECASE)
_ROLES = frozenset(words("opening beginning start brought forward closing end carried balance year period"))
_FIRST_DAY, _LAST_DAYS = 1, 28


def movements(
    matches: Sequence[Match], wanted: Sequence[Period]
) -> Iterator[tuple[float, tuple[tuple[Series, Point], ...]]]:
    """Yield (score, closing and opening cell) for the year that is `wanted`, or the latest one, best first.

    The opening row is dated the first of a month or called so, the closing one the last; both are else named alike.
    """
    for opening in matches:
        if not _is_opening(opening.series.label):
            continue
        for closing in matches:
            if not _is_closing(closing.series.label) or not _alike(opening.series, closing.series):
                continue
            pair = _of_year(opening.series, closing.series, wanted)
            if pair is not None:
                yield min(opening.score, closing.score), pair


def _is_opening(label: str) -> bool:
    return bool(_OPENING.search(label)) or any(period.day == _FIRST_DAY for period, _, _ in find_periods(label))


def _is_closing(label: str) -> bool:
    return bool(_CLOSING.search(label)) or any(period.day >= _LAST_DAYS for period, _, _ in find_periods(label))


def _alike(first: Series, second: Series) -> bool:
    names = [set(words(without_periods(series.label))) - _ROLES for series in (first, second)]
    return (first.table, first.column, first.section) == (second.table, second.column, second.section) and names[
        0
    ] == names[1]


def _of_year(opening: Series, closing: Series, wanted: Sequence[Period]) -> tuple[tuple[Series, Point], ...] | None:
    starts = {point.period.year: point for point in opening.points if point.period}
    ends = {point.period.year: point for point in closing.points if point.period}
    if len(wanted) > 1 or starts.keys() != ends.keys() or not ends:
        return None
    year = wanted[0].year if wanted else max(ends)
    return ((closing, ends[year]), (opening, starts[year])) if year in ends else None
