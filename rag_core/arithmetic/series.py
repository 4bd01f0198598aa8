"""Rows of tables as series: one line item, its figures by period, and the words under which a question may name it."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise

from rag_core.arithmetic.figures import Figure
from rag_core.arithmetic.grids import Grid, GridRow
from rag_core.arithmetic.periods import Period, duration, find_periods, period_of, quarter_head, without_periods
from rag_core.arithmetic.units import Unit, head_unit, is_unscaled, minor_currency, prose_unit
from rag_core.arithmetic.wording import words
from rag_core.records import Document

__all__ = ["Point", "Series", "table_series"]

# A column of these is compared with others already, or points elsewhere: its cells are no operands.
_DERIVED = re.compile(
    r"\b(?:change|changes|variance|var|increase|decrease|growth|movement|difference|better|worse|notes?|refs?|page)\b"
    r"|[+-]\s?/\s?[+-]|\b(?:vs|versus)\b|^\s*[%Δ]\s*$|\bchg\b",
    re.IGNORECASE,
)
_REFERENCE = re.compile(r"\b(?:see |refer to )?notes? \d+\b", re.IGNORECASE)
# What heads say beside their period without telling two columns apart.
_FILLER = re.compile(
    r"\b(?:restated|reclassified|audited|unaudited|as (?:at|of|reported|adjusted|restated)|see|note|notes|ended|ending|end|year|"
    r"years|fiscal|for|the|at|as|of|in|and|months|month|quarter|quarters|three|six|nine|twelve|period|periods|financial|on|"
    r"million|millions|thousand|thousands|billion|billions|dollars|euros|usd|eur|gbp|rmb|chf|inr|m|mn|bn|us|consolidated)\b"
    r"|\b5[23][\s-]weeks?\b|\b\d{1,2}[\s-]months?\b|\(\d{1,2}\)|[$€£¥₹'’‘*(),.:]",
    re.IGNORECASE,
)
_BLANK_TOTAL = "Total"
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
    `spoken` says that a sentence gives it, where figures are rounded.
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


@dataclass(frozen=True, slots=True)
class _Entry:
    """A cell with all that says what it is."""

    point: Point
    label: str
    own: tuple[str, ...]
    column: str
    sections: tuple[str, ...]
    months: int
    unit: Unit
    sign: str
    shared: str


def table_series(grid: Grid) -> list[Series]:
    """Return the series of a table: figures that differ in nothing but their period belong together."""
    entries = list(_entries(grid))
    groups: dict[tuple[object, ...], list[_Entry]] = {}
    for entry in entries:
        key = (entry.own, words(entry.column), entry.sections, entry.months, entry.point.figure.percent, entry.sign)
        groups.setdefault(key, []).append(entry)
    context = _context(grid)
    return [series for group in groups.values() for series in _split(grid, group, context)]


def _entries(grid: Grid) -> Iterator[_Entry]:
    flows = _flow_years(grid)
    for row in grid.rows:
        sections = tuple(without_periods(text) for text in row.sections)
        sections = tuple(text for text in sections if words(text))
        above = [period for text in row.sections if (period := period_of([text]))]
        # Under a year, one in the label tells the row apart ("notes due 2025"); elsewhere it is the row's period.
        yearly = any(period.year for period in above) or any(_has_year(head) for head in row.heads)
        named = None if yearly else period_of([row.label])
        label = row.label or _BLANK_TOTAL
        own = words(without_periods(label)) if named else words(label)
        apart = _told_by_period(row.heads)
        for number, (cell, head) in enumerate(zip(row.cells, row.heads, strict=True)):
            figure = cell.figure
            if number == 0 or figure is None or _is_derived(head):
                continue
            period = _period(head, above, named, flows.get(row.number))
            point = Point(period, figure, cell.start, cell.end, row.start, row.end, row.number, number)
            column = "" if quarter_head(head) else _FILLER.sub(" ", without_periods(head))
            # Where the years tell the columns apart, what else stands above them is said of all.
            shared, column = (column, "") if apart and _has_year(head) else ("", column)
            unit = _unit(grid, row, figure, head)
            yield _Entry(
                point, label, own, " ".join(column.split()), sections, duration(head), unit, _sign(head, figure), shared
            )


def _told_by_period(heads: Sequence[str]) -> bool:
    """Tell whether the columns with a year all have different periods: then nothing else tells them apart."""
    periods = [period_of([head]) for head in heads if _has_year(head) and not _is_compared(head)]
    return len(periods) > 1 and None not in periods and len(set(periods)) == len(periods)


def _has_year(text: str) -> bool:
    return any(period.year for period, _, _ in find_periods(text))


def _sign(head: str, figure: Figure) -> str:
    """Return what tells a column of money from one of counts under the same period, where the heads say so."""
    currency, scale, percent = head_unit(without_periods(head))
    return f"{currency}{scale or ''}{'%' if percent or figure.percent else ''}"


def _is_derived(head: str) -> bool:
    plain = _REFERENCE.sub(" ", without_periods(head))
    return _is_compared(head) or bool(_DERIVED.search(plain))


def _is_compared(head: str) -> bool:
    """Tell whether a column's head names two years, which its figures compare."""
    return len({period.year for period, _, _ in find_periods(head) if period.year}) > 1


def _period(head: str, above: list[Period], named: Period | None, flow: int | None) -> Period | None:
    """Return the period of a cell: what its column, its section and its row say, the first that names a year leading."""
    quarter = quarter_head(head)
    own = Period(0, quarter) if quarter else period_of([head])
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


def _unit(grid: Grid, row: GridRow, figure: Figure, head: str) -> Unit:
    """Return what a cell counts: its own sign first, then its row, its column, the table's corner, the text before."""
    sources = [head_unit(text) for text in (row.label, *reversed(row.sections), without_periods(head), grid.corner)]
    told = prose_unit(grid.before)
    inside = prose_unit(grid.hit.text) if told[1] is None else told
    percent = figure.percent or sources[0][2] or _percent_head(head)
    currency = next((name for name in (figure.currency, *(source[0] for source in sources), told[0]) if name), "")
    if percent:
        return Unit("", 0, True)
    currency = minor_currency(row.label) or next((minor_currency(text) for text in row.sections[-1:]), "") or currency
    scale = next((source[1] for source in sources if source[1] is not None), None)
    if scale is None and any(head_unit(other)[1] is not None for other in row.heads):
        # Where other columns say in what they count, this one counts in ones.
        scale = 0
        currency = figure.currency or sources[0][0] or head_unit(without_periods(head))[0]
    stated = scale if scale is not None else told[1] if told[1] is not None else inside[1]
    names = (row.label, without_periods(head), *row.sections[-1:])
    if any(is_unscaled(name, (grid.corner, grid.before)) for name in names):
        stated = sources[0][1] or 0
    return Unit(currency, figure.scale or stated or 0)


def _percent_head(head: str) -> bool:
    return head_unit(head)[2] and not re.search(r"\d\s*%", head)


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
        column=words(first.column),
        section=tuple(word for text in (*first.sections, first.shared, grid.corner) for word in words(text)),
        near=context[0],
        far=context[1],
        points=tuple(entry.point for entry in entries),
        unit=first.unit,
        table=(grid.document.id, grid.start),
        rank=grid.rank,
        months=first.months,
        head=first.column,
        under=" ".join(first.sections),
    )
