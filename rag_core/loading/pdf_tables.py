"""Tables among the rows of a PDF page: which rows belong to one, and which cell stands in which column."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace

from rag_core.loading.grids import is_figure, is_year, tidy_columns
from rag_core.loading.pdf_layout import Row, Run

__all__ = ["find_tables", "is_tabular", "table_cells"]

# A gap of this many ems is no space between words, whatever stands on both sides of it.
_WIDE_GAP = 2.0
# Rows of labels only (`Assets`) that may stand between two rows with figures.
_MOST_LABELS = 2
# A label that ends with one of these goes on in the next row.
_OPEN_WORDS = frozenset("and of for to the from in by or on with other".split())
_OPEN_MARKS = ("-", "\u2013", ",", "(")
# Lines of one header stand this many ems apart at most.
_HEADER_LEADING = 1.6
_SIGN_GAP = re.compile(r"(?<=[$€£¥(])\s+(?=[(\d.])|(?<=\d)\s+(?=[)%])|(?<=\))\s+(?=%)")
_SIGNED = re.compile(r"[-\d\s.,()$€£¥%\u2013\u2014]{1,40}")
_BULLETS = "•▪◦●■–-*\uf0b7"


def is_tabular(row: Row) -> bool:
    """Tell whether a row has cells: figures after the first cell, three or more cells, or a gap that is no space."""
    if len(row.runs) < 2 or (len(row.runs) == 2 and row.runs[0].text in _BULLETS):
        return False
    if len(row.runs) > 2 or any(is_figure(run.text) for run in row.runs[1:]):
        return True
    return row.runs[1].left - row.runs[0].right >= _WIDE_GAP * row.size


def find_tables(rows: Sequence[Row]) -> list[tuple[int, int]]:
    """Return the ranges [first, last) of rows that form tables: two or more with cells, and the labels between."""
    tables, index = [], 0
    while index < len(rows):
        if not is_tabular(rows[index]):
            index += 1
            continue
        first, index, count = index, index + 1, 1
        end = index
        while index < len(rows):
            if count > 1 and _opens_table(rows, first, first) and _opens_table(rows, index, first):
                break
            if is_tabular(rows[index]) and _near(rows[index - 1], rows[index]):
                count += 1
                end = index = index + 1
            elif index - end < _MOST_LABELS and _is_label(rows, index):
                index += 1
            else:
                break
        if count >= 2 and _has_pattern(rows[first:end]):
            tables.append((first, end))
        index = end
    return tables


def _opens_table(rows: Sequence[Row], index: int, first: int) -> bool:
    """Tell whether a row of a table that starts at `first` looks like the top of one, as tables that follow each other have.

    Years above every column of figures, or names that stand beside an empty place above the labels.
    """
    runs = rows[index].runs
    if len(runs) < 2:
        return False
    if len(runs) > 2 and all(is_year(run.text) for run in runs[1:]):
        return True
    labels = min(row.left for row in rows[first : first + 3])
    return runs[0].left > labels + 5 * runs[0].size and not any(is_figure(run.text) for run in runs)


def _near(above: Row, below: Row) -> bool:
    return above.base - below.base < 4.5 * max(above.size, below.size)


def _is_label(rows: Sequence[Row], index: int) -> bool:
    """Tell whether a row without cells is a label inside a table, or the first line of one that goes on below."""
    row, above = rows[index], rows[index - 1]
    if len(row.runs) != 1 or not _near(above, row) or row.size > 1.2 * above.size:
        return False
    following = [other for other in rows[index + 1 : index + 1 + _MOST_LABELS] if is_tabular(other)]
    if not following or not _near(row, following[0]) or row.text.rstrip().endswith((".", "?", "!")):
        return False
    figures = [run.left for other in (above, following[0]) for run in other.runs[1:]]
    return bool(figures) and row.right < min(figures) + row.size


def _has_pattern(rows: Sequence[Row]) -> bool:
    """Tell a table from lines of prose that happen to have gaps: figures, or cells that start in the same places."""
    cells = [row.runs for row in rows if len(row.runs) > 1]
    if sum(any(is_figure(run.text) for run in runs[1:]) for runs in cells) >= 0.3 * len(cells):
        return True
    starts = Counter(round(run.left / 6) for runs in cells for run in runs[1:])
    common = sum(count for _, count in starts.most_common(3))
    return len(cells) >= 2 and common >= 0.6 * sum(starts.values())


def table_cells(rows: Sequence[Row]) -> list[list[str]]:
    """Return the rows of a table as cells by column; labels and column names broken over two lines are joined."""
    joined = _join_labels(_join_header(rows))
    columns = _column_spans(joined)
    grid = []
    for runs in joined:
        cells = [""] * len(columns)
        for run in runs:
            place = _column_of(run, columns)
            cells[place] = f"{cells[place]} {run.text}".strip()
        grid.append([_closed_up(cell) for cell in cells])
    return tidy_columns(grid)


def _closed_up(cell: str) -> str:
    """Return a figure without the gaps that filings set round its signs to line them up: "$ (30.2 ) %" is "$(30.2)%"."""
    return _SIGN_GAP.sub("", cell) if _SIGNED.fullmatch(cell) else cell


def _join_header(rows: Sequence[Row]) -> list[Row]:
    """Return the rows with a first line of column names put above those of the second, where each has its place there."""
    if len(rows) < 3 or any(is_figure(run.text) for row in rows[:2] for run in row.runs):
        return list(rows)
    above, below = rows[0], rows[1]
    close = above.base - below.base <= _HEADER_LEADING * max(above.size, below.size)
    under = [[place for place, run in enumerate(below.runs) if _overlap(name, run) > 0] for name in above.runs]
    if not close or above.left <= below.left + below.size or any(len(places) != 1 for places in under):
        return list(rows)
    names = [replace(run) for run in below.runs]
    for name, (place,) in zip(above.runs, under, strict=True):
        run = names[place]
        run.text = f"{name.text} {run.text}"
        run.left, run.right = min(name.left, run.left), max(name.right, run.right)
    return [Row(names), *rows[2:]]


def _overlap(one: Run, other: Run) -> float:
    return min(one.right, other.right) - max(one.left, other.left)


def _join_labels(rows: Sequence[Row]) -> list[list[Run]]:
    """Return the runs of each row, a label that goes on in the next row put in front of that one's."""
    joined: list[list[Run]] = []
    held: list[Run] = []
    for index, row in enumerate(rows):
        runs = [*row.runs]
        if held:
            first = runs[0]
            text = f"{held[0].text} {first.text}"
            runs[0] = Run(text, min(held[0].left, first.left), first.right, first.base, first.size, first.bold)
            held = []
        following = rows[index + 1].runs if index + 1 < len(rows) else []
        if len(runs) == 1 and len(following) > 1 and _goes_on(runs[0].text, following[0].text):
            held = runs
        else:
            joined.append(runs)
    return joined


