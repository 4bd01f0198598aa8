"""A stretch of a document as HTML: headings, paragraphs and tables, with one span marked wherever it falls."""

from __future__ import annotations

import re
from collections.abc import Iterator

from rag_core import Document
from ui.markup import escape

__all__ = ["passage_html"]

_LINE = re.compile(r"[^\n]*\n?")
_HEADING_MARK = re.compile(r"#{1,6}\s+")
_RULE = re.compile(r"^[\s|:+=_-]{3,}$")
_FIGURE = re.compile("^[(\\[]?[-\u2212\u2013+]?\\s?[$€£¥]?\\s?[\\d.,\\s]+\\s?[%x]?[)\\]]?$|^[-\u2013\u2014]$")


def passage_html(document: Document, start: int, end: int, mark: tuple[int, int] | None = None) -> str:
    """Return `document.text[start:end]` as HTML, escaped; the characters of `mark` stand in <mark> elements."""
    return "".join(_Writer(document, start, end, mark).blocks())


class _Writer:
    """Turns a span of one document into HTML, keeping absolute positions so that the mark falls where it belongs."""

    def __init__(self, document: Document, start: int, end: int, mark: tuple[int, int] | None) -> None:
        self.text = document.text
        self.span = (start, end)
        self.mark = mark or (0, 0)
        # A document may have a hundred thousand of both, and each line is looked up among them.
        self.headings = {item.start: item.level for item in document.headings if start <= item.start < end}
        self.tables = [table for table in document.tables if table.start < end and start < table.end]

    def blocks(self) -> Iterator[str]:
        """Yield one piece of HTML for each heading, table and paragraph."""
        lines: list[tuple[int, int]] = []
        for line_start, line_end in self._lines(*self.span):
            blank = not self.text[line_start:line_end].strip()
            kind = "" if blank else self._kind(line_start, line_end)
            # Only neighbouring lines of one paragraph, or rows of one table, stand together.
            if lines and (kind not in ("text", "row") or self._kind(*lines[-1]) != kind):
                yield self._block(lines)
                lines = []
            if not blank:
                lines.append((line_start, line_end))
        if lines:
            yield self._block(lines)

    def _lines(self, start: int, end: int) -> Iterator[tuple[int, int]]:
        for match in _LINE.finditer(self.text, start, end):
            if match.end() > match.start():
                yield match.start(), match.end() - match.group().endswith("\n")

    def _kind(self, start: int, end: int) -> str:
        if start in self.headings:
            return "heading"
        line = self.text[start:end]
        in_table = any(table.start <= start < table.end for table in self.tables)
        if " | " in line and (in_table or line.lstrip().startswith("|")):
            return "row"
        if in_table and _RULE.match(line):
            return "row"
        return "text"

    def _block(self, lines: list[tuple[int, int]]) -> str:
        kind = self._kind(*lines[0])
        if kind == "heading":
            level = min(6, self.headings[lines[0][0]] + 2)
            start, end = lines[0]
            marker = _HEADING_MARK.match(self.text, start, end)
            # A marked heading is shown with its marker: the mark shows the quote whole.
            if marker and not self._overlaps(start, end):
                start = marker.end()
            return f"<h{level}>{self._marked(start, end)}</h{level}>"
        if kind == "row":
            return self._table(lines)
        return f"<p>{self._marked(lines[0][0], lines[-1][1])}</p>"

    def _table(self, lines: list[tuple[int, int]]) -> str:
        header = {table.header_start for table in self.tables if table.header_end > table.header_start}
        rows = []
        for start, end in lines:
            if _RULE.match(self.text[start:end]):
                continue
            tag = "th" if start in header else "td"
            marked = ' class="is-marked"' if self._overlaps(start, end) else ""
            cells = "".join(self._cell(tag, *cell) for cell in self._cells(start, end))
            rows.append(f"<tr{marked}>{cells}</tr>")
        return (
            f'<div class="rag-table" tabindex="0" role="region" aria-label="Table"><table>{"".join(rows)}</table></div>'
        )

    def _cells(self, start: int, end: int) -> Iterator[tuple[int, int]]:
        line = self.text[start:end]
        left = start + len(line) - len(line.lstrip(" |"))
        right = start + len(line.rstrip(" |"))
        position = left
        for match in re.finditer(r" ?\| ?", self.text[left : max(left, right)]):
            yield position, left + match.start()
            position = left + match.end()
        yield position, max(position, right)

    def _cell(self, tag: str, start: int, end: int) -> str:
        figure = ' class="is-figure"' if _FIGURE.match(self.text[start:end].strip()) else ""
        return f"<{tag}{figure}>{self._marked(start, end)}</{tag}>"

    def _overlaps(self, start: int, end: int) -> bool:
        return self.mark[0] < end and start < self.mark[1]

    def _marked(self, start: int, end: int) -> str:
        """Return the span escaped, with what of it is marked in <mark>."""
        if not self._overlaps(start, end):
            return escape(self.text[start:end])
        low, high = max(start, self.mark[0]), min(end, self.mark[1])
        return f"{escape(self.text[start:low])}<mark>{escape(self.text[low:high])}</mark>{escape(self.text[high:end])}"
