"""The row that a question names, and its cells under the periods asked for, or else under the latest year.

Where no row fits well, several fit as well and differ, or the period is not there, there is none.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from decimal import Decimal

from rag_core.answers.lookups import LookUp
from rag_core.answers.totals import part_of, total_of
from rag_core.arithmetic.matching import MARGIN, Match, Pool
from rag_core.arithmetic.questions import Subject
from rag_core.arithmetic.series import Point, Series
from rag_core.arithmetic.wording import GENERIC, words
from rag_core.language.periods import Period, find_periods, without_periods

__all__ = ["LEAST_SCORE", "look_up_row", "row_words"]

_MOST_PERIODS = 6
_RANGE = re.compile(r"\s*(?:to|through|until|till|-|–)\s*(?:the )?(?:(?:fiscal|financial) )?(?:year )?", re.IGNORECASE)
# A row that fits less well than this is as often another one as the one that is meant.
LEAST_SCORE = 0.62
# Tables of one line item for a year each, or for several years beside, fit a question nearly as well as each other.
_SAME_LINE = 0.1
# Words of a question that name no row.
_FILLERS = re.compile(
    r"\b(?:respective(?:ly)?|(?:the )?(?:values?|amounts?|figures?|balances?|numbers?|levels?) (?:of|for)|as (?:of|at)|"
    r"for the (?:fiscal )?years? (?:ended)?|(?:at the )?(?:end|beginning|start) of|fiscal years?|the years?|in total|"
    r"how (?:much|many|high|large|big|low|great)|reported|recorded|(?:amount|come|came|run|add|added)(?:ed)? (?:up )?to|"
    r"(?:at )?(?:what|which) (?:level|amount|figure|value)|stand(?: at)?|stood(?: at)?|worth|add(?:ed)? up to|"
    r"(?:does|do|did) (?:the (?:group|company|firm|bank|fund)|we|it|they)(?: have)?|(?:is|are|was|were) there)\b",
    re.IGNORECASE,
)
# Of words that rows need not hold, those that still tell two apart.
_WHOLE = frozenset(words("total net gross consolidated annual"))
# "What did the provisions total?": a verb, and no word of a row.
_TOTALLED = re.compile(r"\b(?:does|do|did)\b.*?\b(total)\W*$", re.IGNORECASE)


def row_words(text: str) -> tuple[str, ...]:
    """Return the words of a question that can name a row, stemmed."""
    plain = without_periods(text)
    if verb := _TOTALLED.search(plain):
        plain = plain[: verb.start(1)]
    return words(_FILLERS.sub(" ", plain))


def look_up_row(text: str, pool: Pool, *, counted: bool = False) -> LookUp | None:
    """Return the cells of the row that `text` names, None where none is plainly meant.

    `counted` says that things are counted: then no sum of money and no share answers.
    """
    named = row_words(text)
    periods = _periods(text)[:_MOST_PERIODS]
    if not named:
        return None
    matches = pool.ranked(Subject(text, named, periods), LEAST_SCORE)
    if counted:
        matches = [match for match in matches if not (match.series.unit.currency or match.series.unit.percent)]
    if not matches:
        other = total_of(named, pool, counted=counted) or part_of(named, pool)
        matches = [other] if other else []
    if not periods and (line := _several_years(matches)):
        return _latest_of(line, matches)
    found = [(match, points) for match in matches if (points := _points(match, periods))]
    # A dash says that this row has nothing there, which answers only where no other row that fits has a figure.
    found = [pair for pair in found if not all(point.figure.nothing for point in pair[1])]
    if not found:
        return None
    best, points = found[0]
    if any(match.score > best.score + MARGIN and not _undated_part(match, best) for match in matches):
        return None
    for rival, others in found[1:]:
        if rival.score < best.score - MARGIN:
            break
        if _is_named(best, named) and not _is_named(rival, named):
            continue
        if [point.figure.value for point in others] != [point.figure.value for point in points]:
            return None
    return LookUp(best.series, points, best.score)


def _is_named(match: Match, named: Sequence[str]) -> bool:
    """Tell whether a row is called by the very words of the question: "total costs", where another is called "costs"."""
    wanted = {word for word in named if word not in GENERIC or word in _WHOLE}
    return {*match.series.own, *match.series.column} == wanted


def _periods(text: str) -> tuple[Period, ...]:
    """Return the periods that a question names, with the years between two that bound a range: "2017 to 2019"."""
    found = find_periods(text)
    told: list[Period] = []
    for number, (period, start, _) in enumerate(found):
        before, _, end = found[number - 1] if number else (Period(0), 0, 0)
        step = 1 if period.year > before.year else -1
        if before == Period(before.year) and before.year and _RANGE.fullmatch(text[end:start]):
            told += [Period(year) for year in range(before.year + step, period.year, step)]
        told.append(period)
    return tuple(told)


def _several_years(matches: Sequence[Match]) -> list[Match]:
    """Return, best first, the matches that fit about as well as the best one and whose points are all of some year."""
    near = [match for match in matches if match.score >= matches[0].score - _SAME_LINE]
    return [
        match for match in near if _latest(match.series.points) and match.series.document == near[0].series.document
    ]


def _latest_of(line: Sequence[Match], matches: Sequence[Match]) -> LookUp | None:
    """Return the cell of the latest year of a line item; None where another row that fits as well says otherwise.

    Of several tables the one that reaches furthest counts. Another one agrees where it gives the same figure for the
    year, is of the same line for an earlier year, or gives no year and a figure of this line.
    """
    best = max(line, key=lambda match: (_year(match.series), len(match.series.points), match.score))
    (point,) = _latest(best.series.points)
    if point.figure.nothing:
        return None
    own = [match for match in line if _same_line(match.series, best.series)]
    told = {other.figure.value for match in own for other in match.series.points}
    close = [match for match in matches if match.score >= matches[0].score - MARGIN]
    if not all(_agrees(match.series, point, told) for match in close):
        return None
    several = len(best.series.points) > 1 or len(own) > 1
    return LookUp(best.series, (point,), max(match.score for match in own), latest=several)


def _agrees(rival: Series, point: Point, told: set[Decimal]) -> bool:
    """Tell whether a row gives for the year of `point` its figure, or else none but those that are `told` for others."""
    year = point.period.year if point.period else 0
    same = {other.figure.value for other in rival.points if other.period and other.period.year == year}
    if same:
        return point.figure.value in same or all(other.figure.nothing for other in rival.points)
    return {other.figure.value for other in rival.points} <= told


def _undated_part(match: Match, best: Match) -> bool:
    """Tell whether a table that names no period gives figures of the line that `best` gives by period."""
    known = {point.figure.value for point in best.series.points}
    return all(point.period is None and point.figure.value in known for point in match.series.points)


def _same_line(first: Series, second: Series) -> bool:
    return first.document == second.document and _line(first) == _line(second)


def _line(series: Series) -> frozenset[str]:
    """Return the words that a line item is named by, its years left out."""
    return frozenset(word for word in (*series.own, *series.column) if not word.isdigit()) | frozenset(
        words(without_periods(series.under))
    )


def _year(series: Series) -> int:
    return max((point.period.year for point in series.points if point.period), default=0)


def _points(match: Match, periods: Sequence[Period]) -> tuple[Point, ...]:
    """Return the point of each period, () where one is missing or not told apart; without periods the only point."""
    points = match.series.points
    if not periods:
        return points if len(points) == 1 else ()
    picked = [_pick(points, period) for period in periods]
    return tuple(point for point in picked if point is not None) if all(picked) else ()


def _latest(points: Sequence[Point]) -> tuple[Point, ...]:
    """Return the point of the latest year, () where the columns are not one for each of several years."""
    told = [
        (point.period.year, point)
        for point in points
        if point.period and point.period.year and not (point.period.quarter or point.period.half)
    ]
    if len(told) < len(points) or len({year for year, _ in told}) < len(told):
        return ()
    return (max(told, key=lambda pair: pair[0])[1],)


def _pick(points: Sequence[Point], period: Period) -> Point | None:
    found = [point for point in points if point.period and period.holds(point.period)]
    if len(found) > 1 and not (period.quarter or period.half):
        found = [point for point in found if point.period and not (point.period.quarter or point.period.half)]
    return found[0] if len(found) == 1 else None
