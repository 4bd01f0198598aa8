"""Collects what a parser finds into one text with pages, headings and tables whose spans are right by construction."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from typing import Any

__all__ = ["Refused", "TextBuilder", "clean"]

# Everything below a space but tab and line feed, and the marks that reorder or hide text.
_INVISIBLE = re.compile(
    "[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\u00ad\u200b-\u200f\u202a-\u202e\u2060-\u2069\ufeff\ufff9-\ufffb\U000e0000-\U000e007f\ud800-\udfff]"
)
_SPACES = re.compile(r"[ \t\u00a0\u2000-\u200a\u202f\u205f\u3000]+")


class Refused(Exception):
    """A parser's reason to refuse: `kind` is the name of an error of rag_core.errors."""

    def __init__(self, kind: str, message: str) -> None:
        super().__init__(message)
        self.kind = kind


def clean(text: str) -> str:
    """Return `text` with line ends as line feeds and without invisible characters."""
    return _INVISIBLE.sub(
        "", text.replace("\r\n", "\n").replace("\r", "\n").replace("\u2028", "\n").replace("\u2029", "\n")
    )


class TextBuilder:
    """Appends blocks and remembers where each stands. Over `characters` or `pages` it raises Refused."""

    def __init__(self, characters: int, pages: int, report: Callable[[int, int], None] | None = None) -> None:
        self._parts: list[str] = []
        self._length = 0
        self._limits = (characters, pages)
        self._report = report
        self.pages: list[dict[str, Any]] = []
        self.headings: list[dict[str, Any]] = []
        self.tables: list[dict[str, Any]] = []
        self.warnings: list[str] = []

    @property
    def length(self) -> int:
        """Characters so far."""
        return self._length

    def warn(self, text: str) -> None:
        """Note once what a reader of the document should know."""
        if text not in self.warnings:
            self.warnings.append(text)

    def page(self, number: int, total: int = 0, label: str = "") -> None:
        """Begin page `number` (1-based)."""
        if number > self._limits[1]:
            raise Refused(
                "DocumentTooLargeError", f"has more than {self._limits[1]} pages; split it, or raise RAG_MAX_PAGES"
            )
        if self.pages:
            self.pages[-1]["end"] = self._length
        self.pages.append({"number": number, "start": self._length, "end": self._length, "label": label})
        if self._report and total:
            self._report(number, total)

    def raw(self, text: str) -> tuple[int, int]:
        """Append `text` as it is and return its span."""
        start = self._length
        if start + len(text) > self._limits[0]:
            raise Refused(
                "DocumentTooLargeError",
                f"has more than {self._limits[0]} characters; split it, or raise RAG_MAX_CHARACTERS",
            )
        self._parts.append(text)
        self._length += len(text)
        return start, self._length

    def line(self, text: str) -> tuple[int, int]:
        """Append one line (white space folded) and its line feed; return the span of the line without the feed."""
        text = _SPACES.sub(" ", clean(text)).strip()
        span = self.raw(text)
        self.raw("\n")
        return span

    def blank(self) -> None:
        """Separate blocks by an empty line."""
        if self._length and not "".join(self._parts[-2:]).endswith("\n\n"):
            self.raw("\n")

    def paragraph(self, text: str) -> None:
        """Append a block of prose and an empty line after it."""
        text = clean(text).strip()
        if text:
            for line in text.split("\n"):
                self.line(line)
            self.blank()

    def heading(self, level: int, title: str) -> None:
        """Append a heading of `level` 1 to 6."""
        title = " ".join(clean(title).split())
        if title:
            start, end = self.line(title)
            self.mark_heading(level, start, end, title)
            self.blank()

    def mark_heading(self, level: int, start: int, end: int, title: str) -> None:
        """Record a heading that stands already in the text."""
        self.headings.append({"level": min(6, max(1, level)), "title": title, "start": start, "end": end})

    def table(self, rows: Sequence[Sequence[str]], *, header: bool = True) -> None:
        """Append a table: a row a line, cells joined by ` | `; the first row is its header where `header` says so."""
        lines = []
        for row in rows:
            cells = [" ".join(clean(cell).replace("|", "/").split()) for cell in row]
            if any(cells):
                lines.append(" | ".join(cells).rstrip(" |") or "")
        lines = [line for line in lines if line]
        if not lines:
            return
        spans = [self.raw(line + "\n") for line in lines]
        start, end = spans[0][0], spans[-1][1] - 1
        self.mark_table(start, end, (spans[0][0], spans[0][1] - 1) if header and len(lines) > 1 else (start, start))
        self.blank()

    def mark_table(self, start: int, end: int, header: tuple[int, int]) -> None:
        """Record a table that stands already in the text."""
        self.tables.append({"start": start, "end": end, "header_start": header[0], "header_end": header[1]})

    def result(self) -> dict[str, Any]:
        """Return text, pages, headings, tables and warnings as plain values."""
        if not self.pages:
            self.page(1)
        self.pages[0]["start"] = 0
        self.pages[-1]["end"] = self._length
        return {
            "text": "".join(self._parts),
            "pages": self.pages,
            "headings": self.headings,
            "tables": self.tables,
            "warnings": self.warnings,
        }
