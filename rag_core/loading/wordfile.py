"""Word documents: headings by style, paragraphs, lists, whole table rows, text boxes and footnotes, in reading order.

Deleted and hidden text is left out. Element names are those of WordprocessingML (ECMA-376 part 1, chapter 17).
"""

from __future__ import annotations

import io
from collections.abc import Iterator
from typing import Any

from rag_core.errors import CorruptDocumentError
from rag_core.loading.archives import check_archive
from rag_core.loading.drafting import Draft
from rag_core.loading.grids import has_header, tidy_columns
from rag_core.loading.wordstyles import PLAIN, Style, W, is_on, outline_level, read_styles

__all__ = ["read_word"]

# Deleted text, field codes, and the older copy of a drawing that newer programs do not show.
_SKIPPED = frozenset(f"{W}{name}" for name in ("del", "moveFrom", "delText", "instrText", "rPr", "pPr", "tbl")) | {
    "{http://schemas.openxmlformats.org/markup-compatibility/2006}Fallback"
}
_CONTAINERS = frozenset(f"{W}{name}" for name in ("sdt", "sdtContent", "customXml", "ins", "moveTo", "smartTag"))
_BREAKS = {f"{W}br": "\n", f"{W}cr": "\n", f"{W}tab": "\t", f"{W}noBreakHyphen": "-"}
# Half-points: letters of one point or less cannot be read.
_SMALLEST_HALF_POINTS = 2
_MOST_SPAN = 200


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
        styles = read_styles(document)
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


def _footnotes(document: Any) -> list[Any]:
    """Return the footnotes and endnotes with words of the author's; separators have a type of their own."""
    from docx.opc.constants import RELATIONSHIP_TYPE
    from docx.oxml import parse_xml

    notes = []
    for kind, tag in ((RELATIONSHIP_TYPE.FOOTNOTES, "footnote"), (RELATIONSHIP_TYPE.ENDNOTES, "endnote")):
        for relation in document.part.rels.values():
            if relation.reltype == kind and not relation.is_external:
                root = parse_xml(relation.target_part.blob)
                notes += [note for note in root.iter(f"{W}{tag}") if note.get(f"{W}type") is None]
    return notes


class _Writer:
    """Writes blocks in order; nothing in it recurses deeper than tables in text boxes in tables, to a fixed depth."""

    def __init__(self, draft: Draft, styles: dict[str, Style]) -> None:
        self._draft = draft
        self._styles = styles
        self._in_list = False

    def write(self, parent: Any, depth: int = 0) -> None:
        """Write the paragraphs and tables below `parent`."""
        for block in _blocks(parent):
            if block.tag == f"{W}tbl":
                self._in_list = False
                self._write_table(block)
            else:
                self._write_paragraph(block)
            if depth < 4:
                for box in _boxes(block):
                    self.write(box, depth + 1)

    def _write_paragraph(self, paragraph: Any) -> None:
        properties = paragraph.find(f"{W}pPr")
        style = self._style(properties)
        text = self._text(paragraph)
        if not text.strip():
            return
        level = style.level or outline_level(properties)
        numbered = properties is not None and properties.find(f"{W}numPr") is not None
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

    def _style(self, properties: Any) -> Style:
        style = properties.find(f"{W}pStyle") if properties is not None else None
        return self._styles.get(style.get(f"{W}val"), PLAIN) if style is not None else PLAIN

    def _text(self, paragraph: Any) -> str:
        """Return the visible text of a paragraph, without that of its text boxes."""
        if self._style(paragraph.find(f"{W}pPr")).hidden:
            self._draft.warn("Left out hidden text")
            return ""
        parts: list[str] = []
        stack = [paragraph]
        while stack:
            element = stack.pop()
            tag = element.tag
            if tag in _SKIPPED or tag == f"{W}txbxContent" or not isinstance(tag, str):
                continue
            if tag == f"{W}t":
                parts.append(element.text or "")
            elif tag in _BREAKS:
                parts.append(_BREAKS[tag])
            elif tag == f"{W}r" and self._hides(element):
                self._draft.warn("Left out hidden text")
            else:
                stack.extend(reversed(element))
        return "".join(parts)

    def _hides(self, run: Any) -> bool:
        """Tell whether a run cannot be seen: marked hidden, too small to read, or white on white."""
        properties = run.find(f"{W}rPr")
        if properties is None or not "".join(text.text or "" for text in run.iter(f"{W}t")).strip():
            return False
        vanish = properties.find(f"{W}vanish")
        style = properties.find(f"{W}rStyle")
        if vanish is not None:
            return is_on(vanish)
        if style is not None and self._styles.get(style.get(f"{W}val"), PLAIN).hidden:
            return True
        size = properties.find(f"{W}sz")
        half_points = (size.get(f"{W}val") or "") if size is not None else ""
        if half_points.isdecimal() and int(half_points) <= _SMALLEST_HALF_POINTS:
            return True
        color = properties.find(f"{W}color")
        return color is not None and (color.get(f"{W}val") or "").upper() == "FFFFFF" and not _on_ground(run)

    def _write_table(self, table: Any) -> None:
        rows: list[list[str]] = []
        named = False
        for row in _rows(table):
            settings = row.find(f"{W}trPr")
            if settings is not None and is_on(settings.find(f"{W}hidden")):
                self._draft.warn("Left out hidden text")
                continue
            named = named or (not rows and settings is not None and is_on(settings.find(f"{W}tblHeader")))
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
        for cell in _children(row, f"{W}tc"):
            properties = cell.find(f"{W}tcPr")
            merge = properties.find(f"{W}vMerge") if properties is not None else None
            span = properties.find(f"{W}gridSpan") if properties is not None else None
            count = (span.get(f"{W}val") or "1") if span is not None else "1"
            if merge is not None and merge.get(f"{W}val", "continue") == "continue" and len(cells) < len(above):
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
        if element.tag in (f"{W}p", f"{W}tbl"):
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
    return _children(table, f"{W}tr")


def _paragraphs(cell: Any) -> Iterator[Any]:
    """Yield the paragraphs of a cell and of tables in it, without those of text boxes."""
    stack = list(reversed(cell))
    while stack:
        element = stack.pop()
        if element.tag == f"{W}p":
            yield element
        elif element.tag == f"{W}tbl" or element.tag not in _SKIPPED:
            stack.extend(reversed(element))


def _boxes(block: Any) -> list[Any]:
    """Return the outermost text boxes of a block, leaving out the older copies of them."""
    boxes, stack = [], list(reversed(block))
    while stack:
        element = stack.pop()
        if element.tag == f"{W}txbxContent":
            boxes.append(element)
        elif element.tag not in _SKIPPED:
            stack.extend(reversed(element))
    return boxes


def _on_ground(run: Any) -> bool:
    """Tell whether a run stands on a colour, or in a table whose style may give it one."""
    for element in [run, *run.iterancestors()]:
        if element.tag == f"{W}txbxContent":
            return True
        for place in ("rPr", "pPr", "tcPr", "tblPr"):
            shade = element.find(f"{W}{place}/{W}shd")
            if shade is not None and (shade.get(f"{W}fill") or "auto").upper() not in ("AUTO", "FFFFFF"):
                return True
        if element.find(f"{W}tblPr/{W}tblStyle") is not None:
            return True
    return False
