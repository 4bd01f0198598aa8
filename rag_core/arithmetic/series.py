"""Rows of tables as series: one line item, its figures by period, and the words under which a question may name it."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from itertools import islice, pairwise

from rag_core.arithmetic.columns import Column, read_columns
from rag_core.arithmetic.figures import Figure
from rag_core.arithmetic.grids import Grid, GridRow
from rag_core.arithmetic.units import (
    Unit,
    counts_things,
    head_unit,
    is_moneyless,
    is_unscaled,
    minor_currency,
    prose_unit,
)
from rag_core.arithmetic.wording import words
from rag_core.language.periods import Period, period_of, without_periods
from rag_core.records import Document

__all__ = ["Point", "Series", "table_series"]

_UNIT_ABOVE, _UNIT_BELOW = 6_000, 2_000
_MOST_ENTRIES = 6_000
_BLANK_TOTAL = "Total"
_LEAST_ROWS = 3
_ENDS_IN_YEAR = re.compile(r"(?<!due )(?<!from )(?<!since )(?<!until )\b(?:19|20)\d\d$")
# Characters before a table that lead up to it, and those of the passage further off.
_NEAR, _FAR = 300, 4_000
# A document's first words say whose it is.
_OPENING = 200

_Context = tuple[frozenset[str], frozenset[str]]


@dataclass(frozen=True, slots=True)
class Point:
    """One figure of a series: its period, its cell's span, the span of the row that holds it, and its place in the table."""

    period: Period | None
    figure: Figure
    start: int
    end: int
    row_start: int
    row_end: int
    row: int = 0
    column: int = 0


@dataclass(frozen=True, slots=True)
class Series:
    """A line item of one table (or sentence): `label` as printed, `points` in order of their periods.

    `own` are the words of its row, `column` those of its column beside periods, `section` those of the headings inside
    the table and of its corner, `near` those of what leads up to the table, `far` those of the rest of the passage.
    `rank` is the place of the hit, from 0; `head` and `under` are the column's and the sections' words as printed.
    `spoken` says that a sentence gives it, where figures are rounded; `paired` that it sets a figure beside the one before,
    the earlier first, whether their periods are told or not.
    """

    document: Document
    label: str
    own: tuple[str, ...]
    column: tuple[str, ...]
    section: tuple[str, ...]
    near: frozenset[str]
    far: frozenset[str]
    points: tuple[Point, ...]
    unit: Unit
    table: tuple[str, int]
    rank: int
    months: int = 0
    head: str = ""
    under: str = ""
    spoken: bool = False
    paired: bool = False


@dataclass(frozen=True, slots=True)
class _Entry:
    """A cell with all that says what it is."""

    point: Point
    label: str
    own: tuple[str, ...]
    column: Column
    sections: tuple[str, ...]
    unit: Unit

    @property
    def key(self) -> tuple[object, ...]:
        """What the entries of one series have in common; money, counts and percentages stand apart."""
        column, percent = self.column, self.column.percent or self.point.figure.percent
        return self.own, column.words, self.sections, column.months, column.currency, column.scale or 0, percent


@dataclass(frozen=True, slots=True)
class _Told:
    """What the text around a table says of its figures: the corner's unit, that of the lines before, of the passage."""

    corner: tuple[str, int | None, bool]
    before: tuple[str, int | None]
    passage: tuple[str, int | None]
    statements: tuple[str, str]


def table_series(grid: Grid) -> list[Series]:
    """Return the series of a table: figures that differ in nothing but their period belong together."""
    groups: dict[tuple[object, ...], list[_Entry]] = {}
    for entry in islice(_entries(grid), _MOST_ENTRIES):
        groups.setdefault(entry.key, []).append(entry)
    context = _context(grid)
    return [series for group in groups.values() for series in _split(grid, group, context)]


