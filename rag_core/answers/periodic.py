"""Questions for periods: the years for which something is given, or in which a figure passes a limit."""

from __future__ import annotations

import re
from collections.abc import Sequence

from rag_core.answers.lookups import LookUp
from rag_core.answers.rows import LEAST_SCORE, row_words
from rag_core.arithmetic.figures import Figure, find_figures
from rag_core.arithmetic.matching import MARGIN, Pool
from rag_core.arithmetic.questions import Subject
from rag_core.arithmetic.series import Point, Series

__all__ = ["asks_for_periods", "look_up_periods"]

# By what is given for them or by a limit that the figures pass.
_PERIODS = re.compile(
    r"^\W*(?:in |for |during |as of |at )?(?:which|what)(?: of the)? (?:fiscal |financial )?(?:years?|periods?|quarters?)\b"
    r"(?P<rest>.*)",
    re.IGNORECASE,
)
_LIMIT = re.compile(
    r"\b(?P<than>less|lower|smaller|fewer|below|under|more|greater|higher|larger|above|over|exceed\w*)(?: than)?\s*"
    r"(?P<limit>[$€£]?\d.*)",
    re.IGNORECASE,
)
# Of what is given for some periods, in which there was more of it.
_LARGER = re.compile(r"\b(?:larger|greater|higher|bigger|more|smaller|lower|less|fewer)\W*$", re.IGNORECASE)
# Share of the question's words that a table and its surroundings have to hold for its periods to answer.
_LEAST_AROUND = 0.8
_LESS = ("less", "lower", "smaller", "fewer", "below", "under")
_GIVEN = re.compile(
    r"\b(?:provid\w+(?: information)?|calculated|presented|recorded|reported|disclosed|given|shown|measured"
    r"|listed|available|included)(?: for| in)?\b",
    re.IGNORECASE,
)


def asks_for_periods(text: str) -> str | None:
    """Return what a question for periods says behind them, None where it asks for something else."""
    found = _PERIODS.search(text)
    return None if found is None else found["rest"]


def look_up_periods(rest: str, pool: Pool) -> LookUp | None:
    """Return the cells whose periods a question asks for: all of a row that is given, or those beyond a limit."""
    limit = _LIMIT.search(rest)
    larger = None if limit else _LARGER.search(rest)
    if limit is None and larger is None and _GIVEN.search(rest) is None:
        return None
    figures = find_figures(limit["limit"]) if limit else []
    if limit and not figures:
        return None
    cut = limit or larger
    named = row_words(_GIVEN.sub(" ", rest[: cut.start()] if cut else rest))
    matches = pool.ranked(Subject(rest, named, ()), LEAST_SCORE) if named else []
    if not matches and cut is None:
        return _of_table(named, pool.series)
    found: list[LookUp] = []
    for match in matches:
        if match.score < matches[0].score - MARGIN:
            break
        points = sorted((point for point in match.series.points if point.period), key=lambda point: point.column)
        if limit:
            less = limit["than"].lower().startswith(_LESS)
            points = [point for point in points if _beyond(match.series, point, figures[0][0], less=less)]
        if larger and points:
            least = larger.group().lower().startswith(_LESS)
            value = (min if least else max)(abs(point.figure.value) for point in points)
            points = [point for point in points if abs(point.figure.value) == value] if len(points) > 1 else []
        told = {str(point.period): point for point in reversed(points)}
        found.append(LookUp(match.series, tuple(reversed(told.values())), match.score, periods=True))
        if cut is None:
            # Rows of one table share its periods, so that all that is given needs no more than the table.
            break
    same = len({frozenset(str(point.period) for point in cells.points) for cells in found}) == 1
    return found[0] if same and found[0].points else None


def _of_table(named: Sequence[str], series: Sequence[Series]) -> LookUp | None:
    """Return the periods of the first table that is about what is asked for, by its rows and what stands around it."""
    for first in series:
        rows = [item for item in series if item.table == first.table]
        around = {word for item in rows for word in (*item.own, *item.column, *item.section)} | first.near | first.far
        dated = {str(point.period): (item, point) for item in rows for point in item.points if point.period}
        if not named or not dated or sum(word in around for word in named) < _LEAST_AROUND * len(named):
            continue
        best = max(rows, key=lambda item: len({str(point.period) for point in item.points if point.period}))
        points = sorted((point for point in best.points if point.period), key=lambda point: point.column)
        if {str(point.period) for point in points} == set(dated):
            return LookUp(best, tuple(points), _LEAST_AROUND, periods=True)
        return None
    return None


def _beyond(series: Series, point: Point, limit: Figure, *, less: bool) -> bool:
    """Tell whether a cell is under (or over) a limit; one without a scale of its own is in the table's."""
    scale = (point.figure.scale or series.unit.scale) - (limit.scale or point.figure.scale or series.unit.scale)
    value = abs(point.figure.value).scaleb(scale)
    return value < abs(limit.value) if less else value > abs(limit.value)
