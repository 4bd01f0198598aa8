"""Table look-up: the cell, or the cells of several periods or line items, that a question names by row and by period.

Rows, heads, periods and units are read by `rag_core.arithmetic`, which also says which row a question means. Where no
row fits well, several fit as well and differ, or the period is not there, nothing is looked up.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import cached_property

from rag_core.answers.lookups import LookUp
from rag_core.answers.periodic import asks_for_periods, look_up_periods
from rag_core.answers.questions import AnswerKind, Asked
from rag_core.answers.rows import look_up_row, row_words
from rag_core.answers.sentences import told_in_a_sentence
from rag_core.answers.several import look_up_several
from rag_core.arithmetic.grids import Grid, read_grids
from rag_core.arithmetic.matching import Pool, gather
from rag_core.arithmetic.prose import prose_series
from rag_core.arithmetic.questions import Subject
from rag_core.arithmetic.series import Point, Series, table_series
from rag_core.arithmetic.wording import GENERIC, words
from rag_core.language.periods import without_periods
from rag_core.language.sentences import sentence_spans, years
from rag_core.language.tablecells import table_at
from rag_core.records import Document, Hit

__all__ = ["Fitting", "Tables", "look_up"]

_MOST_HITS = 8
# Without a period the latest year's cell answers, but only where the row fits closely: for a figure, and for what may be
# none ("the segment result") more so.
_LEAST_LATEST, _LEAST_THING = 0.82, 0.93
# A sentence has other words beside those that name what it gives.
_LEAST_SPOKEN = 0.8
# A cell that the reader marks may be worded further from the question.
_LEAST_FIT, _BEHIND = 0.3, 0.15
_FIGURES: frozenset[AnswerKind] = frozenset(("amount", "percentage", "measure", "count", "definition"))
_NAME = re.compile(r"(?<=[\w,] )[A-Z][\w&’'-]*")
_KINDS: frozenset[AnswerKind] = frozenset(
    ("amount", "percentage", "measure", "count", "thing", "definition", "duration")
)
# A question of another time than the latest, without saying which.
_EARLIER = re.compile(r"\b(?:prior|previous\w*|preceding|earlier|earliest|first|last|past)\b", re.IGNORECASE)
_PERCENT = re.compile(r"%|\bper ?cent(?:age)?s?\b", re.IGNORECASE)
_RATE = re.compile(rf"{_PERCENT.pattern}|\b(?:rates?|ratios?|margins?|yields?|shares?|growth|return)\b", re.IGNORECASE)
# Characters around a cell in which its row has a bar.
_NEAR = 200
# Characters before a table in which the sentence that leads up to it begins.
_LEADING = 300
_CELL = re.compile(r"[(\d][\d,.()%-]*\s*(?:\||$)", re.MULTILINE)
_DURATION = re.compile(r"\bhow many (?:years|months|days)\b", re.IGNORECASE)


class Tables:
    """The rows of the tables of some hits, read once, when first asked for."""

    def __init__(self, hits: Sequence[Hit]) -> None:
        self.hits = hits[:_MOST_HITS]

    @cached_property
    def grids(self) -> list[Grid]:
        """The tables as they stand."""
        return read_grids(self.hits)

    @cached_property
    def pool(self) -> Pool:
        """All rows, to be ranked by what a question names."""
        return gather([item for grid in self.grids for item in table_series(grid)], self.hits)

    @cached_property
    def spoken(self) -> Pool:
        """What sentences give for several periods one by one."""
        return gather([item for item in prose_series(self.hits) if len(item.points) > 1], self.hits)


def look_up(asked: Asked, tables: Tables) -> tuple[LookUp, ...]:
    """Return the cells that `asked` names, those of several line items apart; () where there are none."""
    rest = asks_for_periods(asked.text)
    if asked.kind not in _KINDS and rest is None:
        return ()
    pool = tables.pool
    if not pool.series:
        return ()
    if rest is not None:
        periods = look_up_periods(rest, pool)
        return (periods,) if periods else ()
    found = look_up_row(asked.text, pool, counted=asked.kind == "count")
    several = look_up_several(asked.text, pool, found)
    if several and not _is_withheld(asked, several, pool):
        return several
    if found is None or told_in_a_sentence(asked, found, tables.hits):
        found = _look_up_spoken(asked, tables)
    return () if found is None or _is_withheld(asked, (found,), pool) else (found,)


def _look_up_spoken(asked: Asked, tables: Tables) -> LookUp | None:
    """Return the figures that a sentence gives one by one for several years, "respectively", for a question of a year."""
    found = look_up_row(asked.text, tables.spoken) if asked.years else None
    if found is None or found.score < _LEAST_SPOKEN:
        return None
    # A sentence has few words, so that a name that it lacks tells it from the one that is meant.
    return found if _names(asked) <= set(found.series.own) else None


class Fitting:
    """Which cells of some tables fit a question for a figure."""

    def __init__(self, asked: Asked, tables: Tables) -> None:
        self._asked, self._tables = asked, tables

    @cached_property
    def _rows(self) -> frozenset[int]:
        ranked = self._tables.pool.ranked(Subject(self._asked.text, row_words(self._asked.text)), _LEAST_FIT)
        return frozenset(id(match.series) for match in ranked if match.score >= ranked[0].score - _BEHIND)

    def misfits(self, document: Document, start: int) -> bool:
        """Tell whether the cell at `start` of a document is of another line, part or year than the question names."""
        table = table_at(document, start)
        bars = table is not None or " | " in document.text[max(0, start - _NEAR) : start + _NEAR]
        wanted = {int(year) for year in self._asked.years}
        if not bars or (self._asked.kind not in _FIGURES and not wanted):
            return False
        held = [
            (item, point)
            for item in self._tables.pool.series
            for point in item.points
            if item.document.id == document.id and point.start <= start < point.end
        ]
        if self._asked.kind not in _FIGURES:
            return bool(held) and not any(_is_of_year(item, point, wanted) for item, point in held)
        if not held:
            # A figure beside those of the table's rows: the number of a note.
            return table is not None and bool(_CELL.match(document.text, start)) and document.text[start - 2] == "|"
        parts = _parts_named(self._asked, self._tables.pool.series)
        return not any(
            parts <= _dimensions(item) and id(item) in self._rows and _is_of_year(item, point, wanted)
            for item, point in held
        )


def _is_of_year(series: Series, point: Point, wanted: set[int]) -> bool:
    """Tell whether a cell may be of one of the years `wanted`, if any: its own, or where it has none that of the line above."""
    if not wanted:
        return True
    if year := _year(point):
        return year in wanted
    told = _leading_years(series)
    return not told or bool(told & wanted)


def _year(point: Point) -> int:
    return point.period.year if point.period else 0


def _leading_years(series: Series) -> set[int]:
    """Return the years of the sentence that leads up to a table with a colon: "At 31 January 2022:"."""
    text, start = series.document.text, series.table[1]
    spans = sentence_spans(text, max(0, start - _LEADING), start)
    sentence = text[slice(*spans[-1])] if spans else ""
    return {int(year) for year in years(sentence)} if sentence.endswith(":") else set()


def _is_withheld(asked: Asked, found: Sequence[LookUp], pool: Pool) -> bool:
    wanted = {int(year) for year in asked.years}
    undated = [(cells.series, point) for cells in found for point in cells.points if not _year(point)]
    if any(not _is_of_year(series, point, wanted) for series, point in undated):
        return True
    if any(cells.latest and not _is_close(asked, cells) for cells in found):
        return True
    if _PERCENT.search(asked.text) and not any(_is_share(cells) for cells in found):
        return True
    # The operating profit of the group is no answer to a question for that of one of its divisions.
    held = set().union(*(_dimensions(cells.series) for cells in found))
    return bool(_parts_named(asked, pool.series) - held)


def _is_share(found: LookUp) -> bool:
    """Tell whether cells are, or may be, percentages: a rate is often printed without its sign."""
    series = found.series
    printed = series.unit.percent or any(point.figure.percent for point in found.points)
    return printed or _RATE.search(f"{series.label} {series.head} {series.under}") is not None


def _is_close(asked: Asked, found: LookUp) -> bool:
    """Tell whether a question without a period asks for a figure and names its row closely."""
    least = _LEAST_LATEST if asked.kind in _FIGURES else _LEAST_THING if asked.kind == "thing" else 1.0
    return found.score >= least and not _DURATION.search(asked.text) and not _EARLIER.search(asked.text)


def _parts_named(asked: Asked, series: Sequence[Series]) -> set[str]:
    """Return the words of names in the question that these tables have: of divisions, countries, persons."""
    names = _names(asked)
    return names & {word for item in series for word in _dimensions(item)} if names else set()


def _names(asked: Asked) -> set[str]:
    return {word for name in _NAME.findall(without_periods(asked.text)) for word in words(name)} - GENERIC


def _dimensions(series: Series) -> set[str]:
    return {*series.own, *series.column, *series.section}