def _entries(grid: Grid) -> Iterator[_Entry]:
    flows = _flow_years(grid) or _closing_year(grid)
    before = prose_unit(grid.before)
    passage = before if before[1] is not None else _unit_further_off(grid)
    told = _Told(head_unit(grid.corner), before, passage, (grid.corner, grid.before))
    # A table has few different lines of heads, and many rows under each.
    known: dict[tuple[str, ...], tuple[Column, ...]] = {}
    for row in grid.rows:
        columns = known.get(row.heads) or known.setdefault(row.heads, read_columns(row.heads))
        sections = tuple(text for text in (without_periods(text) for text in row.sections) if words(text))
        above = [period for text in row.sections if (period := period_of([text]))]
        # Under a year, one in the label tells the row apart ("notes due 2025"); elsewhere it is the row's period.
        yearly = any(period.year for period in above) or any(column.yearly for column in columns)
        named = period_of([row.label])
        if yearly and not (named and not named.year and named.quarter and not words(without_periods(row.label))):
            named = None
        label = row.label or _BLANK_TOTAL
        # A label of nothing but words that say little, such as "IT", is a name all the same.
        own = words(without_periods(label)) if named else words(label) or (label.lower(),)
        units = [head_unit(text) for text in (row.label, *reversed(row.sections))]
        # The corner of a table names what is counted where it is no amount: "Average full-time equivalents | 2023".
        things, headings = counts_things(grid.corner), (row.label, *row.sections[-1:])
        unscaled = things or any(is_unscaled(name, told.statements) for name in headings)
        moneyless = things or is_moneyless(row.label)
        scaled = any(column.scale is not None for column in columns)
        for number, (cell, column) in enumerate(zip(row.cells, columns, strict=True)):
            figure = cell.figure
            if number == 0 or figure is None or column.derived:
                continue
            period = _period(column.period, above, named, flows.get(row.number))
            point = Point(period, figure, cell.start, cell.end, row.start, row.end, row.number, number)
            unit = _unit(row, figure, column, units, told, unscaled=unscaled, scaled=scaled, moneyless=moneyless)
            yield _Entry(point, label, own, column, sections, unit)


def _unit_further_off(grid: Grid) -> tuple[str, int | None]:
    """Return what the text further up, or else below, says in what figures are given; a passage may have lost it."""
    text = grid.document.text
    above = prose_unit(text[max(0, grid.start - _UNIT_ABOVE) : grid.start])
    return above if above[1] is not None else prose_unit(text[grid.end : grid.end + _UNIT_BELOW])


def _period(own: Period | None, above: list[Period], named: Period | None, flow: int | None) -> Period | None:
    """Return the period of a cell: what its column, its section and its row say, the first that names a year leading."""
    parts = [part for part in (own, *reversed(above), named) if part is not None]
    if flow is not None and not any(part.year for part in parts):
        parts.append(Period(flow))
    if not parts:
        return None
    leading = next((part for part in parts if part.year), parts[0])
    for part in parts:
        for name in ("quarter", "half", "month", "day"):
            if not getattr(leading, name) and getattr(part, name) and part.year in (0, leading.year):
                leading = replace(leading, **{name: getattr(part, name)})
    return leading


def _flow_years(grid: Grid) -> dict[int, int]:
    """Return by row the year of the movements between two dated balances: that of the balance that follows them."""
    dated = [(row.number, period.year) for row in grid.rows if (period := period_of([row.label])) and period.year]
    flows: dict[int, int] = {}
    for (first, opening), (last, closing) in pairwise(dated):
        if closing - opening in (0, 1) and last - first > 1:
            flows.update(dict.fromkeys(range(first + 1, last), closing))
    return flows


def _closing_year(grid: Grid) -> dict[int, int]:
    """Return by row the year of a table of one year, of which only the last row says it: "Segment result 2023"."""
    if len(grid.rows) < _LEAST_ROWS or any(column.period for row in grid.rows for column in read_columns(row.heads)):
        return {}
    dated = [(row.number, period) for row in grid.rows if (period := period_of([row.label]))]
    last = grid.rows[-1]
    if len(dated) != 1 or dated[0][0] != last.number or not _ENDS_IN_YEAR.search(last.label):
        return {}
    return {row.number: dated[0][1].year for row in grid.rows}


