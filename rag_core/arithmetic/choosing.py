"""Which cells of which series a question's operation takes: by period within one line item, or one cell of several."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import product

from rag_core.arithmetic.columnsums import column_totals
from rag_core.arithmetic.matching import MARGIN, Match, Pool
from rag_core.arithmetic.picking import OVER_TIME, latest, pick, points_of
from rag_core.arithmetic.questions import Asked, Subject
from rag_core.arithmetic.rollforwards import movements
from rag_core.arithmetic.series import Point, Series
from rag_core.arithmetic.wording import LIGHT, same_as, words
from rag_core.language.periods import duration

__all__ = ["COLUMN", "Choice", "choices"]

_MOST_MATCHES = 6
# What a reading loses where its operands come from different tables, stand under different columns, or are a list.
_OTHER_TABLE, _OTHER_COLUMN, _LISTED = 0.15, 0.06, 0.02

# How well a column fits that is named, whole.
COLUMN = 0.8
# A date in the name of a balance is none of the words that have to fit.
_ROLLED = 0.75

_PERCENT_ASKED = re.compile(r"%|\bper ?cent|\bshare of\b|\bmargin\b")
_MONEY_ASKED = re.compile(r"[$€£¥]|\b(?:dollar|euro|usd|eur|gbp|amount|value)s?\b")
_CLOSING = re.compile(r"\b(?:end of|year[ -]end|closing)\b")
_ALL = {"total", "all", "whole", "overall"}
_TOTAL = ("total",)


@dataclass(frozen=True, slots=True)
class Choice:
    """Operands in the order in which the operation takes them, and how well they fit the question, in [0, 1].

    `parts` are how many of the first operands are summed before a share is taken. Without operands it is a line item
    that fits, and lacks what the operation needs.
    """

    score: float
    operands: tuple[tuple[Series, Point], ...]
    parts: int = 1


def choices(asked: Asked, pool: Pool) -> list[Choice]:
    """Return the possible operands, best first."""
    found: list[Choice] = []
    for option in asked.options:
        if len(option) == 1:
            found += _of_one(asked, option[0], pool)
            if asked.operation == "sum":
                found += [Choice(COLUMN, operands) for operands in column_totals(asked, option[0], pool)]
        elif asked.operation in ("difference", "ratio", "percentage of", "average", "sum"):
            found += _of_several(asked, option, pool)
    return sorted(found, key=lambda choice: -choice.score)


def _of_one(asked: Asked, subject: Subject, pool: Pool) -> Iterator[Choice]:
    if asked.operation in ("ratio", "percentage of"):
        return
    whole = asked.kind == "column"
    ranked = pool.ranked(_heard(subject, pool))
    if asked.operation in OVER_TIME:
        wanted = subject.periods or asked.periods
        rolled = list(movements(ranked, wanted))
        yield from (Choice(max(score, _ROLLED), operands) for score, operands in rolled)
        # The opening balances of two years are those of the closing ones before.
        opening = {operands[1][0] for _, operands in rolled}
        ranked = [match for match in ranked if match.series not in opening]
    for match in _of_kind(asked, ranked):
        points = points_of(asked, subject, match.series)
        if whole and len({point.period.year for point in points if point.period}) != 1:
            points = ()
        yield Choice(match.score, tuple((match.series, point) for point in points))


def _heard(subject: Subject, pool: Pool) -> Subject:
    """Return a subject without the verbs and particles of the question, where no row's name has them."""
    named = {word for counts in pool.counts.values() for word in counts}
    kept = tuple(word for word in subject.words if word not in LIGHT or word in named)
    return replace(subject, words=kept) if kept else subject


def _of_kind(asked: Asked, matches: list[Match]) -> list[Match]:
    """Return `matches` without those that have a twin of the kind asked for: amounts and percentages of one row."""
    percent = bool(_PERCENT_ASKED.search(asked.text)) and asked.operation not in ("percentage change", "percentage of")
    months = duration(asked.text)
    if months and any(match.series.months == months for match in matches):
        matches = [match for match in matches if match.series.months == months]
    money = bool(_MONEY_ASKED.search(asked.text))

    def fits(series: Series) -> bool:
        return series.unit.percent == percent and (not money or bool(series.unit.currency))

    def name(series: Series) -> tuple[object, ...]:
        return series.table, series.own, series.column, series.section

    fitting = {name(match.series) for match in matches if fits(match.series)}
    return [match for match in matches if fits(match.series) or name(match.series) not in fitting]


def _bare_totals(parts: Sequence[Match], pool: Pool) -> list[Match]:
    """Return the rows called nothing but total in the tables of `parts`: "total fees" under rows of fees."""
    return [
        Match(part.score - MARGIN, series)
        for part in parts
        for series in pool.series
        if series.table == part.series.table
        and (
            (series.own == _TOTAL and series.column == part.series.column)
            or (series.column == _TOTAL and series.own == part.series.own)
        )
    ]


