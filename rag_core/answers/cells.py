"""Table look-up: the cell, or the cells of several periods, that a question names by row and by period.

Rows, heads, periods and units are read by `rag_core.arithmetic`, which also says which row a question means. Where no
row fits well, several fit as well and differ, or the period is not there, nothing is looked up.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from rag_core.answers.questions import AnswerKind, Asked
from rag_core.arithmetic.figures import Figure, find_figures
from rag_core.arithmetic.grids import read_grids
from rag_core.arithmetic.matching import MARGIN, Match, Pool, gather
from rag_core.arithmetic.questions import Subject
from rag_core.arithmetic.series import Point, Series, table_series
from rag_core.arithmetic.wording import words
from rag_core.language.periods import Period, find_periods, without_periods
from rag_core.records import Hit

__all__ = ["LookUp", "look_up", "look_up_several"]

_MOST_HITS = 8
_MOST_PERIODS = 4
# A row that fits less well than this is as often another one as the one that is meant.
_LEAST_SCORE = 0.62
# Without a period the latest year's cell answers, but only for a figure, and where the row fits closely.
_LEAST_LATEST = 0.82
_FIGURES: frozenset[AnswerKind] = frozenset(("amount", "percentage", "measure", "count", "definition"))
_NAME = re.compile(r"(?<=[\w,] )[A-Z][\w&’'-]*")
_KINDS: frozenset[AnswerKind] = frozenset(
    ("amount", "percentage", "measure", "count", "thing", "definition", "duration")
)
# Words of a question that name no row.
_FILLERS = re.compile(
    r"\b(?:respective(?:ly)?|(?:the )?(?:values?|amounts?|figures?|balances?|numbers?|levels?) (?:of|for)|as (?:of|at)|"
    r"for the (?:fiscal )?years? (?:ended)?|(?:at the )?(?:end|beginning|start) of|fiscal years?|the years?|in total|"
    r"how (?:much|many|high|large|big|low|great)|reported|recorded|amount(?:ed)? to|"
    r"(?:does|do|did) (?:the (?:group|company|firm|bank|fund)|we|it|they)(?: have)?|(?:is|are|was|were) there)\b",
    re.IGNORECASE,
)
_RESPECTIVE = re.compile(r"\brespective(?:ly)?\b", re.IGNORECASE)
# Words of one of several line items.
_LONGEST_NAME = 4
# Questions for periods, by what is given for them or by a limit that the figures pass.
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
# A question of another time than the latest, without saying which.
_EARLIER = re.compile(
    r"\b(?:prior|previous\w*|preceding|earlier|earliest|first|last|past|was|were|did|had)\b", re.IGNORECASE
)
_DURATION = re.compile(r"\bhow many (?:years|months|days)\b", re.IGNORECASE)
_SCALES = {3: "thousand", 6: "million", 9: "billion"}


@dataclass(frozen=True, slots=True)
class LookUp:
    """Cells of one row or column that answer, in the order of the periods asked for. `score` in [0, 1] says how well it fits.

    `periods` says that their periods answer, not their figures; `latest` that no period was asked for and the cells are of
    the latest of several.
    """

    series: Series
    points: tuple[Point, ...]
    score: float
    periods: bool = False
    latest: bool = False

    @property
    def text(self) -> str:
        """The figures as printed, each with the currency, the scale and the percent sign that the table gives them.

        Where the periods are asked for, these.
        """
        if self.periods:
            return _joined([str(point.period) for point in self.points])
        told = " and ".join(_shown(self.series, point) for point in self.points)
        return f"{told} ({self.points[0].period})" if self.latest else told


def look_up(asked: Asked, hits: Sequence[Hit]) -> LookUp | None:
    """Return the cells that `asked` names, or None."""
    periodic = _PERIODS.search(asked.text)
    if asked.kind not in _KINDS and periodic is None:
        return None
    hits = hits[:_MOST_HITS]
    series = _series_in(hits)
    if not series:
        return None
    if periodic is not None:
        return _look_up_periods(periodic["rest"], series, hits)
    found = _look_up_row(asked.text, gather(series, hits))
    if found is None or (found.latest and not _is_close(asked, found)) or _is_of_another_part(asked, found, series):
        return None
    return found


def _is_close(asked: Asked, found: LookUp) -> bool:
    """Tell whether a question without a period asks for a figure and names its row closely."""
    close = asked.kind in _FIGURES and found.score >= _LEAST_LATEST
    return close and not _DURATION.search(asked.text) and not _EARLIER.search(asked.text)


def _is_of_another_part(asked: Asked, found: LookUp, series: Sequence[Series]) -> bool:
    """Tell whether a question names a division, country or person of these tables, and the row found is of none such.

    The operating profit of the group is no answer to a question for that of one of its divisions.
    """
    names = {word for name in _NAME.findall(asked.text) for word in words(name)} - _dimensions(found.series)
    return bool(names) and any(names & _dimensions(item) for item in series)


def _dimensions(series: Series) -> set[str]:
    return {*series.own, *series.column, *series.section}


def look_up_several(asked: Asked, hits: Sequence[Hit]) -> tuple[LookUp, ...]:
    """Return the cells of each of the line items that `asked` names side by side, () where not all are found.

    "The respective sales of the northern and the southern division": each part of the list is looked up with the rest of
    the question, and of all ways to part it the one counts under which the worse of both fits best.
    """
    if _RESPECTIVE.search(asked.text) is None:
        return ()
    hits = hits[:_MOST_HITS]
    series = _series_in(hits)
    if not series:
        return ()
    pool = gather(series, hits)
    best: tuple[LookUp, ...] = ()
    for ways in _parted(_RESPECTIVE.sub(" ", asked.text)):
        found = tuple(cells for way in ways if (cells := _look_up_row(way, pool)) is not None)
        rows = {(cells.series.table, cells.points[0].row_start, cells.points[0].start) for cells in found}
        if len(found) == len(ways) == len(rows) and len({cells.series.table for cells in found}) == 1:
            best = max(best, found, key=lambda cells: min((item.score for item in cells), default=0.0))
    return best


def _series_in(hits: Sequence[Hit]) -> list[Series]:
    return [item for grid in read_grids(hits) for item in table_series(grid)]


def _parted(text: str) -> Iterator[tuple[str, str]]:
    """Yield the question about the one and about the other of two things joined by "and", however long their names."""
    said = text.strip(" ?.").split()
    for place in (number for number, word in enumerate(said) if word.lower() == "and" and 0 < number < len(said) - 1):
        for before in range(1, min(_LONGEST_NAME, place) + 1):
            for behind in range(1, min(_LONGEST_NAME, len(said) - 1 - place) + 1):
                start, end = said[: place - before], said[place + 1 + behind :]
                yield " ".join([*said[:place], *end]), " ".join([*start, *said[place + 1 :]])


def _look_up_row(text: str, pool: Pool) -> LookUp | None:
    named = words(_FILLERS.sub(" ", without_periods(text)))
    periods = tuple(period for period, _, _ in find_periods(text))[:_MOST_PERIODS]
    if not named:
        return None
    matches = pool.ranked(Subject(text, named, periods), _LEAST_SCORE)
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
    return LookUp(best.series, points, best.score, latest=not periods and len(best.series.points) > 1)


def _look_up_periods(rest: str, series: Sequence[Series], hits: Sequence[Hit]) -> LookUp | None:
    """Return the cells whose periods a question asks for: all of a row that is given, or those beyond a limit."""
    limit = _LIMIT.search(rest)
    if limit is None and _GIVEN.search(rest) is None:
        return None
    figures = find_figures(limit["limit"]) if limit else []
    if limit and not figures:
        return None
    named = words(_FILLERS.sub(" ", without_periods(_GIVEN.sub(" ", rest[: limit.start()] if limit else rest))))
    matches = gather(series, hits).ranked(Subject(rest, named, ()), _LEAST_SCORE) if named else []
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


def _joined(texts: Sequence[str]) -> str:
    return " and ".join([", ".join(texts[:-1]), texts[-1]] if len(texts) > 1 else texts)


def _points(match: Match, periods: Sequence[Period]) -> tuple[Point, ...]:
    """Return the point of each period, () where one is missing or not told apart.

    Without periods it is the only point, or the one of the latest of several years: what "the revenue" means in a report.
    """
    points = match.series.points
    if not periods and len(points) > 1:
        return _latest(points)
    if not periods:
        return points
    picked = [_pick(points, period) for period in periods]
    return tuple(point for point in picked if point is not None) if all(picked) else ()


def _latest(points: Sequence[Point]) -> tuple[Point, ...]:
    """Return the point of the latest year, () where the columns are not one for each of several years."""
    told = [
        (point.period.year, point)
        for point in points
        if point.period and not (point.period.quarter or point.period.half)
    ]
    if len(told) < len(points) or len({year for year, _ in told}) < len(told):
        return ()
    return (max(told, key=lambda pair: pair[0])[1],)


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
