"""Tables as they stand in a document's text, with the exact span of every cell: rows, column heads, sections.

Only tables that a hit touches are read, each whole, because a row means nothing without the heads above it.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field

from rag_core.arithmetic.figures import parse_figure
from rag_core.arithmetic.tablelines import Cell, table_lines, table_spans
from rag_core.arithmetic.units import head_unit
from rag_core.language.periods import find_periods, quarter_head, without_periods
from rag_core.records import Document, Hit

__all__ = ["Grid", "GridRow", "read_grids"]

_MOST_GRIDS = 24
_BEFORE_CHARACTERS = 1_500
_WORDLESS = re.compile(r"[\W\d_]*")


@dataclass(frozen=True, slots=True)
class GridRow:
    """A row with figures: its label, cells by column, the heads above each column, and the sections it stands under."""

    number: int
    label: str
    cells: tuple[Cell, ...]
    heads: tuple[str, ...]
    sections: tuple[str, ...]
    start: int
    end: int


@dataclass(frozen=True, slots=True)
class Grid:
    """A table: its rows with figures; `corner` is what stands above the labels, `before` the text that leads up to it."""

    document: Document
    hit: Hit
    rank: int
    start: int
    end: int
    rows: tuple[GridRow, ...]
    corner: str
    before: str


def read_grids(hits: Sequence[Hit]) -> list[Grid]:
    """Return the tables that `hits` touch, in the order of the hits, each once; `rank` is the hit's place from 0."""
    grids: list[Grid] = []
    seen: set[tuple[str, int]] = set()
    for rank, hit in enumerate(hits):
        for start, end in table_spans(hit.document, hit.start, hit.end):
            if (hit.document.id, start) in seen or len(grids) >= _MOST_GRIDS:
                continue
            seen.add((hit.document.id, start))
            grid = _read(hit, rank, start, end)
            if grid.rows:
                grids.append(grid)
    return grids


def _read(hit: Hit, rank: int, start: int, end: int) -> Grid:
    document = hit.document
    reader = _Reader()
    for line_start, line_end, cells in table_lines(document, start, end):
        reader.take(line_start, line_end, cells)
    before = document.text[max(0, start - _BEFORE_CHARACTERS) : start]
    rows = tuple(reader.rows)
    return Grid(document, hit, rank, start, end, rows, " ".join(reader.corners), before)


@dataclass(slots=True)
class _Reader:
    """Takes a table's lines in order and keeps what holds for the next one: heads, sections."""

    rows: list[GridRow] = field(default_factory=list)
    corners: list[str] = field(default_factory=list)
    _heads: list[list[Cell]] = field(default_factory=list)
    _above: tuple[str, ...] = ()
    _sections: list[str] = field(default_factory=list)
    _after_section: bool = False
    _skipped: bool = False
    _open: bool = True

    def take(self, start: int, end: int, cells: list[Cell]) -> None:
        """Take one line."""
        named = [cell for cell in cells[1:] if cell.text]
        figures = [cell for cell in named if cell.figure is not None and not _is_period(cell.text)]
        skipped, self._skipped = self._skipped, False
        if not named:
            self._section(cells[0].text)
        elif not cells[0].text and len(named) == 1 and named[0].text.endswith(":"):
            self._section(named[0].text)
        elif figures:
            self._row(start, end, cells)
        elif self._open:
            self._head(cells)
        elif not cells[0].text and skipped:
            self._skipped = True
        elif _is_head(cells):
            self._head(cells)
        elif not cells[0].text and len(named) == 1:
            self._section(named[0].text)
        else:
            # A row of words, such as one of dates due; what follows without a label goes on with it.
            self._skipped = True

    def _head(self, cells: list[Cell]) -> None:
        if not self._open:
            self._heads, self._open, self._sections = [], True, []
        self._heads.append(cells)
        if cells[0].text:
            self.corners.append(cells[0].text)

    def _section(self, text: str) -> None:
        if not text:
            return
        if self._open and not self._heads:
            self.corners.append(text)
            return
        if not self._after_section:
            # A date, or what the rows before it were: sections of one kind follow each other.
            dated = _is_period(text)
            self._sections = [kept for kept in self._sections if _is_period(kept) and not dated]
        self._sections.append(text)
        self._sections = self._sections[-4:]
        self._after_section = True

    def _row(self, start: int, end: int, cells: list[Cell]) -> None:
        if self._open:
            self._above = _column_heads(self._heads, max([len(cells), *(len(head) for head in self._heads)]))
            self._open = False
        self._after_section = False
        label = cells[0].text
        heads = tuple(self._above[column] if column < len(self._above) else "" for column in range(len(cells)))
        self.rows.append(GridRow(len(self.rows), label, tuple(cells), heads, tuple(self._sections), start, end))
        if not label:
            # A sum without a name closes what it sums.
            self._sections = [kept for kept in self._sections if _is_period(kept)]


