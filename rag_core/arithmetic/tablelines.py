"""Where tables stand in a document's text, and their lines cut into cells, each with its exact span.

Tables that a reader marked and runs of lines with bars (`a | b | c`) are read alike.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from itertools import pairwise

from rag_core.arithmetic.figures import Figure, parse_figure
from rag_core.language.tablecells import table_at
from rag_core.records import Document

__all__ = ["Cell", "Line", "table_lines", "table_spans"]

# A hostile or huge table is read in part: so many lines to either side of the hit, and cells of a line.
_MOST_LINES = 200
_MOST_CELLS = 60

_SPACED_BAR = re.compile(r"(?:^|(?<=[ \t]))\|(?=[ \t]|$)")
_ANY_BAR = re.compile(r"\|")
_RULE = re.compile(r"[\s|:+=-]+")
_SIGN_ALONE = re.compile(r"(?:[A-Z]{0,3}[$€£¥₹]|[%)]+)")


@dataclass(frozen=True, slots=True)
class Cell:
    """One cell: its words without white space around, their span in the document, and the figure they are, if any."""

    text: str
    start: int
    end: int
    figure: Figure | None = None


# The span of a line, and its cells.
Line = tuple[int, int, list[Cell]]


def table_spans(document: Document, start: int, end: int) -> list[tuple[int, int]]:
    """Return the spans of the tables that `[start, end)` of the document touches."""
    text = document.text
    blocks: list[tuple[int, int]] = []
    position = start
    while position < end:
        line_start = text.rfind("\n", 0, position) + 1
        line_end = _line_end(text, position)
        table = table_at(document, max(position, line_start))
        if table is not None:
            blocks.append(_capped(text, table.start, table.end, position))
            position = max(table.end, line_end) + 1
        elif _has_bar(text, line_start, line_end):
            block = _run(document, line_start, line_end)
            blocks.append(block)
            position = block[1] + 1
        else:
            position = line_end + 1
    return list(dict.fromkeys(blocks))


def _run(document: Document, start: int, end: int) -> tuple[int, int]:
    """Return the run of lines with bars around the line `[start, end)`, outside of marked tables."""
    text = document.text
    for _ in range(_MOST_LINES):
        before_start = text.rfind("\n", 0, max(0, start - 1)) + 1
        if start == 0 or not _has_bar(text, before_start, start - 1) or table_at(document, before_start):
            break
        start = before_start
    for _ in range(_MOST_LINES):
        after_end = _line_end(text, end + 1)
        if end >= len(text) or not _has_bar(text, end + 1, after_end) or table_at(document, end + 1):
            break
        end = after_end
    return start, end


def _capped(text: str, start: int, end: int, position: int) -> tuple[int, int]:
    """Return the part of a marked table that is read: all of it, or where it is longer its lines around `position`."""
    first = last = position
    for _ in range(_MOST_LINES):
        first = max(start, text.rfind("\n", start, max(start, first - 1)) + 1)
        last = _line_end(text, min(end, last + 1))
    return first, min(end, last)


def _line_end(text: str, position: int) -> int:
    found = text.find("\n", position)
    return len(text) if found < 0 else found


def _has_bar(text: str, start: int, end: int) -> bool:
    return start < end and text.find("|", start, end) >= 0


def table_lines(document: Document, start: int, end: int) -> list[Line]:
    """Return the lines with cells of the table at `[start, end)`; one that is read in part keeps its first line, the heads."""
    lines = [line for line in _lines(document.text, start, end) if line[2]]
    table = table_at(document, start)
    if table is not None and table.start < start:
        lines = [*_lines(document.text, table.start, _line_end(document.text, table.start)), *lines]
    return lines


def _lines(text: str, start: int, end: int) -> list[Line]:
    """Return each line's span and cells; columns that are empty throughout, as outer bars make them, are dropped."""
    bar = _SPACED_BAR if any(_SPACED_BAR.search(line) for line in text[start:end].split("\n")) else _ANY_BAR
    rows: list[Line] = []
    position = start
    while position <= end:
        line_end = min(_line_end(text, position), end)
        line = text[position:line_end]
        if line.strip() and not _RULE.fullmatch(line):
            rows.append((position, line_end, _cells(line, position, bar)))
        position = line_end + 1
    outer = len(rows) > 1 and all(not cells[0].text for _, _, cells in rows)
    return [(first, last, cells[1:] if outer else cells) for first, last, cells in rows]


def _cells(line: str, offset: int, bar: re.Pattern[str]) -> list[Cell]:
    """Split a line into cells; a currency or percent sign in a cell of its own is joined to its figure's."""
    edges = [-1, *(found.start() for found in bar.finditer(line)), len(line)]
    cells: list[Cell] = []
    for left, right in pairwise(edges):
        raw = line[left + 1 : right]
        text = raw.strip()
        first = offset + left + 1 + len(raw) - len(raw.lstrip())
        cells.append(Cell(text, first, first + len(text), parse_figure(text)))
        if len(cells) >= _MOST_CELLS:
            break
    return [Cell("", cell.start, cell.start) if _SIGN_ALONE.fullmatch(cell.text) else cell for cell in cells]
