"""The words of a PDF page with their places, and which of them a reader can see: the one edge to PDFium.

Coordinates are in points with the origin at the lower left, turned so that most words read from left to right.
"""

from __future__ import annotations

import ctypes
import math
import re
from collections import Counter
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from rag_core.loading.pdf_covers import Covers, address_of
from rag_core.loading.pdf_grounds import Grounds

__all__ = ["LINE_BREAK_HYPHEN", "PageWords", "Word", "read_words"]

# PDFium gives this for a hyphen that breaks a word at the end of a line.
LINE_BREAK_HYPHEN = "\x02"
_WORD = re.compile("[^\\s\x02\ufffe]+[\x02\ufffe]?|[\x02\ufffe]")
_LIGATURES = {
    0xFB00: "ff",
    0xFB01: "fi",
    0xFB02: "fl",
    0xFB03: "ffi",
    0xFB04: "ffl",
    0xFB05: "st",
    0xFB06: "st",
    0xFFFE: "\x02",
}
_BOLD_NAME = re.compile(rb"bold|black|heavy|semibold|demi", re.IGNORECASE)
_FORCE_BOLD = 1 << 18
_BOLD_WEIGHT = 600
_INVISIBLE_MODES = (3, 7)
_SMALLEST_POINTS = 1.0
_WHITE_FROM = 250
_CLEAR_TO = 8
_IMAGE = 3  # PDFium's number for the kind of object
# Recognised text lies unseen over a picture of at least this share of the page.
_SCAN_SHARE = 0.5


class Word(NamedTuple):
    """A word: `left`, `right` and `base` (the baseline's height) in points; `size` is that of the font.

    A tuple, because a report has ten thousands of them: a frozen dataclass takes four times as long to make.
    """

    text: str
    left: float
    right: float
    base: float
    size: float
    bold: bool


@dataclass(slots=True)
class PageWords:
    """The visible words in the order of the content stream; `turned` are those that run in another direction.

    `hidden` counts words left out; `pictures` says that images stand on the page (looked up only where it has no
    visible word); `recognised` that its words come from text recognition over a picture.
    """

    words: list[Word] = field(default_factory=list)
    turned: list[Word] = field(default_factory=list)
    hidden: int = 0
    pictures: bool = False
    recognised: bool = False


@dataclass(frozen=True, slots=True)
class _Look:
    """What the words of one text object share. `quarter` is the direction in quarter turns, -1 for any other."""

    size: float
    bold: bool
    invisible: bool
    white: bool
    quarter: int


@dataclass(slots=True)
class _Found:
    word: str
    box: tuple[float, float, float, float]
    origin: tuple[float, float]
    look: _Look
    item: int = 0


def read_words(page: Any) -> PageWords:
    """Return the words of a PDFium page. Raises PdfiumError where its text cannot be loaded."""
    textpage = page.get_textpage()
    try:
        found = _find(textpage)
        result = _sorted_out(page, found)
    finally:
        textpage.close()
    if not result.words and not result.turned:
        result.pictures = any(True for _ in page.get_objects(filter=[_IMAGE], max_depth=3))
    return result


def _find(textpage: Any) -> list[_Found]:
    """Return every word, hidden or not, with the box from its first to its last character."""
    handle = textpage.raw
    text = _text(handle, textpage.count_chars())
    reader = _WordReader(handle, text)
    found: list[_Found] = []
    for match in _WORD.finditer(text):
        word = reader.read(match.start(), match.end())
        found += [word] if reader.on_one_line(word) else reader.read_lines(match.start(), match.end())
    return found


