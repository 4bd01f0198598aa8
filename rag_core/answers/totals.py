"""The total of a table, for a question that names what the whole table counts and none of its rows.

"How many full-time equivalents were there?" over a table of them by department asks for all of them together. The row
is the one that is called so, or under which the rows before it add up in every column.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from decimal import Decimal

from rag_core.arithmetic.matching import Match, Pool
from rag_core.arithmetic.series import Series
from rag_core.arithmetic.wording import GENERIC, same_as, words

__all__ = ["part_of", "total_of"]

_CALLED = frozenset(words("total all overall altogether group"))
# Share of the question's words that the table's corner and what leads up to it must hold.
_LEAST_COVERED = 0.99
_LEAST_ROWS = 2
# Each row is rounded for itself.
_ROUNDING = Decimal(1)
_SCORE = 0.85


def total_of(named: Sequence[str], pool: Pool, *, counted: bool = False) -> Match | None:
    """Return the total of the only table whose corner says what `named` does; None where there is not just one."""
    found = [
        row
        for rows in _tables(pool)
        if _is_about(named, rows[0], counted=counted) and (row := _total(rows)) is not None
    ]
    return Match(_SCORE, found[0]) if len(found) == 1 else None


def part_of(named: Sequence[str], pool: Pool) -> Match | None:
    """Return the row of a part in a table of which the total is what `named` says beside it; None where not just one is.

    "The revenue in Germany": a table of countries that add up to the revenue.
    """
    found = []
    for rows in _tables(pool):
        whole = _total(rows)
        wanted = set(named) - GENERIC - set(whole.own if whole else ())
        if whole is None or not wanted or wanted == set(named) - GENERIC:
            continue
        if set(whole.own) - GENERIC <= set(named):
            found += [row for row in rows if row is not whole and set(row.own) - GENERIC == wanted]
    values = {tuple(point.figure.value for point in row.points) for row in found}
    return Match(_SCORE, found[0]) if len(values) == 1 else None


def _tables(pool: Pool) -> Iterable[list[Series]]:
    """Return the rows of each table."""
    tables: dict[tuple[str, int], list[Series]] = {}
    for series in pool.series:
        tables.setdefault(series.table, []).append(series)
    return tables.values()


def _is_about(named: Sequence[str], series: Series, *, counted: bool) -> bool:
    held = {*series.section, *series.column}
    asked = [word for word in dict.fromkeys(named) if word not in GENERIC and word not in _CALLED and word != "employ"]
    if counted and (series.unit.currency or series.unit.percent):
        return False
    covered = [word for word in asked if word in held or same_as(word, held)]
    return bool(asked) and len(covered) >= _LEAST_COVERED * len(asked)


def _total(rows: Sequence[Series]) -> Series | None:
    """Return the row of the total of a table of one section; rows come in the order of the table."""
    ordered = sorted(rows, key=lambda series: series.points[0].row_start)
    if len(ordered) < _LEAST_ROWS or len({series.under for series in ordered}) > 1 or any(s.column for s in ordered):
        return None
    last, before = ordered[-1], ordered[:-1]
    if _CALLED & set(last.own):
        return last
    if len(before) >= _LEAST_ROWS and all(
        abs(sum(_value(row, point.column) for row in before) - point.figure.value) <= _ROUNDING * len(before)
        for point in last.points
    ):
        return last
    return None


def _value(series: Series, column: int) -> Decimal:
    return next((point.figure.value for point in series.points if point.column == column), Decimal(0))
