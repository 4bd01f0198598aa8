"""The rows of a table that a question asks to be named or counted: "What does the debt consist of?", "How many regions?".

They stand under a heading that the question names, add up to a row that it names, or are what a table is told "by"
("revenue by region"). Sums are checked in all columns, so that no row is named that does not belong to its total.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal

from rag_core.answers.listing import Listed
from rag_core.answers.questions import Asked
from rag_core.arithmetic.columns import read_columns
from rag_core.arithmetic.grids import Grid, GridRow
from rag_core.arithmetic.wording import GENERIC, NEGATING, folded, same_as, words
from rag_core.language.periods import without_periods
from rag_core.language.sentences import terms, years

__all__ = ["RowList", "find_kinds", "find_rows", "listed_rows", "rows_that_add_up", "values_of"]

_PART = r"(?:components?|items?|elements?|constituents?|parts|categor(?:y|ies)|types?|kinds?|class(?:es)?|lines?)"
_MADE = r"(?:consists? of|comprised? of|compris(?:e|es|ed)|composed of|made up of|broken down into|split into)"
_OF_WHOLE = (
    re.compile(rf"^\W*(?:what|which)\b.*?\b(?:is|are|was|were|does|do|did) (?P<whole>.+?) {_MADE}\W*$"),
    re.compile(
        rf"^\W*(?:what|which) (?:(?:are|were|is|was) )?(?:the )?(?:[\w-]+ ){{0,3}}?{_PART} "
        r"(?:(?:that|which) )?(?:(?:are |were )?(?:considered|used|included|taken|added|counted) )?"
        r"(?:when|for|in|to|under|of|within|by|make up|making up|add up to|adding up to)\b"
        r"(?: (?:calculat|comput|determin|arriv|deriv)\w*(?: at)?)?(?P<whole>.+?)\W*$"
    ),
    re.compile(
        rf"^\W*(?:what|which) (?:[\w-]+ ){{0,3}}?{_PART} (?:make up|made up|add up to|are included in)(?P<whole>.+?)\W*$"
    ),
)
_COUNTED = re.compile(
    rf"^\W*how many (?:different )?(?:[\w-]+ ){{0,2}}?{_PART} (?:of|in|under|make up|are included in)(?P<whole>.+?)"
    r"(?: (?:are|were|is|was) (?:there|listed|shown|presented|included|reported|recorded|disclosed)\b.*)?\W*$"
)
_KIND = re.compile(
    r"^\W*(?:(?:what|which) (?:are|were) (?:all )?(?:the |its |their )?|how many )"
    r"(?P<kind>(?:[\w-]+ )?[\w-]+(?<!s)s)\b(?P<rest>.*?)\W*$"
)
_TOTAL = frozenset(words("total sum net overall all in ratio"))
_CLOSING = frozenset(words("total sum subtotal"))
_NOT = NEGATING | {"not"}
# What is left after the rows before it, and so none of them.
_RESULT = re.compile(
    r"^\W*(?:net |gross |operating )*(?:profit|loss|income|earnings|result)s?\b.*\b(?:before|after|from|for the)\b"
    r"|^\W*(?:net|gross|operating) (?:profit|loss|income|earnings|result)s?\b\W*$",
    re.IGNORECASE,
)
_LESS = re.compile(r"\W*(?:less|minus|deduct)", re.IGNORECASE)
_FOOTNOTE = re.compile(r"(?:(?<=[a-z])\d|\s*\((?:\d{1,2}|(?:refer|see)\b[^)]*)\)|[*:†‡])+$")
_MOST_ROWS, _LEAST_ROWS = 14, 2
# Each row is rounded for itself.
_ROUNDING = Decimal("0.6")
# Characters before a table in which stands what it is told by, and the share of the question that must stand around it.
_LEAD, _LEAST_AROUND = 300, 0.7
# What a question says of a table, and no table of itself.
_ASKING = frozenset(
    terms("whereby split broken break down list include contain disclose disaggregate there differ apply")
)
_NUMBER = r"(?:\d{1,2}|two|three|four|five|six|seven|eight|nine|ten|eleven|twelve)"


@dataclass(frozen=True, slots=True)
class RowList:
    """The names of rows, and the spans of the other lines that it rests on: what they stand under or add up to."""

    items: tuple[Listed, ...]
    beside: tuple[tuple[int, int], ...]


def find_rows(asked: Asked, grids: Sequence[Grid]) -> RowList | None:
    """Return the rows that make up what a question names; None where it asks for none, or none are plain."""
    said = folded(asked.text)
    for form in (*_OF_WHOLE, _COUNTED):
        found = form.search(said)
        rows = (
            _of_whole(words(without_periods(found["whole"])), set(asked.years), _dated(asked, grids)) if found else None
        )
        if rows:
            return rows
    return None


def find_kinds(asked: Asked, grids: Sequence[Grid]) -> RowList | None:
    """Return the rows of a table that is told by things of the kind that a question asks to be named or counted."""
    told = _KIND.search(folded(asked.text))
    if told is None:
        return None
    kind, grids = told["kind"].split()[-1], _dated(asked, grids)
    counted = re.compile(rf"\b{_NUMBER} (?:[\w-]+ )?{kind}\b", re.IGNORECASE)
    if asked.kind == "count" and any(counted.search(_around(grid)) for grid in grids):
        # The text says how many.
        return None
    return _by_kind(kind, words(without_periods(told["rest"])), grids)


def _dated(asked: Asked, grids: Sequence[Grid]) -> list[Grid]:
    return [grid for grid in grids if all(year in _around(grid) for year in asked.years)]


def _around(grid: Grid) -> str:
    """Return the text of a table's passage, with what leads up to it."""
    return grid.before + grid.document.text[grid.start : grid.end] + grid.hit.text


