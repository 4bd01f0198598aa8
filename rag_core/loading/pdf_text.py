"""Rows of a PDF to paragraphs, headings and tables: lines joined, broken words made whole, titles told by their look."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from statistics import median

from rag_core.loading.drafting import Draft
from rag_core.loading.grids import has_header
from rag_core.loading.outlining import capitals_heading, numbered_level
from rag_core.loading.pdf_layout import Region, Row
from rag_core.loading.pdf_tables import find_tables, is_tabular, table_cells
from rag_core.loading.pdf_words import LINE_BREAK_HYPHEN

__all__ = ["Look", "title_key", "write_region"]

_HYPHENS = (LINE_BREAK_HYPHEN, "-", "\u00ad", "\u2010")
_BULLET = re.compile(r"(?:[•▪◦●■➢➤✓\uf0b7\uf0a7–—*-]|\(?(?:[a-z]|[ivx]{1,5}|\d{1,2})[.)])\s+\S|[•▪◦●■\uf0b7\uf0a7]")
_LETTERS = re.compile(r"[^\W\d_]")
_FIGURES = re.compile(r"\d+")
_ENDS = (".", ":", ";", "!", "?", ".”", '."', ".)")
# First parts of compounds that keep their hyphen where a line ends after it.
_COMPOUND = frozenset(
    "after all anti asset back best bid buy by capital cash co cost counter cross data debt decision div early equity "
    "ex executive fair first fixed forward four full fully half hand hedge high higher in income inflation interest "
    "intra inter investment large level long low lower macro mark market medium micro mid mid-term multi near net new "
    "non off on one over own par performance period post pre price profit pro public quarter rate real risk sale second "
    "self sell semi share short single six small so stock sub tax third three time two under up value variable well "
    "whole wide work write year yield zero".split()
)
# Letters this much larger than the text's make a title.
_LARGER = 1.12
_MOST_TITLE_CHARACTERS = 160
_MOST_TITLE_LINES = 3
# Beyond this, what ends with a full stop is a sentence in large letters.
_MOST_SENTENCE = 60
_GAP = 1.35
_SHORT_BY = 0.25


@dataclass(slots=True)
class Look:
    """How the document looks throughout: size of its text, whether that is bold, title sizes, running lines, outline.

    `title_sizes` are from the largest down; `running` are lines, figures left out, that stand on many pages;
    `outline` maps folded bookmark titles to their levels.
    """

    size: float = 10.0
    bold: bool = False
    title_sizes: list[float] = field(default_factory=list)
    running: frozenset[str] = frozenset()
    outline: dict[str, int] = field(default_factory=dict)
    words: Counter[str] = field(default_factory=Counter)

    @classmethod
    def of(cls, pages: Sequence[Sequence[Region]], outline: dict[str, int]) -> Look:
        """Measure a whole document."""
        sizes: Counter[tuple[float, bool]] = Counter()
        edges: Counter[str] = Counter()
        words: Counter[str] = Counter()
        for regions in pages:
            rows = [row for region in regions for row in region.rows]
            for row in rows:
                sizes[_rounded(row.size), row.bold] += len(row.text)
                words.update(word.strip(".,;:()").lower() for word in row.text.split())
            edges.update({_folded(row.text) for row in _edge_rows(rows)})
        if not sizes:
            return cls(outline=outline)
        (size, bold), _ = sizes.most_common(1)[0]
        larger = sorted({found for found, _ in sizes if found >= _LARGER * size}, reverse=True)
        often = max(3, len(pages) // 4)
        running = frozenset(text for text, count in edges.items() if count >= often and text)
        return cls(size, bold, larger[:5], running, outline, words)

    def level(self, row: Row, *, alone: bool) -> int:
        """Return the level of a row as a heading, 0 for none; `alone` says that a gap or nothing stands above it."""
        text = row.text.strip()
        if not 2 <= len(text) <= _MOST_TITLE_CHARACTERS or is_tabular(row) or not _LETTERS.search(text):
            return 0
        if _folded(text) in self.running:
            return 0
        if self.outline and alone and (level := self.outline.get(title_key(text), 0)):
            return level
        if row.size >= _LARGER * self.size and len(_LETTERS.findall(text)) >= 2:
            return next((rank for rank, size in enumerate(self.title_sizes, 1) if row.size >= size - 0.3), 5)
        if not alone or text.endswith((".", ",", ";")) or (_BULLET.match(text) and not numbered_level(text)):
            return 0
        lowest = min(len(self.title_sizes) + 1, 6)
        if row.bold and not self.bold and len(text) <= 100:
            return lowest
        return lowest if row.bold == self.bold and capitals_heading(text) else 0


def write_region(region: Region, look: Look, draft: Draft) -> None:
    """Write a region's rows to `draft` as headings, tables and paragraphs."""
    rows = region.rows
    leading = _leading(rows)
    right = max(row.right for row in rows)
    left = min(row.left for row in rows)
    tables = dict(find_tables(rows))
    index = 0
    while index < len(rows):
        if index in tables:
            cells = table_cells(rows[index : tables[index]])
            draft.table([[_plain(cell) for cell in row] for row in cells], header=has_header(cells))
            index = tables[index]
            continue
        alone = index == 0 or index in tables.values() or _gap(rows[index - 1], rows[index]) > 1.2 * leading
        if level := look.level(rows[index], alone=alone):
            count = _title_lines(rows, index, look, level, leading)
            title = _joined([row.text for row in rows[index : index + count]], look)
            if len(title) > _MOST_SENTENCE and title.endswith("."):
                draft.paragraph(title)
            else:
                draft.heading(level, title)
            index += count
            continue
        index = _write_paragraph(rows, index, tables, look, draft, (left, right, leading))