class _WordReader:
    """Asks PDFium where characters are; its buffers are made once for a page."""

    def __init__(self, handle: Any, text: str) -> None:
        import pypdfium2.raw as raw

        self._raw = raw
        self._handle = handle
        self._text = text
        self._looks: dict[int, _Look] = {}
        self._fonts: dict[tuple[bytes, int, int], bool] = {}
        self._first, self._last = raw.FS_RECTF(), raw.FS_RECTF()
        self._x, self._y = ctypes.c_double(), ctypes.c_double()
        self._matrix, self._name, self._flags = raw.FS_MATRIX(), ctypes.create_string_buffer(128), ctypes.c_int()
        self._red, self._green, self._blue, self._alpha = (ctypes.c_uint() for _ in range(4))

    def read(self, start: int, end: int) -> _Found:
        """Return the word of the characters [start, end)."""
        raw, handle, first, last = self._raw, self._handle, self._first, self._last
        final = end - 1
        if final > start and self._text[final] in "\x02\ufffe":
            final -= 1
        raw.FPDFText_GetCharOrigin(handle, start, self._x, self._y)
        raw.FPDFText_GetLooseCharBox(handle, start, first)
        raw.FPDFText_GetLooseCharBox(handle, final, last)
        item = address_of(raw.FPDFText_GetTextObject(handle, start))
        look = self._looks.get(item)
        if look is None:
            look = self._looks[item] = self._look(start)
        left, bottom, right, top = first.left, first.bottom, first.right, first.top
        if final > start:
            left, bottom = min(left, last.left), min(bottom, last.bottom)
            right, top = max(right, last.right), max(top, last.top)
        box, origin = (left, bottom, right, top), (self._x.value, self._y.value)
        return _Found(self._text[start:end].translate(_LIGATURES), box, origin, look, item)

    def on_one_line(self, word: _Found) -> bool:
        """Tell whether the word just read keeps to its line: figures one below the other come without a space."""
        first, last = self._first, self._last
        if word.look.quarter in (0, 2):
            return bool(abs(first.bottom - last.bottom) < 0.6 * (first.top - first.bottom) or len(word.word) < 2)
        return word.look.quarter < 0 or bool(abs(first.left - last.left) < 0.6 * (first.right - first.left))

    def read_lines(self, start: int, end: int) -> list[_Found]:
        """Return the parts of a word that runs over several lines."""
        parts, begin = [], start
        for index in range(start + 1, end + 1):
            if index == end or not self.on_one_line(self.read(begin, index + 1)):
                parts.append(self.read(begin, index))
                begin = index
        return parts

    def _look(self, index: int) -> _Look:
        """Return how the text object of a character looks."""
        raw, handle, matrix, flags, alpha = self._raw, self._handle, self._matrix, self._flags, self._alpha
        if not raw.FPDFText_GetMatrix(handle, index, matrix):
            matrix.a = matrix.d = 1.0
            matrix.b = matrix.c = 0.0
        size = raw.FPDFText_GetFontSize(handle, index) * math.hypot(matrix.c, matrix.d)
        self._name.value, flags.value = b"", 0
        raw.FPDFText_GetFontInfo(handle, index, self._name, 128, flags)
        font = (self._name.value, flags.value, raw.FPDFText_GetFontWeight(handle, index))
        if font not in self._fonts:
            self._fonts[font] = bool(_BOLD_NAME.search(font[0]) or font[1] & _FORCE_BOLD or font[2] >= _BOLD_WEIGHT)
        colors = self._red, self._green, self._blue
        colored = raw.FPDFText_GetFillColor(handle, index, *colors, alpha)
        mode = raw.FPDFTextObj_GetTextRenderMode(raw.FPDFText_GetTextObject(handle, index))
        filled = bool(colored) and mode in (0, 4)
        degrees = math.degrees(math.atan2(matrix.b, matrix.a)) % 360
        quarter = round(degrees / 90)
        return _Look(
            size=size,
            bold=self._fonts[font],
            invisible=mode in _INVISIBLE_MODES or (filled and alpha.value <= _CLEAR_TO) or 0 < size < _SMALLEST_POINTS,
            white=filled and min(color.value for color in colors) >= _WHITE_FROM,
            quarter=quarter % 4 if abs(degrees - 90 * quarter) < 8 else -1,
        )


def _text(handle: Any, count: int) -> str:
    """Return the page's characters, one for each that PDFium counts."""
    import pypdfium2.raw as raw

    if count <= 0:
        return ""
    buffer = (ctypes.c_ushort * (count + 1))()
    written = raw.FPDFText_GetText(handle, 0, count, buffer)
    text = bytes(buffer)[: 2 * count].decode("utf-16-le", "surrogatepass")
    if written == count + 1 and len(text) == count and not re.search("[\ud800-\udfff]", text):
        return text
    # Characters beyond the basic plane, or without a code, make the text and the count differ.
    codes = (raw.FPDFText_GetUnicode(handle, index) for index in range(count))
    return "".join(chr(code) if 0 < code < 0x110000 and not 0xD800 <= code < 0xE000 else " " for code in codes)


def _sorted_out(page: Any, found: list[_Found]) -> PageWords:
    """Leave out what cannot be seen, and turn the page so that most words read from left to right."""
    result = PageWords()
    bounds = page.get_bbox()
    inside = [item for item in found if _overlaps(item.box, bounds)]
    seen = [item for item in inside if not item.look.invisible]
    if not seen and inside and _is_scan(page, bounds):
        seen, result.recognised = inside, True
    elif any(item.look.white for item in seen):
        grounds = Grounds(page)
        seen = [item for item in seen if not item.look.white or grounds.hold(item.box)]
    if seen and not result.recognised:
        covers = Covers(page)
        seen = [item for item in seen if not covers.hide(item.item, item.box)]
    result.hidden = len(found) - len(seen)
    directions = Counter(item.look.quarter for item in seen if item.look.quarter >= 0)
    quarter = directions.most_common(1)[0][0] if directions else 0
    for item in seen:
        word = _turned(item, quarter)
        (result.words if item.look.quarter == quarter else result.turned).append(word)
    return result


def _turned(item: _Found, quarter: int) -> Word:
    """Return a found word with its place turned back by `quarter` quarter turns."""
    left, bottom, right, top = item.box
    x, y = item.origin
    if quarter == 0:
        start, end, base = left, right, y
    elif quarter == 1:
        start, end, base = bottom, top, -x
    elif quarter == 2:
        start, end, base = -right, -left, -y
    else:
        start, end, base = -top, -bottom, x
    return Word(item.word, start, end, base, item.look.size or 10.0, item.look.bold)


def _overlaps(box: tuple[float, ...], bounds: tuple[float, ...]) -> bool:
    return box[2] > bounds[0] and box[0] < bounds[2] and box[3] > bounds[1] and box[1] < bounds[3]


def _is_scan(page: Any, bounds: tuple[float, ...]) -> bool:
    area = max(1.0, (bounds[2] - bounds[0]) * (bounds[3] - bounds[1]))
    for image in page.get_objects(filter=[_IMAGE], max_depth=3):
        left, bottom, right, top = image.get_bounds()
        if (right - left) * (top - bottom) >= _SCAN_SHARE * area:
            return True
    return False