def _is_period(text: str) -> bool:
    """Tell whether a cell names a period and nothing that could be another figure."""
    if quarter_head(text):
        return True
    return bool(find_periods(text)) and (parse_figure(text) is None or bool(re.fullmatch(r"(?:19|20)\d{2}", text)))


def _is_head(cells: Sequence[Cell]) -> bool:
    """Tell whether a line further down names columns anew: periods or words only, and no label that a row would have."""
    named = [cell.text for cell in cells[1:] if cell.text]
    label = cells[0].text
    if label and not _WORDLESS.fullmatch(without_periods(label)) and head_unit(label)[1] is None:
        return False
    periods = sum(_is_period(text) for text in named)
    return periods == len(named) or (len(named) > 1 and not label)


def _column_heads(heads: Sequence[Sequence[Cell]], width: int) -> tuple[str, ...]:
    """Return the words above each column. A cell over several columns stands in one of them, mostly the first.

    An only cell of its line, in the middle of nothing else, holds for all columns; others reach to the right over
    columns that a lower line tells apart, or that no line names.
    """
    grid = [[cell.text for cell in line] + [""] * (width - len(line)) for line in heads]
    named = [any(line[column] for line in grid) for column in range(width)]
    result: list[list[str]] = [[] for _ in range(width)]
    for number, line in enumerate(grid):
        filled = [column for column in range(1, width) if line[column]]
        below = grid[number + 1 :]
        for column in range(1, width):
            text = line[column]
            if not text and len(filled) == 1:
                text = line[filled[0]] if _reaches(grid, number, filled[0], column) else ""
            elif not text and (not named[column] or any(lower[column] for lower in below)):
                text = line[place] if (place := _spanning(below, filled, column)) else ""
            if text and text not in result[column]:
                result[column].append(text)
    return tuple(" ".join(parts) for parts in result)


def _spanning(below: Sequence[Sequence[str]], filled: Sequence[int], column: int) -> int:
    """Return which of the `filled` cells of a line of heads stands over `column`, 0 for none: mostly the one to its left.

    One to its right that is put in the middle does, where periods are under the left one, and under the right one and
    `column` others: "Change" over a change in money and one in percent.
    """
    left = [place for place in filled if place < column]
    right = [place for place in filled if place > column]
    if left and right and right[0] == column + 1:
        kinds = [
            [_is_period(lower[place]) for lower in below if lower[place]] for place in (left[-1], column, right[0])
        ]
        if kinds[0] and all(kinds[0]) and not any(kinds[1] + kinds[2]):
            return right[0]
    return left[-1] if left else 0


def _reaches(grid: Sequence[Sequence[str]], number: int, only: int, column: int) -> bool:
    """Tell whether the only cell of a line holds for `column` too.

    A period or a unit holds for all. Other words over a year hold for the years, over no year for the columns without;
    over a column that no lower line names, they are its name.
    """
    text = grid[number][only]
    if find_periods(text) or head_unit(text)[1] is not None:
        return True
    lower = ([line[place] for line in grid[number + 1 :] if line[place]] for place in (only, column))
    under, there = (texts for texts in lower)
    if not under or not there:
        return False
    return any(_is_period(text) for text in under) == any(_is_period(text) for text in there)
