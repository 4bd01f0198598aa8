"""What white letters of a PDF page can be seen on."""

from __future__ import annotations

import ctypes
from typing import Any

__all__ = ["Grounds"]

# PDFium's numbers for kinds of objects.
_PATH, _IMAGE, _SHADING, _FORM = 2, 3, 4, 5
_WHITE_FROM = 250
_CLEAR_TO = 8
# This many objects of a page are looked at.
_MOST_OBJECTS = 20_000
_SQUARE_POINTS = 20.0
_WIDE_SQUARES, _MOST_WIDE = 10, 500


class Grounds:
    """The boxes of all that white letters can be seen on: pictures, shadings, forms, and filled paths.

    They are kept by the squares of the page that they touch, since a page may have thousands of either.
    """

    def __init__(self, page: Any) -> None:
        self._squares: dict[tuple[int, int], list[tuple[float, ...]]] = {}
        self._wide: list[tuple[float, ...]] = []
        for count, item in enumerate(page.get_objects(max_depth=1)):
            if count > _MOST_OBJECTS:
                break
            if item.type in (_IMAGE, _SHADING, _FORM) or (item.type == _PATH and _is_dark(item)):
                self._add(item.get_bounds())

    def _add(self, box: tuple[float, ...]) -> None:
        if max(box[2] - box[0], box[3] - box[1]) > _WIDE_SQUARES * _SQUARE_POINTS:
            if len(self._wide) < _MOST_WIDE:
                self._wide.append(box)
            return
        columns, rows = (range(_square(box[side]), _square(box[side + 2]) + 1) for side in (0, 1))
        for place in ((column, row) for column in columns for row in rows):
            self._squares.setdefault(place, []).append(box)

    def hold(self, box: tuple[float, ...]) -> bool:
        """Tell whether the middle of `box` lies on one of them."""
        x, y = (box[0] + box[2]) / 2, (box[1] + box[3]) / 2
        near = self._squares.get((_square(x), _square(y)), ())
        return any(
            left <= x <= right and bottom <= y <= top for left, bottom, right, top in (*self._wide, *near[:_MOST_WIDE])
        )


def _square(points: float) -> int:
    return int(points // _SQUARE_POINTS)


def _is_dark(path: Any) -> bool:
    """Tell whether a path is filled with something other than white."""
    import pypdfium2.raw as raw

    mode, stroked = ctypes.c_int(), ctypes.c_int()
    if not raw.FPDFPath_GetDrawMode(path.raw, mode, stroked) or not mode.value:
        return False
    red, green, blue, alpha = (ctypes.c_uint() for _ in range(4))
    if not raw.FPDFPageObj_GetFillColor(path.raw, red, green, blue, alpha):
        return True
    return alpha.value > _CLEAR_TO and min(red.value, green.value, blue.value) < _WHITE_FROM
