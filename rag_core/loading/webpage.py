"""HTML pages as a reader sees them: headings, paragraphs, lists and table rows; what is hidden is left out.

Nothing is fetched and nothing is run. The tree is walked without recursion, since pages nest as deep as they like.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Any

from rag_core.errors import CorruptDocumentError, DocumentTooLargeError
from rag_core.loading.cleaning import one_line
from rag_core.loading.drafting import Draft
from rag_core.loading.encoding import decode
from rag_core.loading.grids import has_header, tidy_columns
from rag_core.loading.visibility import HidingRules

__all__ = ["read_html"]

_SKIPPED = frozenset(
    "applet audio canvas datalist embed head iframe math noembed noframes noscript object script style template "
    "textarea title video".split()
)
_BLOCKS = frozenset(
    "address article aside blockquote body center dd details dialog dir div dl dt fieldset figcaption figure footer form "
    "header hgroup hr html legend li main menu nav ol p pre search section summary table tbody td tfoot th thead tr "
    "ul caption".split()
)
_HEADINGS = {f"h{level}": level for level in range(1, 7)}
# Inside a table, these mean that it lays out a page rather than holding data.
_LAYOUT = frozenset({"table", "ul", "ol", "form", *_HEADINGS})
_DECLARED = re.compile(rb"<meta[^<>]{0,200}?charset\s*=\s*[\"']?\s*([\w-]{2,30})", re.IGNORECASE)
_MOST_SPAN = 100
_LIST_MARK = "- "


def read_html(data: bytes, draft: Draft) -> None:
    """Write the visible text of a page to `draft`.

    Raises UnsupportedFormatError for binary content, CorruptDocumentError for nesting or nodes beyond the parser's
    bounds, which would lose text.
    """
    found = _DECLARED.search(data[:4_096])
    text, warnings = decode(data, found[1].decode("ascii") if found else "utf-8")
    for warning in warnings:
        draft.warn(warning)
    draft.begin_page()
    root = _parse(text)
    if root is not None:
        walker = _Walker(draft, HidingRules.of(root))
        walker.walk(root)
        if walker.hidden:
            draft.warn(f"Left out {walker.hidden} hidden part{'s' * (walker.hidden > 1)} that a reader cannot see")
    draft.on_page(1, 1)


def _parse(text: str) -> Any:
    from lxml import etree, html

    text = text.replace("\x00", "")
    parser = html.HTMLParser(
        encoding="utf-8", no_network=True, huge_tree=False, remove_comments=True, remove_pis=True, recover=True
    )
    try:
        root = etree.fromstring(text.encode("utf-8", "replace"), parser)
    except etree.LxmlError as error:
        if "empty" in str(error).lower():
            return None
        if "unknown error" in str(error):
            # What libxml2 says when it can have no more memory.
            raise MemoryError from error
        raise CorruptDocumentError("it cannot be read as HTML; save the page again") from error
    for entry in parser.error_log:
        if "xcessive depth" in entry.message or "too deep" in entry.message:
            raise CorruptDocumentError("its elements nest too deeply to be a page; save its text as .txt")
        if "huge text" in entry.message.lower() or "too long" in entry.message:
            raise DocumentTooLargeError("one of its elements is too large to read; save its text as .txt")
    return root


@dataclass(slots=True)
class _Walker:
    """Visits every element once. `_text` gathers the words of the paragraph being read."""

    draft: Draft
    rules: HidingRules
    hidden: int = 0
    _text: list[str] = field(default_factory=list)
    _mark: str = ""
    _tight: bool = False

    def walk(self, root: Any) -> None:
        """Write everything visible below `root`."""
        stack: list[tuple[str, Any]] = [("enter", root)]
        while stack:
            action, item = stack.pop()
            if action == "text":
                self._text.append(item)
            elif action == "leave":
                self._flush()
            else:
                self._enter(item, stack)
        self._flush()

    def _enter(self, element: Any, stack: list[tuple[str, Any]]) -> None:
        if element.tail:
            stack.append(("text", _spaced(element.tail)))
        tag = element.tag.lower() if isinstance(element.tag, str) else ""
        if not tag or tag in _SKIPPED:
            return
        if self.rules.hides(element):
            self.hidden += bool(one_line("".join(element.itertext())))
            return
        if tag in _HEADINGS:
            self._flush()
            self.draft.heading(_HEADINGS[tag], self._words(element))
            return
        if tag == "table" and not any(below.tag in _LAYOUT for below in element.iterdescendants()):
            self._flush()
            self._write_table(element)
            return
        if tag == "br":
            self._text.append("\n")
            return
        if tag in _BLOCKS:
            self._flush()
            stack.append(("leave", None))
            if tag == "li":
                self._mark = _LIST_MARK
        stack.extend(("enter", child) for child in reversed(element))
        if element.text:
            stack.append(("text", element.text if tag == "pre" else _spaced(element.text)))

    def _flush(self) -> None:
        """End the paragraph. Items of one list follow each other without blank lines."""
        text = "".join(self._text)
        self._text.clear()
        lines = [line for line in (" ".join(line.split()) for line in text.split("\n")) if line]
        if not lines:
            return
        if not (self._mark and self._tight):
            self.draft.gap()
        for index, line in enumerate(lines):
            self.draft.line((self._mark if index == 0 else "") + line)
        self._tight = bool(self._mark)
        self._mark = ""

    def _words(self, element: Any) -> str:
        """Return the visible words of an element on one line."""
        parts: list[str] = []
        stack: list[Any] = [element]
        while stack:
            item = stack.pop()
            if isinstance(item, str):
                parts.append(item)
                continue
            if item is not element and item.tail:
                stack.append(item.tail)
            if not isinstance(item.tag, str) or item.tag in _SKIPPED:
                continue
            if item is not element and self.rules.hides(item):
                self.hidden += bool(one_line("".join(item.itertext())))
                continue
            if item.tag == "br" or item.tag in _BLOCKS:
                parts.append(" ")
                stack.append(" ")
            stack.extend(reversed(item))
            if item.text:
                stack.append(item.text)
        return one_line("".join(parts))

    def _write_table(self, table: Any) -> None:
        """Write a table of data; one with a single column is text."""
        for caption in table.iterchildren("caption"):
            self.draft.paragraph(self._words(caption))
        rows: list[list[str]] = []
        below: dict[int, tuple[int, str]] = {}
        named = False
        for row in table.iter("tr"):
            if any(self.rules.hides(part) for part in (row, row.getparent()) if part is not table):
                self.hidden += bool(one_line("".join(row.itertext())))
                continue
            cells = [cell for cell in row.iterchildren("td", "th") if not self._skips(cell)]
            all_named = bool(cells) and all(cell.tag == "th" for cell in cells)
            named = named or (not rows and (all_named or row.getparent().tag == "thead"))
            rows.append(self._row(cells, below))
        rows = tidy_columns(rows)
        if rows and len(rows[0]) == 1:
            for cells_of_row in rows:
                self.draft.paragraph(cells_of_row[0])
        elif rows:
            self.draft.table(rows, header=named or has_header(rows))

    def _skips(self, cell: Any) -> bool:
        hides = self.rules.hides(cell)
        self.hidden += hides and bool(one_line("".join(cell.itertext())))
        return hides

    def _row(self, cells: list[Any], below: dict[int, tuple[int, str]]) -> list[str]:
        """Return a row's cells by column; `below` holds the cells that still reach down from rows above."""
        row: list[str] = []
        for cell in cells:
            _reach_down(row, below)
            text = self._words(cell)
            rows, columns = _span(cell, "rowspan"), _span(cell, "colspan")
            if rows > 1:
                below[len(row)] = (rows - 1, text)
            row += [text, *[""] * (columns - 1)]
        _reach_down(row, below)
        return row


def _reach_down(row: list[str], below: dict[int, tuple[int, str]]) -> None:
    while len(row) in below:
        column = len(row)
        left, text = below.pop(column)
        row.append(text)
        if left > 1:
            below[column] = (left - 1, text)


def _span(cell: Any, name: str) -> int:
    value = (cell.get(name) or "1").strip()
    return min(int(value), _MOST_SPAN) if value.isascii() and value.isdigit() and value != "0" else 1


def _spaced(text: str) -> str:
    """Return text with line ends as spaces, since only `br` and blocks break lines."""
    return re.sub(r"\s+", " ", text)
