"""Questions for periods: the years for which something is given, or in which a figure passes a limit."""

from __future__ import annotations

import re
from collections.abc import Sequence

from rag_core.answers.lookups import LookUp
from rag_core.answers.rows import LEAST_SCORE, row_words
from rag_core.arithmetic.figures import Figure, find_figures
from rag_core.arithmetic.matching import MARGIN, gather
from rag_core.arithmetic.questions import Subject
from rag_core.arithmetic.series import Point, Series
from rag_core.records import Hit

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
_LESS = ("less", "lower", "smaller", "fewer", "below", "under")
_GIVEN = re.compile(
    r"\b(?:provided|calculated|presented|recorded|reported|disclosed|given|shown|measured"
    r"|listed|available|included)(?: for| in)?\b",
    re.IGNORECASE,
)


def asks_for_periods(text: str) -> str | None:
    """Return what a question for periods says behind them, None where it asks for something else."""
    found = _PERIODS.search(text)
    return None if found is None else found["rest"]


def look_up_periods(rest: str, series: Sequence[Series], hits: Sequence[Hit]) -> LookUp | None:
    """Return the cells whose periods a question asks for: all of a row that is given, or those beyond a limit."""
    limit = _LIMIT.search(rest)
    if limit is None and _GIVEN.search(rest) is None:
        return None
    figures = find_figures(limit["limit"]) if limit else []
    if limit and not figures:
        return None
    named = row_words(_GIVEN.sub(" ", rest[: limit.start()] if limit else rest))
    matches = gather(series, hits).ranked(Subject(rest, named, ()), LEAST_SCORE) if named else []
    found: list[LookUp] = []
    for match in matches:
        if match.score < matches[0].score - MARGIN:
            break
        points = sorted((point for point in match.series.points if point.period), key=lambda point: point.column)
        if limit:
            less = limit["than"].lower().startswith(_LESS)
            points = [point for point in points if _beyond(match.series, point, figures[0][0], less=less)]
        told = {str(point.period): point for point in reversed(points)}
        found.append(LookUp(match.series, tuple(reversed(told.values())), match.score, periods=True))
        if limit is None:
            # Rows of one table share its periods, so that all that is given needs no more than the table.
            break
    same = len({frozenset(str(point.period) for point in cells.points) for cells in found}) == 1
    return found[0] if same and found[0].points else None


def _beyond(series: Series, point: Point, limit: Figure, *, less: bool) -> bool:
    """Tell whether a cell is under (or over) a limit; one without a scale of its own is in the table's."""
    scale = (point.figure.scale or series.unit.scale) - (limit.scale or point.figure.scale or series.unit.scale)
    value = abs(point.figure.value).scaleb(scale)
    return value < abs(limit.value) if less else value > abs(limit.value)