def _of_whole(named: Sequence[str], dated: set[str], grids: Sequence[Grid]) -> RowList | None:
    """Return the rows under a heading, or that add up to a row, which is called what is named.

    A name without the words that say what the table is about counts where none is called so in full.
    """
    wanted = set(named) - GENERIC
    for leaving_out in (False, True) if wanted else ():
        for grid in grids:
            about = set(words(f"{grid.before[-_LEAD:]} {grid.corner}")) - _NOT if leaving_out else set()
            for place, row in enumerate(grid.rows):
                if row.sections and _is_called(wanted, about, row.sections[-1]):
                    return _told(grid, _under(grid, place), _line_of(grid, row))
            for place, row in enumerate(grid.rows):
                # Of balances at several dates the one that is asked for.
                other = dated and (own := set(years(row.label))) and not own & dated
                if (
                    not other
                    and _is_called(wanted, about, row.label)
                    and (parts := rows_that_add_up(grid, place) or _quotient(grid, place))
                ):
                    return _told(grid, parts, (row.start, row.end))
    return None


def _line_of(grid: Grid, row: GridRow) -> tuple[int, int] | None:
    """Return the span of the heading that a row stands under."""
    start = grid.document.text.rfind(row.sections[-1], grid.start, row.start)
    return (start, start + len(row.sections[-1])) if start >= 0 else None


def _by_kind(kind: str, named: Sequence[str], grids: Sequence[Grid]) -> RowList | None:
    """Return the rows of a table that is told by things of that kind, where it is about what is named."""
    noun = (terms(kind) or [kind])[0]
    asked = [word for word in named if word not in GENERIC and word not in _ASKING and word != noun]
    for grid in grids:
        lead = grid.before[-_LEAD:]
        labels = " ".join(row.label for row in grid.rows if _TOTAL & set(words(row.label)))
        by = re.findall(r"\bby ((?:[\w-]+ ){0,2}[\w-]+)", f"{lead} {grid.corner} {labels}")
        if not any(noun in terms(said) for said in by) and terms(grid.corner) != [noun]:
            continue
        heads = " ".join({head for row in grid.rows for head in row.heads})
        around = set(words(f"{lead} {grid.corner} {labels} {heads} {grid.document.text[:_LEAD]}"))
        if sum(word in around or same_as(word, around) for word in asked) < _LEAST_AROUND * len(asked):
            continue
        for place, row in enumerate(grid.rows):
            if parts := rows_that_add_up(grid, place):
                return _told(grid, parts, (row.start, row.end))
    return None


