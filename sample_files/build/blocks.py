"""The small part of Markdown that our texts use, as blocks that a writer of any format can set.

Headings (`#` to `###`), paragraphs, `- ` bullets, `**bold**` inside a line, pipe tables whose first row is the header,
and `{{table NAME}}` on a line of its own. A row whose first cell is bold is a total; the dashes under the header weigh
the columns where they differ.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Literal

__all__ = ["Block", "Bullet", "Heading", "Paragraph", "Row", "TableBlock", "read_blocks"]

RowStyle = Literal["plain", "total", "section"]


@dataclass(frozen=True)
class Heading:
    """A heading of level 1 to 3."""

    level: int
    text: str


@dataclass(frozen=True)
class Paragraph:
    """Running text; `**` marks bold."""

    text: str


@dataclass(frozen=True)
class Bullet:
    """One item of a list."""

    text: str


@dataclass(frozen=True)
class Row:
    """Cells of a table row, as many as its header has."""

    cells: tuple[str, ...]
    style: RowStyle = "plain"


@dataclass(frozen=True)
class TableBlock:
    """A table: the first column is left-aligned, all others right. `widths` are shares of the line, one a column."""

    header: tuple[str, ...]
    rows: tuple[Row, ...]
    widths: tuple[float, ...]


Block = Heading | Paragraph | Bullet | TableBlock


def read_blocks(text: str, tables: Mapping[str, TableBlock] | None = None) -> Iterator[Block]:
    """Yield the blocks of a text. Raises KeyError where it names a table that is not there."""
    for part in text.strip().split("\n\n"):
        lines = [line for line in part.splitlines() if line.strip()]
        if not lines:
            continue
        first = lines[0]
        if first.startswith("#"):
            marks, _, title = first.partition(" ")
            yield Heading(len(marks), title.strip())
            lines = lines[1:]
        elif first.startswith("{{table "):
            yield (tables or {})[first.removeprefix("{{table ").removesuffix("}}").strip()]
            lines = lines[1:]
        yield from _body(lines)


def _body(lines: list[str]) -> Iterator[Block]:
    if not lines:
        return
    if lines[0].startswith("|"):
        yield _pipe_table(lines)
    elif lines[0].startswith("- "):
        items: list[str] = []
        for line in lines:
            if line.startswith("- "):
                items.append(line[2:].strip())
            else:
                items[-1] += " " + line.strip()
        yield from (Bullet(item) for item in items)
    else:
        yield Paragraph(" ".join(line.strip() for line in lines))


def _pipe_table(lines: list[str]) -> TableBlock:
    grid = [[cell.strip() for cell in line.strip().strip("|").split("|")] for line in lines]
    header, body = grid[0], grid[2:]
    rows = []
    for cells in body:
        total = cells[0].startswith("**")
        rows.append(Row(tuple(cell.strip("*") for cell in cells), "total" if total else "plain"))
    return TableBlock(tuple(header), tuple(rows), _shares([len(dashes) for dashes in grid[1]]))


def _shares(dashes: list[int]) -> tuple[float, ...]:
    """Widths from the dashes under the header; where all are alike, the first column has the room of two others."""
    others = len(dashes) - 1
    if others and len(set(dashes)) == 1:
        label = max(2 / (others + 2), 0.34)
        return (label, *((1 - label) / others for _ in range(others)))
    return tuple(count / sum(dashes) for count in dashes)
