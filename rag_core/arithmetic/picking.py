"""Which points of one line item an operation takes, by the periods that a question names."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace

from rag_core.arithmetic.questions import Asked, Subject
from rag_core.arithmetic.series import Point, Series
from rag_core.language.periods import Period

__all__ = ["OVER_TIME", "latest", "pick", "points_of"]

OVER_TIME = ("change", "percentage change", "compound growth")
_MOST_POINTS = 24
_WHOLE_SERIES = ("count", "highest", "lowest")
# Asks about more than the last year.
_SPAN = re.compile(r"\b(?:years|quarters|decade|period|throughout|cumulative(?:ly)?|since|so far|all in all)\b")
_BASE_YEAR = re.compile(r"\b(?:base|first|earliest) year\b")


def points_of(asked: Asked, subject: Subject, series: Series) -> tuple[Point, ...]:
    """Return the points of `series` that the operation takes, the latest first where it compares two; () for none."""
    dated = [point for point in series.points if point.period is not None and point.period.year]
    wanted = subject.periods or asked.periods
    if series.paired:
        return _pair(asked, series, wanted)
    if len(dated) < 2 or len(dated) > _MOST_POINTS:
        return ()
    if asked.operation in _WHOLE_SERIES:
        points = _among(dated, wanted)
        # Years are no answer to a question about quarters.
        parts = [getattr(point.period, asked.kind, True) for point in points if point.period]
        return tuple(points) if all(parts) else ()
    if asked.operation in OVER_TIME or asked.operation == "difference":
        return _two(dated, wanted, asked)
    if asked.through and len(wanted) == 2:
        return tuple(_range(dated, wanted))
    if len(wanted) > 1:
        picked = [pick(dated, period) for period in wanted]
        return tuple(point for point in picked if point) if all(picked) else ()
    if len(wanted) == 1:
        return tuple(_within(dated, wanted[0]))
    if asked.operation == "sum" and not wanted:
        return ()
    return tuple(dated) if asked.operation == "average" and _one_kind(dated) else ()


def _pair(asked: Asked, series: Series, wanted: Sequence[Period]) -> tuple[Point, ...]:
    """Return the later and the earlier point that a sentence sets side by side, where they are of the periods asked for."""
    if asked.operation not in (*OVER_TIME, "difference"):
        return ()
    earlier, later = series.points
    both = [point.period for point in (earlier, later)]
    if len(wanted) == 1:
        of = both[0] if asked.base else both[1]
        fits = of is not None and wanted[0].holds(of)
    else:
        fits = not wanted or (
            len(wanted) == 2
            and all(period and want.holds(period) for want, period in zip(sorted(wanted), both, strict=True))
        )
    return (later, earlier) if fits else ()


def _two(dated: Sequence[Point], wanted: Sequence[Period], asked: Asked) -> tuple[Point, ...]:
    """Return the later and the earlier point of a comparison; a lone year is compared with the year before."""
    recent = sorted(dated, key=lambda point: point.period or Period(0))[-2:]
    if len(wanted) == 2:
        pair = [pick(dated, period) for period in wanted]
    elif not wanted and _BASE_YEAR.search(asked.text) and len(dated) > 2 and _one_kind(dated):
        pair = [recent[1], min(dated, key=lambda point: point.period or Period(0))]
    elif asked.base and _one_kind(dated):
        pair = [recent[1], pick(dated, wanted[0])]
    elif not wanted and asked.prior and _one_kind(dated):
        pair = [recent[-1], pick(dated, _year_before(recent[-1].period or Period(0)))]
    elif len(wanted) == 1 and wanted[0].year:
        pair = [pick(dated, wanted[0]), pick(dated, replace(wanted[0], year=wanted[0].year - 1))]
    elif not wanted and _one_kind(dated) and (len(dated) == 2 or _lately(recent, asked)):
        pair = list(recent)
    else:
        return ()
    if pair[0] is None or pair[1] is None or pair[0] == pair[1]:
        return ()
    return tuple(sorted((pair[0], pair[1]), key=lambda point: point.period or Period(0), reverse=True))


def _lately(recent: Sequence[Point], asked: Asked) -> bool:
    """Tell whether the last two points are what is meant of a longer series: years that follow each other, no span asked."""
    years = [point.period.year for point in recent if point.period]
    return years[1] - years[0] == 1 and not _SPAN.search(asked.text)


def _year_before(period: Period) -> Period:
    """Return the same quarter or half of the year before; where it is none, that year, whatever day it ended on."""
    return Period(period.year - 1, period.quarter, period.half)


def pick(points: Sequence[Point], period: Period, *, closing: bool = False) -> Point | None:
    """Return the one point that `period` means; of a year's points the one for the whole year, or the `closing` one."""
    found = [point for point in points if point.period and period.holds(point.period)]
    if len(found) > 1 and not (period.quarter or period.half):
        found = [point for point in found if point.period and not (point.period.quarter or point.period.half)]
    if len(found) == 2 and closing and not period.month and all(point.period and point.period.month for point in found):
        return max(found, key=lambda point: point.period or Period(0))
    return found[0] if len(found) == 1 else None


