"""Word documents: headings by style, paragraphs, lists, whole table rows, text boxes and footnotes, in reading order.

Deleted and hidden text is left out. Element names are those of WordprocessingML (ECMA-376 part 1, chapter 17).
"""

from __future__ import annotations

import io
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from rag_core.errors import CorruptDocumentError
from rag_core.loading.archives import check_archive
from rag_core.loading.drafting import Draft
from rag_core.loading.grids import has_header, tidy_columns

__all__ = ["read_word"]

_W = "{http://schemas.openxmlformats.org/wordprocessingml/2006/main}"
_HEADING_STYLE = re.compile(r"heading (\d)", re.IGNORECASE)
_OFF = ("0", "false", "off")
# Deleted text, field codes, and the older copy of a drawing that newer programs do not show.
_SKIPPED = frozenset(f"{_W}{name}" for name in ("del", "moveFrom", "delText", "instrText", "rPr", "pPr", "tbl")) | {
    "{http://schemas.openxmlformats.org/markup-compatibility/2006}Fallback"
}
_CONTAINERS = frozenset(f"{_W}{name}" for name in ("sdt", "sdtContent", "customXml", "ins", "moveTo", "smartTag"))
_BREAKS = {f"{_W}br": "\n", f"{_W}cr": "\n", f"{_W}tab": "\t", f"{_W}noBreakHyphen": "-"}
# Half-points: letters of one point or less cannot be read.
_SMALLEST_HALF_POINTS = 2
_MOST_SPAN = 200
_MOST_BASES = 20


@dataclass(frozen=True, slots=True)
class _Style:
    level: int
    hidden: bool
    listed: bool


_PLAIN = _Style(0, False, False)


def read_word(data: bytes, draft: Draft) -> None:
    """Write the document's body and footnotes to `draft` as one page.

    Raises the errors of `check_archive`, and CorruptDocumentError where the document cannot be read.
    """
    check_archive(data, "word/document.xml", draft.limits.expanded_bytes)
    import docx

    try:
        document = docx.Document(io.BytesIO(data))
        body = document.element.body
        if body is None:
            raise ValueError("no body")
        styles = _styles(document)
        notes = _footnotes(document)
    except MemoryError:
        raise
    except Exception as error:
        # python-docx lets whatever its parts meet escape: KeyError, ValueError, XML errors.
        raise CorruptDocumentError("its text cannot be read; open it in Word and save it again") from error
    draft.begin_page()
    writer = _Writer(draft, styles)
    writer.write(body)
    for note in notes:
        writer.write(note)
    draft.on_page(1, 1)


def _styles(document: Any) -> dict[str, _Style]:
    """Return what each style (by its id) says about level, hiding and lists, following what it is based on."""
    elements = {style.style_id: style.element for style in document.styles}
    found = {}
    for identity in elements:
        chain: list[Any] = []
        current = identity
        while current in elements and len(chain) < _MOST_BASES:
            chain.append(elements[current])
            based = elements[current].find(f"{_W}basedOn")
            current = based.get(f"{_W}val") if based is not None else None
        levels = [level for level in map(_style_level, chain) if level]
        found[identity] = _Style(
            levels[0] if levels else 0,
            any(_is_on(element.find(f"{_W}rPr/{_W}vanish")) for element in chain),
            any(element.find(f"{_W}pPr/{_W}numPr") is not None for element in chain) and not levels,
        )
    return found


def _style_level(element: Any) -> int:
    name = element.find(f"{_W}name")
    text = (name.get(f"{_W}val") or "") if name is not None else ""
    if match := _HEADING_STYLE.fullmatch(text):
        return int(match[1])
    return 1 if text.lower() == "title" else _outline_level(element.find(f"{_W}pPr"))


def _outline_level(properties: Any) -> int:
    level = properties.find(f"{_W}outlineLvl") if properties is not None else None
    value = (level.get(f"{_W}val") or "") if level is not None else ""
    return int(value) + 1 if value.isdecimal() and int(value) < 9 else 0


