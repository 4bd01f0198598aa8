"""The text of a document while it is read, with the spans of its pages, headings and tables.

All readers write through `Draft`, so that spans are right by construction and limits hold for every format.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from rag_core.errors import DocumentTooLargeError
from rag_core.loading.cleaning import clean_text, one_line
from rag_core.records import Heading, Page, Table

__all__ = ["Draft", "DraftLimits"]

# A person reads a handful of warnings; a hostile file could cause any number.
_MOST_WARNINGS = 20
# Headings, and tables: a whole library has fewer, and each costs the reading process, then its parent, half a kilobyte.
_MOST_MARKS = 100_000
# Blank lines one behind the other: as with wide gaps (`cleaning`), more say nothing and cost much to look through.
_MOST_BLANK = 8


@dataclass(frozen=True, slots=True)
class DraftLimits:
    """The most `pages` and `characters` that a document may have; `expanded_bytes` bounds what an archive unpacks to."""

    pages: int
    characters: int
    expanded_bytes: int


@dataclass(slots=True)
class Draft:
    """Collects text in order. `on_page(done, total)` is told about pages read; `total` is 0 while unknown."""

    limits: DraftLimits
    on_page: Callable[[int, int], None] = lambda done, total: None
    headings: list[Heading] = field(default_factory=list)
    tables: list[Table] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)
    _parts: list[str] = field(default_factory=list)
    _length: int = 0
    _newlines: int = 2
    _starts: list[tuple[int, str]] = field(default_factory=list)

    @property
    def length(self) -> int:
        """Characters so far."""
        return self._length

    def begin_page(self, label: str = "") -> None:
        """Start the next page; what separates it from the one before belongs to the one before.

        Raises DocumentTooLargeError over the limit of pages.
        """
        if len(self._starts) >= self.limits.pages:
            raise DocumentTooLargeError(
                f"it has more than {self.limits.pages:,} pages, the most that are read; split it into smaller files"
            )
        self.gap()
        self._starts.append((self._length, one_line(label)[:120]))

    def line(self, text: str) -> tuple[int, int]:
        """Add `text` and a line end; return the span of `text`.

        Blank lines before the first words are dropped, and those behind eight others.

        Raises DocumentTooLargeError over the limit of characters.
        """
        text = clean_text(text)
        start = self._length
        if not text.strip():
            if not start or self._newlines > _MOST_BLANK:
                return (start, start)
            text = ""
        self._write(text + "\n")
        return (start, start + len(text))

    def gap(self) -> None:
        """End the paragraph: a blank line follows, unless there is one already or nothing stands before it."""
        if self._length and self._newlines < 2:
            self._write("\n" * (2 - self._newlines))

    def paragraph(self, text: str) -> None:
        """Add a paragraph, which may have several lines; blank text adds nothing."""
        text = clean_text(text).strip()
        if text:
            self.gap()
            self.line(text)

    def heading(self, level: int, text: str) -> None:
        """Add a heading on a line of its own, with blank lines around; blank text adds nothing."""
        title = one_line(text)
        if not title:
            return
        self.gap()
        start, end = self.line(title)
        self.mark_heading(level, title, start, end)
        self.gap()

    def mark_heading(self, level: int, title: str, start: int, end: int) -> None:
        """Record text already added as a heading; `level` is brought into 1 to 6. Beyond 100,000 it is text alone."""
        if self._has_room(self.headings, "headings"):
            self.headings.append(Heading(min(max(level, 1), 6), title, start, end))

    def table(self, rows: Sequence[Sequence[str]], *, header: bool) -> None:
        """Add rows as lines, their cells joined by ` | `; `header` says that the first one names the columns.

        Rows without words are dropped, and so are empty cells at the end of a row. Beyond 100,000 tables the lines are text
        alone.
        """
        lines = [line for line in (joined_cells(row) for row in rows) if line]
        if not lines:
            return
        self.gap()
        spans = [self.line(line) for line in lines]
        self.gap()
        start, end = spans[0][0], spans[-1][1]
        if not self._has_room(self.tables, "tables"):
            return
        if header and len(spans) > 1:
            self.tables.append(Table(start, end, spans[0][0], spans[0][1]))
        else:
            self.tables.append(Table(start, end))

    def _has_room(self, marks: Sequence[object], kind: str) -> bool:
        if len(marks) >= _MOST_MARKS:
            self.warn(f"Only the first {_MOST_MARKS:,} {kind} are told apart from text")
        return len(marks) < _MOST_MARKS

    def warn(self, text: str) -> None:
        """Add a line for the reader, once."""
        if text in self.warnings:
            return
        text = one_line(text)[:300]
        if text not in self.warnings and len(self.warnings) < _MOST_WARNINGS:
            self.warnings.append(text)

    def finish(self) -> tuple[str, tuple[Page, ...]]:
        """Return the text, without white space at its end, and its pages, which partition it."""
        text = "".join(self._parts).rstrip()
        starts = self._starts or [(0, "")]
        ends = [start for start, _ in starts[1:]] + [len(text)]
        pages = []
        for number, ((start, label), end) in enumerate(zip(starts, ends, strict=True), start=1):
            pages.append(Page(number, min(start, len(text)), min(end, len(text)), label))
        return text, tuple(pages)

    def _write(self, text: str) -> None:
        self._length += len(text)
        tail = len(text) - len(text.rstrip("\n"))
        # Line ends at the end of the document will go.
        if self._length - tail > self.limits.characters:
            raise DocumentTooLargeError(
                f"it has more than {self.limits.characters:,} characters, the most that are read; "
                "split it into smaller files"
            )
        self._parts.append(text)
        self._newlines = self._newlines + tail if tail == len(text) else tail


def joined_cells(row: Sequence[str]) -> str:
    """Return a table row as its line: each cell on one line, ` | ` between them, none for empty cells at the end."""
    cells = [one_line(cell) for cell in row]
    while cells and not cells[-1]:
        cells.pop()
    return " | ".join(cells).strip()