def _range(dated: Sequence[Point], ends: Sequence[Period]) -> list[Point]:
    """Return a point for every year between `ends`, both included; [] where one is missing."""
    first, last = sorted(ends)
    if first.quarter or last.quarter or first.half or last.half:
        return []
    picked = [pick(dated, replace(first, year=year, day=0)) for year in range(first.year, last.year + 1)]
    return [point for point in picked if point] if all(picked) and len(picked) <= _MOST_POINTS else []


def _within(dated: Sequence[Point], period: Period) -> list[Point]:
    """Return the quarters or months of a year; [] where the period has no such parts here."""
    inside = [point for point in dated if point.period and period.holds(point.period)]
    if len(inside) < 2 or period.quarter or period.month or not _one_kind(inside):
        return []
    by_quarter = all(point.period and point.period.quarter for point in inside)
    return inside if len(inside) == (4 if by_quarter else 12) else []


def _among(dated: Sequence[Point], wanted: Sequence[Period]) -> list[Point]:
    """Return the points of the periods asked about: those named, the parts of a lone year, or all."""
    if len(wanted) > 1:
        first, last = min(wanted), max(wanted)
        inside = [point for point in dated if point.period and first.year <= point.period.year <= last.year]
        return inside if _one_kind(inside) else []
    if len(wanted) == 1:
        inside = [point for point in dated if point.period and wanted[0].holds(point.period)]
        return inside if len(inside) > 1 and _one_kind(inside) else []
    years = {point.period.year for point in dated if point.period}
    # Quarters of several years: it is not said of which.
    return list(dated) if _one_kind(dated) and len(years) in (1, len(dated)) else []


def _one_kind(points: Sequence[Point]) -> bool:
    """Tell whether the points are all years, or all quarters, or all months: parts and wholes are not mixed."""
    kinds = {(bool(point.period.quarter), bool(point.period.half)) for point in points if point.period}
    years = [point.period.year for point in points if point.period]
    monthly = len(set(years)) < len(years) and not any(quarter for quarter, _ in kinds)
    months = {point.period.month for point in points if point.period}
    return len(kinds) == 1 and (not monthly or 0 not in months)


def latest(series: Series) -> Point | None:
    """Return the point that is meant where no period is named: the only one, or the latest year's."""
    if len(series.points) == 1:
        return series.points[0]
    dated = [point for point in series.points if point.period and point.period.year]
    years = {point.period.year for point in dated if point.period}
    if len(years) < len(series.points) or not _one_kind(dated):
        return None
    if series.paired:
        return series.points[-1]
    return max(dated, key=lambda point: point.period or Period(0))