def _goes_on(label: str, following: str) -> bool:
    last = label.rsplit(maxsplit=1)[-1].lower()
    return following[:1].islower() or last.endswith(_OPEN_MARKS) or (last in _OPEN_WORDS and not is_figure(following))


def _column_spans(rows: Sequence[Sequence[Run]]) -> list[tuple[float, float]]:
    """Return where columns stand: what the cells of the fullest rows cover, joined where they overlap."""
    counts = Counter(len(runs) for runs in rows if len(runs) > 1)
    need = max(2, sum(counts.values()) // 5)
    width = max((cells for cells, count in counts.items() if count >= need), default=max(counts, default=1))
    spans = sorted((run.left, run.right) for runs in rows if len(runs) >= width for run in runs)
    columns: list[tuple[float, float]] = []
    for left, right in spans:
        if columns and left < columns[-1][1]:
            columns[-1] = (columns[-1][0], max(columns[-1][1], right))
        else:
            columns.append((left, right))
    return columns or [(0.0, 0.0)]


def _column_of(run: Run, columns: Sequence[tuple[float, float]]) -> int:
    """Return the column that a cell covers most, else the nearest; a cell over several is in the first that it covers."""
    covers = [min(run.right, right) - max(run.left, left) for left, right in columns]
    best = max(range(len(columns)), key=lambda place: covers[place])
    full = [place for place, cover in enumerate(covers) if cover >= 0.9 * (columns[place][1] - columns[place][0]) > 0]
    return full[0] if len(full) > 1 else best