def _write_paragraph(
    rows: Sequence[Row],
    index: int,
    tables: dict[int, int],
    look: Look,
    draft: Draft,
    shape: tuple[float, float, float],
) -> int:
    """Write the paragraph that starts at `index`; return the index of the row after it."""
    end = index + 1
    if is_tabular(rows[index]):
        draft.paragraph(" | ".join(_plain(run.text) for run in rows[index].runs))
        return end
    while end < len(rows) and end not in tables and not is_tabular(rows[end]):
        if _breaks(rows[end - 1], rows[end], look, shape):
            break
        end += 1
    lines = [row.text for row in rows[index:end]]
    if _BULLET.match(lines[0].lstrip()) and index and _BULLET.match(rows[index - 1].text.lstrip()):
        draft.line(_joined(lines, look))
    else:
        draft.gap()
        draft.line(_joined(lines, look))
    if end >= len(rows) or not _BULLET.match(rows[end].text.lstrip()):
        draft.gap()
    return end


def _breaks(above: Row, below: Row, look: Look, shape: tuple[float, float, float]) -> bool:
    """Tell whether a new paragraph starts at `below`."""
    left, right, leading = shape
    gap = _gap(above, below)
    text, ended = below.text.lstrip(), above.text.rstrip()
    if gap > _GAP * leading or abs(above.size - below.size) > 0.1 * above.size or above.bold != below.bold:
        # One word in bold letters on a line of its own does not end a sentence.
        return gap > _GAP * leading or above.bold == below.bold or not text[:1].islower()
    if look.level(below, alone=gap > 1.2 * leading) or _BULLET.match(text):
        return True
    if _folded(below.text) in look.running or _folded(above.text) in look.running:
        return True
    short = above.right < right - _SHORT_BY * (right - left)
    if short and (ended.endswith(_ENDS) or not text[:1].islower()):
        return True
    indented = below.left > left + below.size and above.left <= left + 0.5 * above.size
    return indented and ended.endswith(_ENDS)


def _title_lines(rows: Sequence[Row], index: int, look: Look, level: int, leading: float) -> int:
    """Return how many rows from `index` make one title: of one look, close together."""
    count = 1
    while index + count < len(rows) and count < _MOST_TITLE_LINES:
        above, below = rows[index + count - 1], rows[index + count]
        alike = abs(above.size - below.size) < 0.3 and above.bold == below.bold and not is_tabular(below)
        close = _gap(above, below) < max(1.2 * leading, 1.5 * below.size)
        if not (alike and close and look.level(below, alone=True) == level) or numbered_level(below.text):
            break
        if above.text.rstrip().endswith(_ENDS) or (look.outline and title_key(above.text) in look.outline):
            break
        count += 1
    return count


def _joined(lines: Sequence[str], look: Look) -> str:
    """Join the lines of a paragraph; a word broken at a line's end becomes whole."""
    text = ""
    for line in lines:
        line = line.strip()
        if text.endswith(_HYPHENS) and line[:1].islower():
            text = _mended(text, line, look)
        else:
            text += (" " if text else "") + line
    return _plain(text)


def _mended(text: str, line: str, look: Look) -> str:
    """Join a broken word: with its hyphen where the document has it so elsewhere, or its first part is one that does."""
    head = text[:-1].rsplit(maxsplit=1)[-1] if text[:-1].split() else ""
    tail = line.split(maxsplit=1)[0].strip(".,;:()")
    first = head.lstrip("(\u201c\"'").lower()
    whole, hyphened = look.words[first + tail.lower()], look.words[f"{first}-{tail.lower()}"]
    keeps = hyphened > whole or (hyphened == whole and (first.split("-")[-1] in _COMPOUND or not first.isalpha()))
    return text[:-1] + ("-" if keeps else "") + line


def _plain(text: str) -> str:
    return text.replace(LINE_BREAK_HYPHEN, "-").replace("\u00ad", "-")


def _leading(rows: Sequence[Row]) -> float:
    """Return the usual distance of baselines within a paragraph, in points."""
    gaps = [
        _gap(above, below)
        for above, below in pairwise(rows)
        if abs(above.size - below.size) < 0.5 and 0 < _gap(above, below) < 2.2 * above.size
    ]
    if not gaps:
        return 1.3 * median(row.size for row in rows)
    # Gaps between paragraphs are larger and fewer; the lower quartile is not drawn up by them.
    return sorted(gaps)[len(gaps) // 4]


def _gap(above: Row, below: Row) -> float:
    return above.base - below.base


def _edge_rows(rows: Sequence[Row]) -> list[Row]:
    ordered = sorted(rows, key=lambda row: row.base)
    return [*ordered[:2], *ordered[-2:]]


def _rounded(size: float) -> float:
    return round(size * 2) / 2


def _folded(text: str) -> str:
    return " ".join(_FIGURES.sub("#", text).split()).casefold()


def title_key(text: str) -> str:
    """Return a title as bookmarks and lines are compared: letters and figures only."""
    return "".join(character for character in text.casefold() if character.isalnum())
