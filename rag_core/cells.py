"""Table look-up: the cell, or the cells of several periods, that a question names by row and by period.

Rows, heads, periods and units are read by `rag_core.arithmetic`, which also says which row a question means. Where no
row fits well, several fit as well and differ, or the period is not there, nothing is looked up.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from rag_core.arithmetic.grids import read_grids
from rag_core.arithmetic.matching import MARGIN, Match, gather
from rag_core.arithmetic.periods import Period, find_periods, without_periods
from rag_core.arithmetic.questions import Subject
from rag_core.arithmetic.series import Point, Series, table_series
from rag_core.arithmetic.wording import words
from rag_core.questions import AnswerKind, Asked
from rag_core.records import Hit

__all__ = ["LookUp", "look_up"]

_MOST_HITS = 8
_MOST_PERIODS = 4
# A row that fits less well than this is as often another one as the one that is meant.
_LEAST_SCORE = 0.62
_KINDS: frozenset[AnswerKind] = frozenset(
    ("amount", "percentage", "measure", "count", "thing", "definition", "duration")
)
# Words of a question that name no row.
_FILLERS = re.compile(
    r"\b(?:respective(?:ly)?|(?:the )?(?:values?|amounts?|figures?|balances?|numbers?|levels?) (?:of|for)|as (?:of|at)|"
    r"for the (?:fiscal )?years? (?:ended)?|(?:at the )?(?:end|beginning|start) of|fiscal years?|the years?|in total|"
    r"how (?:much|many|high|large|big|low|great)|reported|recorded|amount(?:ed)? to)\b",
    re.IGNORECASE,
)
_SCALES = {3: "thousand", 6: "million", 9: "billion"}


@dataclass(frozen=True, slots=True)
class LookUp:
    """Cells of one row or column that answer, in the order of the periods asked for. `score` in [0, 1] says how well it fits."""

    series: Series
    points: tuple[Point, ...]
    score: float

    @property
    def text(self) -> str:
        """The figures as printed, each with the currency, the scale and the percent sign that the table gives them."""
        return " and ".join(_shown(self.series, point) for point in self.points)


def look_up(asked: Asked, hits: Sequence[Hit]) -> LookUp | None:
    """Return the cells that `asked` names, or None."""
    if asked.kind not in _KINDS:
        return None
    hits = hits[:_MOST_HITS]
    series = [item for grid in read_grids(hits) for item in table_series(grid)]
    if not series:
        return None
    named = words(_FILLERS.sub(" ", without_periods(asked.text)))
    periods = tuple(period for period, _, _ in find_periods(asked.text))[:_MOST_PERIODS]
    if not named:
        return None
    pool = gather(series, hits)
    matches = pool.ranked(Subject(asked.text, named, periods), _LEAST_SCORE)
    found = [(match, points) for match in matches if (points := _points(match, periods))]
    # A dash says that this row has nothing there, which answers only where no other row that fits has a figure.
    found = [pair for pair in found if not all(point.figure.nothing for point in pair[1])]
    if not found:
        return None
    best, points = found[0]
    if best.score < matches[0].score - MARGIN:
        return None
    for rival, others in found[1:]:
        if rival.score < best.score - MARGIN:
            break
        if [point.figure.value for point in others] != [point.figure.value for point in points]:
            return None
    return LookUp(best.series, points, best.score)


def _points(match: Match, periods: Sequence[Period]) -> tuple[Point, ...]:
    """Return the point of each period, () where one is missing or not told apart; without periods the only point."""
    points = match.series.points
    if not periods:
        return points if len(points) == 1 else ()
    picked = [_pick(points, period) for period in periods]
    return tuple(point for point in picked if point is not None) if all(picked) else ()


def _pick(points: Sequence[Point], period: Period) -> Point | None:
    found = [point for point in points if point.period and period.holds(point.period)]
    if len(found) > 1 and not (period.quarter or period.half):
        found = [point for point in found if point.period and not (point.period.quarter or point.period.half)]
    return found[0] if len(found) == 1 else None


def _shown(series: Series, point: Point) -> str:
    figure, unit = point.figure, series.unit
    text = figure.text
    if unit.percent or figure.percent:
        return text if "%" in text else f"{text}%"
    if figure.nothing:
        return text
    if unit.currency and not figure.currency and unit.currency not in text:
        text = f"{unit.currency} {text}" if unit.currency.isalpha() else f"{unit.currency}{text}"
    scale = "" if figure.scale else _SCALES.get(unit.scale, "")
    return f"{text} {scale}".strip()
