"""Where a position stands in a document: under which headings, and below which table's header row."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence

from rag_core.records import Document, Heading

__all__ = ["HeadingPaths", "TableHeaders"]


class HeadingPaths:
    """For every position of a document, the titles it stands under."""

    def __init__(self, headings: Sequence[Heading]) -> None:
        self._starts: list[int] = []
        self._paths: list[tuple[str, ...]] = []
        above: list[Heading] = []
        for heading in sorted(headings, key=lambda item: item.start):
            above = [outer for outer in above if outer.level < heading.level] + [heading]
            self._starts.append(heading.start)
            self._paths.append(tuple(" ".join(item.title.split()) for item in above))

    def at(self, position: int) -> tuple[str, ...]:
        """Return the path at `position`, outermost first; a heading that starts just there is part of it."""
        index = bisect_right(self._starts, position) - 1
        return self._paths[index] if index >= 0 else ()


class TableHeaders:
    """For every position of a document, the header row of the table around it."""

    def __init__(self, document: Document) -> None:
        self._text = document.text
        self._tables = sorted(document.tables, key=lambda table: table.start)
        self._starts = [table.start for table in self._tables]

    def at(self, position: int) -> str:
        """Return the header row where `position` is in a table and below that row, else nothing."""
        index = bisect_right(self._starts, position) - 1
        if index < 0:
            return ""
        table = self._tables[index]
        below = table.header_end <= position < table.end
        return self._text[table.header_start : table.header_end] if below else ""

    def inside(self, position: int) -> bool:
        """Return whether `position` is in a table."""
        index = bisect_right(self._starts, position) - 1
        return index >= 0 and position < self._tables[index].end

    def rows(self) -> list[str]:
        """Return the header rows of all tables."""
        return [self._text[table.header_start : table.header_end] for table in self._tables]
