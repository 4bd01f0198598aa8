"""PDF: pages, paragraphs joined across lines, table rows with their cells in order, headings by size and bookmark.

PDFium gives the text line by line. A line that looks like a table row is cut into cells where two characters stand
further apart than a word space; the gap is measured only there, so that prose costs nothing.
"""

from __future__ import annotations

import ctypes
import re
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rag_core.reading.building import Refused, TextBuilder, clean

__all__ = ["read_pdf"]

_FIGURE = re.compile(r"[($€£¥-]{0,3}\d[\d,.]*\)?%?|[-–—]")
# Cells stand at least this many character heights apart; a word space is about a quarter of one.
_CELL_GAP = 0.9
_SHORT = 0.75


@dataclass(slots=True)
class _Line:
    text: str
    first: int
    size: float = 0.0
    row: bool = False


def read_pdf(path: Path, out: TextBuilder, most_pages: int) -> None:
    """Read a PDF. Raises Refused for an encrypted, damaged, overlong or scanned one."""
    import pypdfium2 as pdfium

    try:
        document = pdfium.PdfDocument(str(path))
        total = len(document)
    except pdfium.PdfiumError as error:
        if "assword" in str(error) or "ecurity" in str(error):
            raise Refused("EncryptedDocumentError", "is locked by a password; save a copy without one") from error
        raise Refused("CorruptDocumentError", "is damaged and does not open; export or download it again") from error
    if total == 0:
        raise Refused("EmptyDocumentError", "has no pages; choose a file with text")
    if total > most_pages:
        raise Refused(
            "DocumentTooLargeError",
            f"has {total} pages and the limit is {most_pages}; split it, or raise RAG_MAX_PAGES",
        )
    titles = _bookmarks(document)
    pictures = damaged = 0
    for number in range(1, total + 1):
        out.page(number, total)
        try:
            page = document[number - 1]
        except pdfium.PdfiumError:
            damaged += 1
            continue
        pictures += _read_page(page, out, titles)
        page.close()
    document.close()
    if damaged:
        out.warn(f"{damaged} of {total} pages are damaged and were left out.")
    if damaged == total:
        raise Refused("CorruptDocumentError", "is damaged: no page can be read; export or download it again")
    if pictures and not any(page["end"] > page["start"] + 1 for page in out.result()["pages"]):
        raise Refused(
            "ScannedDocumentError", "holds pictures of pages and no text; run text recognition (OCR) on it first"
        )


def _bookmarks(document: Any) -> dict[str, int]:
    """Return the titles of the outline, folded, with their level from 1."""
    titles: dict[str, int] = {}
    try:
        for entry in document.get_toc(max_depth=6):
            title = entry.get_title() if hasattr(entry, "get_title") else entry.title
            titles[_fold(title or "")] = min(6, getattr(entry, "level", 0) + 1)
            if len(titles) > 10_000:
                break
    except Exception:  # An outline that loops or is broken only costs the headings that it would have named.
        return titles
    return titles


def _fold(title: str) -> str:
    return " ".join(title.split()).casefold()


def _read_page(page: Any, out: TextBuilder, titles: dict[str, int]) -> int:
    """Write one page and return how many pictures stand on it where it has no text."""
    textpage = page.get_textpage()
    text = textpage.get_text_range() if textpage.count_chars() else ""
    if not text.strip():
        return sum(1 for _ in page.get_objects(filter=[3], max_depth=3))
    lines = _lines(textpage, text)
    hidden = _invisible_text(page, textpage)
    if hidden:
        visible = [
            line for line in lines if not any(_fold(line.text) in part or part in _fold(line.text) for part in hidden)
        ]
        if visible:  # A scan whose recognised text lies invisibly over its picture has nothing else to read.
            out.warn("Invisible text was left out.")
            lines = visible
    _write(lines, out, titles)
    textpage.close()
    return 0


def _invisible_text(page: Any, textpage: Any) -> list[str]:
    """Return the folded text of objects that nobody can see: render mode invisible, or under one point in size."""
    import pypdfium2.raw as raw

    found = []
    for item in page.get_objects(filter=[raw.FPDF_PAGEOBJ_TEXT], max_depth=3):
        size = ctypes.c_float()
        raw.FPDFTextObj_GetFontSize(item.raw, size)
        matrix = item.get_matrix()
        scale = max(abs(matrix.d), abs(matrix.b)) or 1.0
        if (
            raw.FPDFTextObj_GetTextRenderMode(item.raw) != raw.FPDF_TEXTRENDERMODE_INVISIBLE
            and size.value * scale >= 1.0
        ):
            continue
        length = raw.FPDFTextObj_GetText(item.raw, textpage.raw, None, 0)
        buffer = ctypes.create_string_buffer(length * 2)
        raw.FPDFTextObj_GetText(item.raw, textpage.raw, ctypes.cast(buffer, ctypes.POINTER(ctypes.c_ushort)), length)
        text = _fold(buffer.raw.decode("utf-16-le", "ignore").rstrip("\0"))
        if text:
            found.append(text)
    return found