def _is_on(element: Any) -> bool:
    return element is not None and element.get(f"{_W}val", "true") not in _OFF


def _footnotes(document: Any) -> list[Any]:
    """Return the footnotes and endnotes with words of the author's; separators have a type of their own."""
    from docx.opc.constants import RELATIONSHIP_TYPE
    from docx.oxml import parse_xml

    notes = []
    for kind, tag in ((RELATIONSHIP_TYPE.FOOTNOTES, "footnote"), (RELATIONSHIP_TYPE.ENDNOTES, "endnote")):
        for relation in document.part.rels.values():
            if relation.reltype == kind and not relation.is_external:
                root = parse_xml(relation.target_part.blob)
                notes += [note for note in root.iter(f"{_W}{tag}") if note.get(f"{_W}type") is None]
    return notes


class _Writer:
    """Writes blocks in order; nothing in it recurses deeper than tables in text boxes in tables, to a fixed depth."""

    def __init__(self, draft: Draft, styles: dict[str, _Style]) -> None:
        self._draft = draft
        self._styles = styles
        self._in_list = False

    def write(self, parent: Any, depth: int = 0) -> None:
        """Write the paragraphs and tables below `parent`."""
        for block in _blocks(parent):
            if block.tag == f"{_W}tbl":
                self._in_list = False
                self._write_table(block)
            else:
                self._write_paragraph(block)
            if depth < 4:
                for box in _boxes(block):
                    self.write(box, depth + 1)

    def _write_paragraph(self, paragraph: Any) -> None:
        properties = paragraph.find(f"{_W}pPr")
        style = self._style(properties)
        text = self._text(paragraph)
        if not text.strip():
            return
        level = style.level or _outline_level(properties)
        numbered = properties is not None and properties.find(f"{_W}numPr") is not None
        listed = (style.listed or numbered) and not level
        if level:
            self._draft.heading(level, text)
        elif listed:
            if not self._in_list:
                self._draft.gap()
            self._draft.line("- " + " ".join(text.split()))
        else:
            self._draft.paragraph("\n".join(" ".join(line.split()) for line in text.split("\n")))
        self._in_list = listed

    def _style(self, properties: Any) -> _Style:
        style = properties.find(f"{_W}pStyle") if properties is not None else None
        return self._styles.get(style.get(f"{_W}val"), _PLAIN) if style is not None else _PLAIN

    def _text(self, paragraph: Any) -> str:
        """Return the visible text of a paragraph, without that of its text boxes."""
        if self._style(paragraph.find(f"{_W}pPr")).hidden:
            self._draft.warn("Left out hidden text")
            return ""
        parts: list[str] = []
        stack = [paragraph]
        while stack:
            element = stack.pop()
            tag = element.tag
            if tag in _SKIPPED or tag == f"{_W}txbxContent" or not isinstance(tag, str):
                continue
            if tag == f"{_W}t":
                parts.append(element.text or "")
            elif tag in _BREAKS:
                parts.append(_BREAKS[tag])
            elif tag == f"{_W}r" and self._hides(element):
                self._draft.warn("Left out hidden text")
            else:
                stack.extend(reversed(element))
        return "".join(parts)

    def _hides(self, run: Any) -> bool:
        """Tell whether a run cannot be seen: marked hidden, too small to read, or white on white."""
        properties = run.find(f"{_W}rPr")
        if properties is None or not "".join(text.text or "" for text in run.iter(f"{_W}t")).strip():
            return False
        vanish = properties.find(f"{_W}vanish")
        style = properties.find(f"{_W}rStyle")
        if vanish is not None:
            return _is_on(vanish)
        if style is not None and self._styles.get(style.get(f"{_W}val"), _PLAIN).hidden:
            return True
        size = properties.find(f"{_W}sz")
        half_points = (size.get(f"{_W}val") or "") if size is not None else ""
        if half_points.isdecimal() and int(half_points) <= _SMALLEST_HALF_POINTS:
            return True
        color = properties.find(f"{_W}color")
        return color is not None and (color.get(f"{_W}val") or "").upper() == "FFFFFF" and not _on_ground(run)

    def _write_table(self, table: Any) -> None:
        rows: list[list[str]] = []
        named = False
        for row in _rows(table):
            settings = row.find(f"{_W}trPr")
            if settings is not None and _is_on(settings.find(f"{_W}hidden")):
                self._draft.warn("Left out hidden text")
                continue
            named = named or (not rows and settings is not None and _is_on(settings.find(f"{_W}tblHeader")))
            rows.append(self._cells(row, rows[-1] if rows else []))
        rows = tidy_columns(rows)
        if rows and max(len(row) for row in rows) == 1:
            # One column is a frame around text, not a table.
            for cells in rows:
                self._draft.paragraph(cells[0])
            return
        self._draft.table(rows, header=named or has_header(rows))

    def _cells(self, row: Any, above: list[str]) -> list[str]:
        """Return a row's cells: one over several columns comes once, one over several rows in each of them."""
        cells: list[str] = []
        for cell in _children(row, f"{_W}tc"):
            properties = cell.find(f"{_W}tcPr")
            merge = properties.find(f"{_W}vMerge") if properties is not None else None
            span = properties.find(f"{_W}gridSpan") if properties is not None else None
            count = (span.get(f"{_W}val") or "1") if span is not None else "1"
            if merge is not None and merge.get(f"{_W}val", "continue") == "continue" and len(cells) < len(above):
                text = above[len(cells)]
            else:
                text = " ".join(filter(None, (self._text(item).strip() for item in _paragraphs(cell))))
            cells += [text, *[""] * (min(int(count) if count.isdecimal() else 1, _MOST_SPAN) - 1)]
        return cells


