"""The row of a table that has the most or the least: "Which region had the highest revenue in 2019?".

The rows compared are those that add up to a total in every column, so that none is missed and no sum is among them.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from decimal import Decimal

from rag_core.answers.questions import Asked
from rag_core.answers.rowlists import RowList, listed_rows, rows_that_add_up, values_of
from rag_core.arithmetic.columns import read_columns
from rag_core.arithmetic.grids import Grid, GridRow
from rag_core.arithmetic.wording import GENERIC, folded, same_as, words
from rag_core.language.periods import Period, find_periods, without_periods

__all__ = ["find_extremes"]

_MOST = r"(?:highest|largest|greatest|biggest|most|maximum)"
_LEAST = r"(?:lowest|smallest|least|minimum|fewest)"
_ASKED = re.compile(
    r"^\W*(?:in \d{4},? )?(?:what|which)(?: (?:is|was|are|were) the)? (?P<kind>(?:[\w-]+ ){0,3}?[\w-]+) (?:(?:that|which) )?"
    r"(?:had|has|have|with|made up|makes? up|made|makes|contribut\w+|account\w* for|generat\w+|record\w+|report\w+|brought in|"
    rf"earned|saw|shows?|showed|is|was)(?: (?:for|by far))?(?: the)? (?P<most>{_MOST}|{_LEAST})\b(?P<rest>.*)"
)
_TIMES = frozenset(words("year quarter month period date day half"))
# What any rows of a table are, and what rows by place are.
_ANY = frozenset(words("component item category type class line part one element source"))
_PLACES = frozenset(words("country region market area location geography territory"))
_REMAINDER = re.compile(r"\b(?:other|rest|remaining|all others?|miscellaneous|unallocated)\b", re.IGNORECASE)
# Characters before a table that say what it is about.
_LEAD = 400


def find_extremes(asked: Asked, grids: Sequence[Grid]) -> RowList | None:
    """Return the row with the most or the least, one for each period asked for; None where it is not plain."""
    found = _ASKED.search(folded(asked.text))
    if found is None:
        return None
    kind, rest = set(words(found["kind"])), found["rest"]
    measured = [word for word in words(without_periods(rest)) if word not in GENERIC]
    if not kind or kind & _TIMES or not measured:
        return None
    least = re.fullmatch(_LEAST, found["most"]) is not None
    periods = tuple(dict.fromkeys(period for period, _, _ in find_periods(asked.text)))
    for grid in grids:
        for place, total in enumerate(grid.rows):
            rows = rows_that_add_up(grid, place)
            if rows and _is_about(grid, total, kind, measured):
                return _winners(grid, rows, total, periods, least=least)
    return None


def _is_about(grid: Grid, total: GridRow, kind: set[str], measured: Sequence[str]) -> bool:
    """Tell whether a table gives what is measured, by things of that kind."""
    text = f"{grid.before[-_LEAD:]} {grid.corner} {total.label} {' '.join(total.heads)} {' '.join(total.sections)}"
    around = set(words(text))
    if not all(word in around or same_as(word, around) for word in measured):
        return False
    return bool(kind & (_ANY | around)) or bool(kind & _PLACES and around & (_PLACES | set(words("geographic"))))


def _winners(
    grid: Grid, rows: Sequence[GridRow], total: GridRow, periods: Sequence[Period], *, least: bool
) -> RowList | None:
    won: list[GridRow] = []
    for period in periods or (None,):
        column = _column(total, period)
        if column is None:
            return None
        told = [(values_of(row).get(column, Decimal(0)), row) for row in rows]
        best = (min if least else max)(value for value, _ in told)
        first = [row for value, row in told if value == best]
        if len(first) > 1 or _REMAINDER.search(first[0].label):
            return None
        won.append(first[0])
    others = [row for row in rows if row not in won]
    return listed_rows(grid, won, [(row.start, row.end) for row in others])


def _column(total: GridRow, period: Period | None) -> int | None:
    """Return the only column of amounts that is of the period; None where there is not just one."""
    columns = read_columns(total.heads)
    found = [
        number
        for number in values_of(total)
        if period is None or ((own := columns[number].period) is not None and period.holds(own))
    ]
    return found[0] if len(found) == 1 else None
