"""From words with places to rows in reading order: runs of words, columns of a page, rows of cells.

Columns of prose are read one after the other; a table's columns stay side by side in rows. The two are told apart by
what stands in them: several words that fill the column against figures and short labels.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median

from rag_core.loading.grids import is_figure
from rag_core.loading.pdf_words import Word

__all__ = ["Region", "Row", "Run", "lay_out"]

# In ems: words of a line stand about a quarter apart, in justified lines up to one; cells of a table further.
_CELL_GAP = 1.0
_OVERLAP = 0.6
_SAME_LINE = 0.35
_RAISED = 0.6
# A gutter between columns of prose, in points, and how many of all runs may cross it (titles over both columns).
_GUTTER_POINTS = 7.0
_BIN_POINTS = 3.0
_MOST_CROSSING = 0.4
_FEWEST_LINES = 4
_MOST_COLUMNS_DEEP = 3


@dataclass(slots=True)
class Run:
    """Words on one line without a wide gap: `words` counts them."""

    text: str
    left: float
    right: float
    base: float
    size: float
    bold: bool
    words: int = 1


@dataclass(slots=True)
class Row:
    """The runs of one line, left to right."""

    runs: list[Run]

    @property
    def base(self) -> float:
        """Height of the baseline in points."""
        return self.runs[0].base

    @property
    def size(self) -> float:
        """Size of the largest letters in points."""
        return max(run.size for run in self.runs)

    @property
    def left(self) -> float:
        """Left edge in points."""
        return self.runs[0].left

    @property
    def right(self) -> float:
        """Right edge in points."""
        return max(run.right for run in self.runs)

    @property
    def bold(self) -> bool:
        """Whether every run is bold."""
        return all(run.bold for run in self.runs)

    @property
    def text(self) -> str:
        """The words on one line."""
        return " ".join(run.text for run in self.runs)


@dataclass(slots=True)
class Region:
    """Rows that are read from top to bottom: a column, or what spans all columns."""

    rows: list[Row]


def lay_out(words: Sequence[Word]) -> list[Region]:
    """Return the page's rows in reading order."""
    regions = []
    for runs in _columns(_runs(words), 0):
        rows = _rows(runs)
        if rows:
            regions.append(Region(rows))
    return regions


def _runs(words: Sequence[Word]) -> list[Run]:
    """Join words that follow each other in the content stream and on a line."""
    runs: list[Run] = []
    for word in words:
        run = runs[-1] if runs else None
        if run is None or not _continues(run, word):
            runs.append(Run(word.text, word.left, word.right, word.base, word.size, word.bold))
            continue
        size = max(run.size, word.size)
        # PDFium leaves no space between the parts of a word that is drawn in pieces.
        joint = " " if word.left - run.right > 0.08 * size else ""
        run.text += joint + word.text
        run.right = max(run.right, word.right)
        run.words += 1
        run.bold = run.bold and word.bold
        if word.size > run.size * 1.05:
            run.base, run.size = word.base, word.size
    return runs


def _continues(run: Run, word: Word) -> bool:
    size = max(run.size, word.size)
    gap = word.left - run.right
    if not -_OVERLAP * size < gap < _CELL_GAP * size:
        return False
    # Marks of footnotes are smaller and raised.
    raised = abs(run.size - word.size) > 0.15 * size and gap < 0.4 * size
    return abs(run.base - word.base) < (_RAISED if raised else _SAME_LINE) * size


def _columns(runs: list[Run], depth: int) -> list[list[Run]]:
    """Cut a page at gutters between columns of prose; return groups of runs in reading order."""
    gutter = _gutter(runs) if depth < _MOST_COLUMNS_DEEP and len(runs) >= 2 * _FEWEST_LINES else None
    if gutter is None:
        return [runs]
    crossing = sorted((run for run in runs if run.left < gutter < run.right), key=lambda run: -run.base)
    heights = [-run.base for run in crossing]
    bands: list[tuple[list[Run], list[Run]]] = [([], []) for _ in range(len(crossing) + 1)]
    for run in runs:
        if not run.left < gutter < run.right:
            bands[bisect_left(heights, -run.base)][run.left >= gutter].append(run)
    groups: list[list[Run]] = []
    spanning: list[Run] = []
    for index, (left, right) in enumerate(bands):
        if left or right:
            groups += [spanning] if spanning else []
            spanning = []
            for side in (left, right):
                groups += _columns(side, depth + 1) if side else []
        if index < len(crossing):
            spanning.append(crossing[index])
    return groups + ([spanning] if spanning else [])