def _unit(
    row: GridRow,
    figure: Figure,
    column: Column,
    units: list[tuple[str, int | None, bool]],
    told: _Told,
    *,
    unscaled: bool,
    scaled: bool,
    moneyless: bool,
) -> Unit:
    """Return what a cell counts: its own sign first, then its row, its column, the table's corner, the text before.

    `units` are those of the row's label and sections; `scaled` says that some column's head names a scale, `unscaled` that
    the row stands outside of the table's, `moneyless` that it is no amount.
    """
    if figure.percent or units[0][2] or column.percent:
        return Unit("", 0, True)
    minor = minor_currency(row.label) or next((minor_currency(text) for text in row.sections[-1:]), "")
    names = (minor, figure.currency, *(unit[0] for unit in units), "" if moneyless else column.currency)
    scales = (*(unit[1] for unit in units), column.scale, told.corner[1])
    scale = next((known for known in scales if known is not None), None)
    if scale is None and scaled:
        # Where other columns say in what they count, this one counts in ones.
        return Unit(next((name for name in names if name), ""), figure.scale)
    if scale is None:
        scale = told.before[1] if told.before[1] is not None else told.passage[1]
    if unscaled or column.unscaled:
        scale = units[0][1]
    around = () if moneyless else (told.corner[0], told.before[0])
    currency = next((name for name in (*names, *around) if name), "")
    return Unit(currency, figure.scale or scale or 0)


def _context(grid: Grid) -> tuple[frozenset[str], frozenset[str]]:
    """Return the words that lead up to the table, and those of the passage around it that are not in it."""
    document, hit = grid.document, grid.hit
    name = re.sub(r"\.\w{2,5}$|[_-]", " ", document.name)
    near = " ".join([grid.before[-_NEAR:], *hit.headings, name, document.text[: min(_OPENING, grid.start)]])
    far = document.text[hit.start : max(hit.start, grid.start)][:_FAR] + " " + document.text[grid.end : hit.end][:_FAR]
    return frozenset(words(near)), frozenset(words(far))


def _split(grid: Grid, entries: list[_Entry], context: _Context) -> Iterator[Series]:
    """Yield the series of one group; where a period comes twice, the rows or columns stand for different things."""
    periods = [entry.point.period for entry in entries]
    if len(set(periods)) == len(periods):
        yield _series(grid, entries, context)
        return
    by_row: dict[int, list[_Entry]] = {}
    for entry in entries:
        by_row.setdefault(entry.point.row, []).append(entry)
    for group in by_row.values():
        inside = [entry.point.period for entry in group]
        if len(set(inside)) == len(inside):
            yield _series(grid, group, context)
            continue
        counted: dict[Period | None, int] = {}
        places: dict[int, list[_Entry]] = {}
        for entry in group:
            place = counted[entry.point.period] = counted.get(entry.point.period, 0) + 1
            places.setdefault(place, []).append(entry)
        for part in places.values():
            yield _series(grid, part, context)


def _series(grid: Grid, entries: Iterable[_Entry], context: _Context) -> Series:
    entries = sorted(entries, key=lambda entry: entry.point.period or Period(0))
    first = entries[0]
    return Series(
        document=grid.document,
        label=first.label,
        own=first.own,
        column=first.column.words,
        section=tuple(word for text in (*first.sections, first.column.shared, grid.corner) for word in words(text)),
        near=context[0],
        far=context[1],
        points=tuple(entry.point for entry in entries),
        unit=first.unit,
        table=(grid.document.id, grid.start),
        rank=grid.rank,
        months=first.column.months,
        head=first.column.name,
        under=" ".join(first.sections),
    )
