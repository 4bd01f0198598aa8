"""Columns that a table does not add up, and questions ask the total of: "what did the bonuses come to in all"."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from rag_core.arithmetic.matching import Pool
from rag_core.arithmetic.questions import Asked, Subject
from rag_core.arithmetic.series import Point, Series
from rag_core.arithmetic.wording import GENERIC, same_as, words

__all__ = ["column_totals"]

_LEAST_ROWS, _MOST_ROWS = 2, 24
# Rows that are sums themselves, parts of other rows, or no amounts to be added.
_NO_ADDENDS = frozenset(
    words("total sum subtotal net gross balance less thereof including average mean carrying opening closing")
)

Operands = tuple[tuple[Series, Point], ...]


def column_totals(asked: Asked, subject: Subject, pool: Pool) -> Iterator[Operands]:
    """Yield all figures of the columns that `subject` names, of tables whose rows add up to no row of theirs.

    Every telling word of the subject stands in the column's name or in what is said of the whole table, one of them at least
    in the name. Columns of years are not read: their rows are as often items of different kinds as parts of one.
    """
    wanted = set(subject.words) - GENERIC
    columns: dict[tuple[tuple[str, int], tuple[str, ...]], list[Series]] = {}
    for series in pool.series:
        if series.column and not series.spoken:
            columns.setdefault((series.table, series.column), []).append(series)
    for members in columns.values():
        if wanted and _is_named(wanted, members[0]) and _adds_up(asked, members):
            yield tuple((series, series.points[0]) for series in members)


def _is_named(wanted: set[str], series: Series) -> bool:
    around = {*series.column, *series.section, *series.near}
    named = [word for word in wanted if word in series.column or same_as(word, series.column)]
    return bool(named) and all(word in around or same_as(word, around) for word in wanted)


def _adds_up(asked: Asked, members: Sequence[Series]) -> bool:
    """Tell whether the rows of a column are amounts of one unit, each given once and none the sum of others."""
    if not _LEAST_ROWS <= len(members) <= _MOST_ROWS or any(len(series.points) != 1 for series in members):
        return False
    first = members[0]
    if first.unit.percent or len({(series.unit, series.under) for series in members}) > 1:
        return False
    if any(not series.own or _NO_ADDENDS.intersection(series.own) for series in members):
        return False
    periods = {series.points[0].period for series in members}
    named = [period for period in asked.periods if period.year]
    if named and not all(period and named[0].holds(period) for period in periods):
        return False
    values = [series.points[0].figure.value for series in members]
    return len(periods) == 1 and min(values) >= 0 and max(values) * 2 != sum(values)