def _gutter(runs: list[Run]) -> float | None:
    """Return where a gutter between two columns of prose stands, or None."""
    left, right = min(run.left for run in runs), max(run.right for run in runs)
    count = int((right - left) / _BIN_POINTS) + 1
    if count < 12 or count > 4_000:
        return None
    steps = [0] * (count + 1)
    for run in runs:
        steps[int((run.left - left) / _BIN_POINTS)] += 1
        steps[int((run.right - left) / _BIN_POINTS) + 1 if run.right < right else count] -= 1
    cover, total = [], 0
    for step in steps[:count]:
        total += step
        cover.append(total)
    inner = range(int(count * 0.15), int(count * 0.85))
    lowest = sorted({cover[place] for place in inner})[:3]
    for level in lowest:
        if level > _MOST_CROSSING * len(runs):
            break
        for first, last in _valleys(cover, level, inner):
            if (last - first + 1) * _BIN_POINTS >= _GUTTER_POINTS:
                gutter = left + (first + last + 1) / 2 * _BIN_POINTS
                if _separates_prose(runs, gutter):
                    return gutter
    return None


def _valleys(cover: list[int], level: int, inner: range) -> list[tuple[int, int]]:
    """Return the stretches of bins covered by at most `level` runs, widest first."""
    found, start = [], None
    for place in [*inner, -1]:
        low = place >= 0 and cover[place] <= level
        if low and start is None:
            start = place
        elif not low and start is not None:
            found.append((start, (place if place >= 0 else inner[-1] + 1) - 1))
            start = None
    return sorted(found, key=lambda valley: valley[0] - valley[1])


def _separates_prose(runs: list[Run], gutter: float) -> bool:
    left = [run for run in runs if run.right <= gutter]
    right = [run for run in runs if run.left >= gutter]
    if min(len(left), len(right)) < _FEWEST_LINES:
        return False
    # Side by side, not one above the other.
    low, high = (
        max(min(run.base for run in side) for side in (left, right)),
        min(max(run.base for run in side) for side in (left, right)),
    )
    beside = [run for run in left if low - 1 <= run.base <= high + 1]
    if len(beside) < _FEWEST_LINES:
        return False
    if _is_prose(left) and _is_prose(right):
        return True
    return not _has_figures(left) and not _has_figures(right) and _stands_apart(left, right)


def _is_prose(side: list[Run]) -> bool:
    """Tell whether most runs are lines of several words that fill most of their column."""
    width = max(run.right for run in side) - min(run.left for run in side)
    full = sum(run.right - run.left >= 0.6 * width for run in side)
    return median(run.words for run in side) >= 4 and full >= 0.5 * len(side) and not _has_figures(side)


def _has_figures(side: list[Run]) -> bool:
    return sum(is_figure(run.text) for run in side) > 0.15 * len(side)


def _stands_apart(left: list[Run], right: list[Run]) -> bool:
    """Tell whether the lines of the shorter side mostly have none of the other side beside them at the same height."""
    less, more = sorted((left, right), key=len)
    heights = sorted(run.base for run in more)
    apart = 0
    for run in less:
        place = bisect_left(heights, run.base)
        near = min((abs(run.base - height) for height in heights[max(0, place - 1) : place + 1]), default=99.0)
        apart += near > 0.15 * run.size
    return apart > 0.6 * len(less)


def _rows(runs: list[Run]) -> list[Row]:
    """Group runs on one baseline, top to bottom, left to right."""
    rows: list[Row] = []
    for run in sorted(runs, key=lambda run: (-run.base, run.left)):
        row = rows[-1] if rows else None
        if row is not None and abs(row.base - run.base) < _SAME_LINE * max(row.runs[0].size, run.size):
            row.runs.append(run)
        else:
            rows.append(Row([run]))
    for row in rows:
        row.runs.sort(key=lambda run: run.left)
    return rows