def _is_called(wanted: set[str], about: set[str], label: str) -> bool:
    """Tell whether a label has the words that are wanted, a total's and what it is told by apart.

    Words that the table is `about` may be missing from it.
    """
    plain = re.sub(r"\b(?:by|per) [\w\s-]+$", " ", _FOOTNOTE.sub("", label))
    own, named = set(words(without_periods(plain))) - GENERIC, wanted - _TOTAL
    if own == wanted:
        return bool(own)
    own -= _TOTAL
    return own == named != set() or (len(own) > 1 and own < named and named - own <= about)


def _under(grid: Grid, first: int) -> list[GridRow]:
    """Return the rows from `first` on that stand under its heading, up to their total, or else up to a result."""
    heading = grid.rows[first].sections
    kept: list[GridRow] = []
    for place in range(first, min(len(grid.rows), first + _MOST_ROWS)):
        row = grid.rows[place]
        total = not row.label or _CLOSING & set(words(row.label)[:1])
        if row.sections != heading or total or (kept and rows_that_add_up(grid, place)[-len(kept) :] == kept):
            return kept
        kept.append(row)
    results = [number for number, row in enumerate(kept) if number and _RESULT.search(row.label)]
    return kept[: results[0]] if results else kept


def rows_that_add_up(grid: Grid, place: int) -> list[GridRow]:
    """Return the rows right before that at `place` that add up to it in every column; [] where none do."""
    total = values_of(grid.rows[place])
    sums = dict.fromkeys(total, Decimal(0))
    if not total or not any(total.values()):
        return []
    for first in range(place - 1, max(-1, place - 1 - _MOST_ROWS), -1):
        row = grid.rows[first]
        if not row.label:
            return []
        sign = -1 if _LESS.match(row.label) else 1
        for column, value in values_of(row).items():
            if column in sums:
                sums[column] += sign * abs(value) if sign < 0 else value
        count = place - first
        if count >= _LEAST_ROWS and all(
            abs(sums[column] - value) <= _unit(grid.rows[place], column) * _ROUNDING * count
            for column, value in total.items()
        ):
            return list(grid.rows[first:place])
    return []


def _quotient(grid: Grid, place: int) -> list[GridRow]:
    """Return the two rows right before that at `place` of which it is the quotient in every column; [] where it is not."""
    row, pair = grid.rows[place], list(grid.rows[max(0, place - 2) : place])
    told = {number: cell.figure for number, cell in enumerate(row.cells) if number and cell.figure is not None}
    if len(pair) < _LEAST_ROWS or not told:
        return []
    first, second = values_of(pair[0]), values_of(pair[1])
    for above, below in ((first, second), (second, first)):
        if all(below.get(number) and number in above for number in told) and all(
            abs(above[number] / below[number] * (100 if figure.percent else 1) - figure.value)
            <= _ROUNDING.scaleb(-figure.places)
            for number, figure in told.items()
        ):
            return pair
    return []


def values_of(row: GridRow) -> dict[int, Decimal]:
    """Return the figures of a row by column, without shares and columns that compare others."""
    columns = read_columns(row.heads)
    return {
        number: cell.figure.value
        for number, (cell, column) in enumerate(zip(row.cells, columns, strict=True))
        if number and cell.figure is not None and not (column.derived or column.percent or cell.figure.percent)
    }


def _unit(row: GridRow, column: int) -> Decimal:
    figure = row.cells[column].figure
    return Decimal(1).scaleb(-figure.places) if figure else Decimal(1)


def _told(grid: Grid, rows: Sequence[GridRow], whole: tuple[int, int] | None) -> RowList | None:
    """Return the labels of `rows`, each once; None where there is but one."""
    labels = {row.cells[0].text: row for row in reversed(rows)}
    kept = [row for row in rows if labels[row.cells[0].text] is row]
    return listed_rows(grid, kept, [whole] if whole else []) if len(kept) >= _LEAST_ROWS else None


def listed_rows(grid: Grid, rows: Sequence[GridRow], beside: Sequence[tuple[int, int]]) -> RowList:
    """Return the labels of `rows` without marks of footnotes, each with its row."""
    items = []
    for row in rows:
        cell = row.cells[0]
        label = _FOOTNOTE.sub("", cell.text).rstrip()
        items.append(Listed(grid.document, cell.start, cell.start + len(label), row.start, row.end))
    return RowList(tuple(items), tuple(beside))