def _of_several(asked: Asked, option: Sequence[Subject], pool: Pool) -> Iterator[Choice]:
    """Yield the ways to take one cell for each subject, all of one period, from one table or document."""
    shares = asked.operation in ("ratio", "percentage of")
    ranked = [_of_kind(asked, pool.ranked(_heard(subject, pool)))[:_MOST_MATCHES] for subject in option]
    if shares and not _ALL.isdisjoint(option[-1].words):
        totals = [
            match
            for match in ranked[-1]
            if _TOTAL[0] in {*match.series.own, *match.series.column, *match.series.section}
        ]
        ranked[-1] = totals or ranked[-1]
        ranked[-1] = [*_bare_totals(ranked[0][:2], pool), *ranked[-1]]
    if not all(ranked) or (len(option) > 4 and len({len(matches) for matches in ranked}) > 3):
        ranked = [matches[:2] for matches in ranked]
    for matches in product(*_narrowed(ranked)):
        if len(
            {(match.series.table, match.series.own, match.series.column, match.series.section) for match in matches}
        ) < len(matches) and not _dated_apart(option):
            continue
        part, whole = matches[0].series, matches[-1].series
        if shares and (_is_beside(option[-1], whole, part) or not _is_part(option[0], option[-1], part)):
            continue
        points = _cells(asked, option, matches)
        if points is None or len(set(points)) < len(points):
            continue
        operands = tuple(zip((match.series for match in matches), points, strict=True))
        if any(match.series.spoken for match in matches) and len({point.figure.value for point in points}) < len(
            points
        ):
            # A sentence repeats what a table or another sentence gives.
            continue
        yield Choice(_fit(matches, operands), operands, len(option) - 1 if shares else 1)


def _is_beside(subject: Subject, whole: Series, part: Series) -> bool:
    """Tell whether a `whole` is the same row as the part under another heading or column, which `subject` does not name."""
    heading, other = ({*words(series.under), *series.column} for series in (whole, part))
    if whole.table != part.table or whole.own != part.own or not heading or heading == other:
        return False
    return heading.isdisjoint({*subject.words, *_ALL, "consolidated", "group"})


def _is_part(named: Subject, whole: Subject, series: Series) -> bool:
    """Tell whether a series is the part that is named like its whole but for a word ("water sales" of all sales)."""
    telling = [word for word in named.words if word not in whole.words]
    if not telling or len(telling) == len(named.words):
        return True
    held = {*series.own, *series.column, *series.section}
    return any(word in held or same_as(word, held) for word in telling)


def _narrowed(ranked: list[list[Match]]) -> list[list[Match]]:
    """Return fewer matches a subject where the subjects are many, so that the ways to combine them stay few."""
    most = {2: _MOST_MATCHES, 3: 4, 4: 3}.get(len(ranked), 2)
    return [matches[:most] for matches in ranked]


def _dated_apart(option: Sequence[Subject]) -> bool:
    return len({subject.periods for subject in option}) == len(option)


def _cells(asked: Asked, option: Sequence[Subject], matches: Sequence[Match]) -> tuple[Point, ...] | None:
    points: list[Point] = []
    for subject, match in zip(option, matches, strict=True):
        wanted = [period for period in subject.periods or asked.periods if period.year]
        series = match.series
        if len(wanted) > 1:
            return None
        dated = [point for point in series.points if point.period is not None and point.period.year]
        if not wanted:
            point = latest(series)
            if point is None:
                return None
            points.append(point)
        elif dated:
            point = pick(dated, wanted[0], closing=bool(_CLOSING.search(asked.text)))
            if point is None:
                return None
            points.append(point)
        elif len(series.points) == 1 and str(wanted[0].year) in _around_years(series):
            points.append(series.points[0])
        else:
            return None
    return tuple(points)


def _around_years(series: Series) -> set[str]:
    """Return the years that the lines before a table name: the period of figures under which none stands."""
    return {
        word
        for word in (*series.near, *series.section)
        if len(word) == 4 and word[:2] in ("19", "20") and word.isdigit()
    }


def _fit(matches: Sequence[Match], operands: Sequence[tuple[Series, Point]]) -> float:
    score = sum(match.score for match in matches) / len(matches)
    tables = {series.table for series, _ in operands}
    columns = {(point.column if not series.column else series.column) for series, point in operands}
    rows = {point.row for _, point in operands}
    if len(tables) > 1:
        score -= _OTHER_TABLE
    elif len(columns) > 1 and len(rows) > 1:
        score -= _OTHER_COLUMN
    return score - _LISTED * (len(matches) > 2)
