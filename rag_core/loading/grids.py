"""Rows of cells, however a format stores them: which row names the columns, and which cells belong together."""

from __future__ import annotations

import re
from collections.abc import Sequence

from rag_core.loading.drafting import Draft

__all__ = ["has_header", "is_figure", "is_year", "tidy_columns", "write_grid"]

_FIGURE = re.compile(
    r"[-+\u2212\u2013(]*\s*(?:[A-Z]{0,3}[$€£¥₹]|[A-Z]{3}\s)?\s*[-+\u2212(]*\s*(?:\d[\d,.'\s]*|[.,]\d+)\s*"
    r"(?:[%‰x)]|bps?|pts?|[kKmMbB]n?|€|£)*\s*\)?(?:\s*\*+)?",
)
_NOTHING = re.compile(r"[-\u2012-\u2015\u2212.*]+|n/?[amd]\.?|nil", re.IGNORECASE)
_YEAR = re.compile(
    r"(?:FY|CY|[QH][1-4])?\s*['\u2019]?(?:(?:19|20|21)\d{2}|\d{2}(?=[EA]\b))\s*[AEFB]?(?:[/\u2013-]\d{2,4})?",
    re.IGNORECASE,
)
_SIGN_BEFORE = re.compile(r"(?:[A-Z]{0,3}[$€£¥₹]|[(]|[$€£¥₹]\s*[(])")
# A name over several columns stands in one of the first rows.
_HEADER_ROWS = 3
_SIGN_AFTER = re.compile(r"[)%‰]+|\)\s*%")


def is_figure(cell: str) -> bool:
    """Tell whether a cell is a number as reports print them: `1,234`, `(56)`, `$ 1.2m`, `15.3%`, or a dash for nothing."""
    cell = cell.strip()
    return len(cell) <= 40 and bool(_FIGURE.fullmatch(cell) or _NOTHING.fullmatch(cell))


def is_year(cell: str) -> bool:
    """Tell whether a cell is a year or period as columns are named by: `2023`, `FY2024E`, `2022/23`."""
    return bool(_YEAR.fullmatch(cell.strip()))


def _names_column(cell: str) -> bool:
    return bool(cell) and (is_year(cell) or not is_figure(cell))


def has_header(rows: Sequence[Sequence[str]], *, over_figures: bool = False) -> bool:
    """Tell whether the first row names the columns: words or years only, at least two, and something else below.

    A first row over words only counts as well where it is short and has no name twice, unless `over_figures`.
    """
    if len(rows) < 2:
        return False
    first = [cell.strip() for cell in rows[0]]
    named = [cell for cell in first if cell]
    if len(named) < 2 or not all(_names_column(cell) for cell in named):
        return False
    below = [row for row in rows[1:50] if sum(bool(cell.strip()) for cell in row) > 1]
    if any(_YEAR.fullmatch(cell) for cell in named[1:]):
        return bool(below)
    if any(is_figure(cell) for row in below for cell in row[1:] if cell.strip()):
        return True
    return not over_figures and bool(below) and all(len(cell) <= 60 for cell in named) and len(set(named)) == len(named)


def tidy_columns(rows: Sequence[Sequence[str]]) -> list[list[str]]:
    """Return rows of equal width, without the columns that only lay a table out.

    A currency sign or bracket in a cell of its own joins its figure; columns without words go; a column that holds
    nothing below the first rows, where it names its right neighbour, becomes one with it.
    """
    width = max((len(row) for row in rows), default=0)
    cells = [_join_signs([*(cell.strip() for cell in row), *[""] * (width - len(row))]) for row in rows]
    for column in range(width - 2, 0, -1):
        filled = [index for index, row in enumerate(cells) if row[column]]
        names_right = all(index < _HEADER_ROWS and not cells[index][column + 1] for index in filled)
        if filled and names_right and len(cells) > len(filled) and any(row[column + 1] for row in cells):
            for index in filled:
                cells[index][column + 1] = cells[index][column]
                cells[index][column] = ""
    used = [column for column in range(width) if any(row[column] for row in cells)]
    return [[row[column] for column in used] for row in cells]


def _join_signs(cells: list[str]) -> list[str]:
    """Move a sign that stands alone to the figure after it (`$`, `(`) or before it (`)`, `%`); places stay."""
    for column, cell in enumerate(cells):
        if not cell or len(cell) > 4:
            continue
        if _SIGN_BEFORE.fullmatch(cell):
            after = next((place for place in range(column + 1, min(column + 3, len(cells))) if cells[place]), None)
            if after is not None:
                cells[after], cells[column] = cell + cells[after], ""
        elif _SIGN_AFTER.fullmatch(cell):
            before = next((place for place in range(column - 1, max(column - 3, -1), -1) if cells[place]), None)
            if before is not None and any(mark.isdigit() for mark in cells[before]):
                cells[before], cells[column] = cells[before] + cell, ""
    return cells


def write_grid(draft: Draft, rows: Sequence[Sequence[str]], *, breaks: bool) -> None:
    """Write a sheet of cells: titles above a table as lines, the table below them with its header row.

    A row without words ends the table where `breaks` is true and what follows has a title or header of its own.
    """
    group: list[list[str]] = []
    blank = False
    for index, row in enumerate(rows):
        cells = list(row)
        if not any(cell.strip() for cell in cells):
            blank = bool(group)
            continue
        if blank and breaks and _starts_table(rows, index):
            _write_group(draft, group)
            group = []
        blank = False
        group.append(cells)
    _write_group(draft, group)


def _filled(row: Sequence[str]) -> int:
    return sum(bool(cell.strip()) for cell in row)


def _starts_table(rows: Sequence[Sequence[str]], index: int) -> bool:
    """Tell whether the rows from `index` open with a header row, or with a title followed by a gap or a header row."""
    ahead = list(rows[index : index + 12])
    if _filled(ahead[0]) > 1:
        # After a gap, a row of words over words goes on with the table above.
        return has_header([row for row in ahead if _filled(row)][:8], over_figures=True)
    titles = 0
    while titles < len(ahead) and _filled(ahead[titles]) == 1:
        titles += 1
    rest = [row for row in ahead[titles:] if _filled(row)]
    return not rest or has_header(rest)


def _write_group(draft: Draft, group: Sequence[Sequence[str]]) -> None:
    titles = 0
    while titles < len(group) and _filled(group[titles]) == 1:
        titles += 1
    body = group[titles:]
    if len(body) < 2:
        titles, body = (0, group) if body else (len(group), [])
    if len(body) >= 2 and titles == 0 and all(_filled(row) == 1 for row in body):
        titles, body = len(group), []
    draft.gap()
    for row in group[:titles]:
        draft.line(" ".join(" ".join(row).split()))
    draft.gap()
    if body:
        body = tidy_columns(body)
        draft.table(body, header=has_header(body))