def _lines(textpage: Any, text: str) -> list[_Line]:
    """Cut a page's text into lines with font size, rows already cut into cells."""
    import pypdfium2.raw as raw

    # Characters beyond the basic plane take two places in PDFium's counting; where there are any, no gap is measured.
    countable = len(text) == textpage.count_chars()
    lines, position = [], 0
    for piece in text.split("\n"):
        start = position
        position += len(piece) + 1
        line = piece.rstrip("\r")
        if not line.strip():
            continue
        first = start + len(line) - len(line.lstrip())
        item = _Line(line.strip(), first, raw.FPDFText_GetFontSize(textpage.raw, first) if countable else 0.0)
        if countable and _may_be_row(item.text):
            cells = _cells(textpage, line, start)
            if len(cells) > 1:
                item.text, item.row = " | ".join(cells), True
        lines.append(item)
    return lines


def _may_be_row(text: str) -> bool:
    words = text.split()
    figures = sum(1 for word in words if _FIGURE.fullmatch(word))
    return len(words) > 1 and (bool(_FIGURE.fullmatch(words[-1])) or figures >= 2 or len(words) <= 12)


def _cells(textpage: Any, line: str, start: int) -> list[str]:
    """Cut `line`, whose first character is number `start` of the page, where its gaps are wider than a word space."""
    cells, begin = [], 0
    for match in re.finditer(r"\s+", line):
        left, right = match.start() - 1, match.end()
        if left < 0 or right >= len(line):
            continue
        before, after = textpage.get_charbox(start + left, loose=True), textpage.get_charbox(start + right, loose=True)
        height = max(before[3] - before[1], 1.0)
        if after[0] - before[2] > _CELL_GAP * height or after[0] < before[0] - height:
            cells.append(line[begin : match.start()].strip())
            begin = match.end()
    cells.append(line[begin:].strip())
    return [cell for cell in cells if cell]


def _write(lines: list[_Line], out: TextBuilder, titles: dict[str, int]) -> None:
    """Write the lines of a page: rows as tables, titles as headings, the rest joined into paragraphs."""
    sizes: Counter[float] = Counter()
    for line in lines:
        sizes[round(line.size, 1)] += len(line.text)
    body = sizes.most_common(1)[0][0] if sizes else 0.0
    widest = max((len(line.text) for line in lines if not line.row), default=0)
    index = 0
    while index < len(lines):
        line = lines[index]
        level = _heading_level(line, body, titles)
        if level:
            out.heading(level, line.text)
            index += 1
        elif line.row:
            last = index
            while last + 1 < len(lines) and lines[last + 1].row:
                last += 1
            _write_table(lines[index : last + 1], out)
            index = last + 1
        else:
            index = _write_paragraph(lines, index, widest, body, titles, out)


def _heading_level(line: _Line, body: float, titles: dict[str, int]) -> int:
    if line.row or len(line.text) > 120:
        return 0
    named = titles.get(_fold(line.text), 0)
    if named:
        return named
    if body and line.size > body * 1.12 and re.search(r"[^\W\d_]{2}", line.text):
        return 1 if line.size > body * 1.6 else 2 if line.size > body * 1.25 else 3
    return 0


def _write_table(lines: list[_Line], out: TextBuilder) -> None:
    """Write neighbouring rows as one table; a first row of words and years, without amounts, is its header."""
    spans = [out.line(line.text) for line in lines]
    header = (spans[0][0], spans[0][0])
    cells = lines[0].text.split(" | ")
    if len(lines) > 1 and all(not _FIGURE.fullmatch(cell) or re.fullmatch(r"(?:19|20)\d\d", cell) for cell in cells):
        header = spans[0]
    out.mark_table(spans[0][0], spans[-1][1], header)
    out.blank()


def _write_paragraph(
    lines: list[_Line], index: int, widest: int, body: float, titles: dict[str, int], out: TextBuilder
) -> int:
    """Join lines until a short one that ends a sentence, a row or a heading; return the index after the last."""
    text = lines[index].text
    last = index
    while last + 1 < len(lines):
        following = lines[last + 1]
        if following.row or _heading_level(following, body, titles) or following.size != lines[last].size:
            break
        full = len(lines[last].text) >= _SHORT * widest
        # A short line ends its paragraph, unless the sentence plainly goes on.
        if not full and not following.text[:1].islower():
            break
        joint = "" if re.search(r"[^\W\d_]-$", text) and following.text[:1].islower() else " "
        text = (text[:-1] if not joint else text) + joint + following.text
        last += 1
    out.line(clean(text).replace("\n", " ").replace("\ufffe", ""))
    if last + 1 < len(lines):
        out.blank()
    return last + 1