def _blocks(parent: Any) -> Iterator[Any]:
    """Yield paragraphs and tables below `parent` in order, looking into content controls and insertions."""
    stack = list(reversed(parent))
    while stack:
        element = stack.pop()
        if element.tag in (f"{_W}p", f"{_W}tbl"):
            yield element
        elif element.tag in _CONTAINERS:
            stack.extend(reversed(element))


def _children(parent: Any, tag: str) -> Iterator[Any]:
    stack = list(reversed(parent))
    while stack:
        element = stack.pop()
        if element.tag == tag:
            yield element
        elif element.tag in _CONTAINERS:
            stack.extend(reversed(element))


def _rows(table: Any) -> Iterator[Any]:
    return _children(table, f"{_W}tr")


def _paragraphs(cell: Any) -> Iterator[Any]:
    """Yield the paragraphs of a cell and of tables in it, without those of text boxes."""
    stack = list(reversed(cell))
    while stack:
        element = stack.pop()
        if element.tag == f"{_W}p":
            yield element
        elif element.tag == f"{_W}tbl" or element.tag not in _SKIPPED:
            stack.extend(reversed(element))


def _boxes(block: Any) -> list[Any]:
    """Return the outermost text boxes of a block, leaving out the older copies of them."""
    boxes, stack = [], list(reversed(block))
    while stack:
        element = stack.pop()
        if element.tag == f"{_W}txbxContent":
            boxes.append(element)
        elif element.tag not in _SKIPPED:
            stack.extend(reversed(element))
    return boxes


def _on_ground(run: Any) -> bool:
    """Tell whether a run stands on a colour, or in a table whose style may give it one."""
    for element in [run, *run.iterancestors()]:
        if element.tag == f"{_W}txbxContent":
            return True
        for place in ("rPr", "pPr", "tcPr", "tblPr"):
            shade = element.find(f"{_W}{place}/{_W}shd")
            if shade is not None and (shade.get(f"{_W}fill") or "auto").upper() not in ("AUTO", "FFFFFF"):
                return True
        if element.find(f"{_W}tblPr/{_W}tblStyle") is not None:
            return True
    return False
