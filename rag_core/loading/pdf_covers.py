"""What lies over the words of a PDF page, or cuts them off: filled rectangles drawn later, and clip paths.

Pictures do not count as covers: over recognised text lies the picture it was recognised from. Nor does anything
transparent, as a marker pen's stroke is. Only rectangles do, whose bounds are the shape itself; only the page's own
objects are looked at, since those inside forms have coordinates of their own.
"""

from __future__ import annotations

import ctypes
from bisect import bisect_right
from typing import Any

__all__ = ["Covers", "address_of"]

_TEXT, _PATH = 1, 2
_BEZIER = 1
_OPAQUE_FROM = 250
_MOST_OBJECTS = 50_000
_MOST_RECTANGLES = 2_000

_Box = tuple[float, float, float, float]


def address_of(pointer: Any) -> int:
    """Return where a pointer of ctypes points to, 0 for nowhere; a cast costs several times as much."""
    return ctypes.addressof(pointer.contents) if pointer else 0


class Covers:
    """The opaque rectangles of a page with their places in the order of drawing, and the clip of each text object."""

    def __init__(self, page: Any) -> None:
        import pypdfium2.raw as raw

        self._raw = raw
        self._order: dict[int, int] = {}
        self._items: dict[int, Any] = {}
        self._clips: dict[int, _Box | None] = {}
        self._rectangles: list[tuple[int, _Box]] = []
        for number in range(min(raw.FPDFPage_CountObjects(page.raw), _MOST_OBJECTS)):
            item = raw.FPDFPage_GetObject(page.raw, number)
            kind = raw.FPDFPageObj_GetType(item)
            if kind == _TEXT:
                address = address_of(item)
                self._order[address] = number
                self._items[address] = item
            # What is drawn before any text covers none.
            elif kind == _PATH and self._order and len(self._rectangles) < _MOST_RECTANGLES:
                box = self._rectangle(item)
                if box is not None:
                    self._rectangles.append((number, box))

    def hide(self, address: int, box: _Box) -> bool:
        """Tell whether a word with this box, of the text object at `address`, is covered or clipped away."""
        order = self._order.get(address)
        if order is None:
            return False
        clip = self._clip(address)
        if clip is not None and not _overlap(clip, box):
            return True
        # Those that come after the word, which on most pages are none: the shading of a table is drawn before its figures.
        behind = bisect_right(self._rectangles, order, key=lambda rectangle: rectangle[0])
        if behind == len(self._rectangles):
            return False
        middle = (box[1] + box[3]) / 2
        # From a tenth to nine tenths of its width: the middle lies between.
        ends = box[0] + 0.1 * (box[2] - box[0]), box[0] + 0.9 * (box[2] - box[0])
        first, last = min(ends), max(ends)
        # A plain loop: pages have thousands of words and of rectangles, and a generator costs twice as much.
        for _, (left, bottom, right, top) in self._rectangles[behind:]:
            if bottom <= middle <= top and left <= first and last <= right:
                return True
        return False

    def _rectangle(self, path: Any) -> _Box | None:
        """Return the bounds of a path that is one opaque filled rectangle, or None."""
        raw = self._raw
        count = raw.FPDFPath_CountSegments(path)
        if count not in (4, 5) or raw.FPDFPageObj_HasTransparency(path):
            return None
        mode, stroked = ctypes.c_int(), ctypes.c_int()
        if not raw.FPDFPath_GetDrawMode(path, mode, stroked) or not mode.value:
            return None
        red, green, blue, alpha = (ctypes.c_uint() for _ in range(4))
        if raw.FPDFPageObj_GetFillColor(path, red, green, blue, alpha) and alpha.value < _OPAQUE_FROM:
            return None
        points = [self._point(raw.FPDFPath_GetPathSegment(path, index)) for index in range(count)]
        if any(point is None for point in points):
            return None
        across = {round(point[0], 2) for point in points if point}
        along = {round(point[1], 2) for point in points if point}
        if len(across) != 2 or len(along) != 2:
            return None
        left, bottom, right, top = (ctypes.c_float() for _ in range(4))
        if not raw.FPDFPageObj_GetBounds(path, left, bottom, right, top):
            return None
        return left.value, bottom.value, right.value, top.value

    def _point(self, segment: Any) -> tuple[float, float] | None:
        x, y = ctypes.c_float(), ctypes.c_float()
        curved = self._raw.FPDFPathSegment_GetType(segment) == _BEZIER
        if curved or not self._raw.FPDFPathSegment_GetPoint(segment, x, y):
            return None
        return x.value, y.value

    def _clip(self, address: int) -> _Box | None:
        """Return the bounds of what the clip paths leave of the page, or None where nothing is clipped."""
        if address not in self._clips:
            self._clips[address] = self._read_clip(self._items[address])
        return self._clips[address]

    def _read_clip(self, item: Any) -> _Box | None:
        raw = self._raw
        clip = raw.FPDFPageObj_GetClipPath(item)
        count = raw.FPDFClipPath_CountPaths(clip) if clip else 0
        left, bottom, right, top = -float("inf"), -float("inf"), float("inf"), float("inf")
        for path in range(min(max(count, 0), 50)):
            segments = min(raw.FPDFClipPath_CountPathSegments(clip, path), 500)
            x, y = ctypes.c_float(), ctypes.c_float()
            points = []
            for index in range(segments):
                segment = raw.FPDFClipPath_GetPathSegment(clip, path, index)
                if raw.FPDFPathSegment_GetPoint(segment, x, y):
                    points.append((x.value, y.value))
            if points:
                left, right = max(left, min(p[0] for p in points)), min(right, max(p[0] for p in points))
                bottom, top = max(bottom, min(p[1] for p in points)), min(top, max(p[1] for p in points))
        return (left, bottom, right, top) if count > 0 else None


def _overlap(clip: _Box, box: _Box) -> bool:
    return box[2] > clip[0] and box[0] < clip[2] and box[3] > clip[1] and box[1] < clip[3]
