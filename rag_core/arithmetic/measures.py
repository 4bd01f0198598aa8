"""A measure that a question names, computed by its definition where the document does not print it.

"What was the current ratio in 2023?" takes total current assets and total current liabilities from the balance sheet. Where a
document states the measure itself, that is to be read, not computed.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace
from decimal import Decimal, localcontext
from itertools import islice

from rag_core.arithmetic.choosing import Choice
from rag_core.arithmetic.definitions import DAYS, Measure, named_measure
from rag_core.arithmetic.figures import DIGITS, find_figures
from rag_core.arithmetic.lineitems import is_statement_heading, item_of
from rag_core.arithmetic.operations import Number, Result, bracketed, result_text, summed
from rag_core.arithmetic.picking import pick
from rag_core.arithmetic.questions import Asked
from rag_core.arithmetic.series import Point, Series
from rag_core.arithmetic.telling import tell
from rag_core.arithmetic.units import one_currency
from rag_core.arithmetic.wording import folded, words
from rag_core.language.periods import Period, without_periods
from rag_core.language.sentences import sentence_spans
from rag_core.records import Computation, Document, Hit, Operation

__all__ = ["compute_measure"]

_TIMES = "\u00d7"
_MOST_SERIES = 2_000
# A document's first words say whose it is.
_OPENING = 600
# Debt is what the balance sheet borrows for long and for short, where no row adds it up.
_DEBT = ("long-term debt", "short-term debt")
# What is spent is printed with brackets or without: its amount is meant.
_SPENT = frozenset(
    ("capital expenditure", "dividends", "interest expense", "cost of sales", "depreciation and amortization")
)


def compute_measure(question: str, hits: Sequence[Hit], series: Sequence[Series]) -> Computation | None:
    """Return the measure that `question` names, computed from line items of one document among `series`, or None.

    None where it names none, where a sentence or row of `hits` states it, where an item is missing, or where two tables that
    are as much of a statement give different figures for one.
    """
    named = named_measure(question)
    if named is None:
        return None
    for document in dict.fromkeys(hit.document for hit in hits):
        own = [hit for hit in hits if hit.document == document]
        if named.words - _title(document) or any(_states(hit, named.measure) for hit in own):
            continue
        items = _Items([item for item in series if item.document == document])
        operands = items.of(named.measure, named.period)
        if operands and (computed := _computed(question, named.measure, operands)):
            return computed
    return None


def _title(document: Document) -> set[str]:
    """Return the words by which a document, and whose it is, is known."""
    return set(words(f"{re.sub(r'[._-]', ' ', document.name)} {document.text[:_OPENING]}"))


def _states(hit: Hit, measure: Measure) -> bool:
    """Tell whether a row or sentence of `hit` names the measure and gives a figure that could be it."""
    text = hit.document.text
    return any(
        measure.asked.search(folded(text[start:end])) and _has_figure(text[start:end], measure.kind)
        for start, end in sentence_spans(text, hit.start, hit.end)
    )


def _has_figure(text: str, kind: str) -> bool:
    figures = [figure for figure, _, _ in find_figures(without_periods(text))]
    if kind == "percent":
        return any(figure.percent for figure in figures)
    return any(not figure.percent for figure in figures)


_Operand = tuple[Series, Point]
_Roles = tuple[list[_Operand], ...]


class _Items:
    """The rows of a document's tables that are line items of statements, by item."""

    def __init__(self, series: Sequence[Series]) -> None:
        self._rows: dict[str, list[Series]] = {}
        self._items: dict[tuple[str, int], set[str]] = {}
        for each in islice(series, _MOST_SERIES):
            if each.unit.percent or each.column or each.months not in (0, 12) or _is_divided(each):
                continue
            if item := item_of(each.label):
                self._rows.setdefault(item, []).append(each)
                if not each.spoken:
                    self._items.setdefault(each.table, set()).add(item)

    def of(self, measure: Measure, period: Period | None) -> _Roles | None:
        """Return the operands by role, of `period` or else of the latest year that all have; None where one is missing."""
        years = [period] if period else sorted(map(Period, self._years()), reverse=True)
        for year in years:
            roles = tuple(
                [self._operands(item, year) for item in role] for role in (measure.adds, measure.takes, measure.under)
            )
            if all(operands for role in roles for operands in role):
                return tuple([operand for operands in role for operand in operands] for role in roles)
        return None

    def _years(self) -> set[int]:
        rows = (each for several in self._rows.values() for each in several)
        return {point.period.year for each in rows for point in each.points if point.period and point.period.year}

    def _operands(self, item: str, period: Period) -> list[_Operand]:
        """Return the one operand of an item, or those that add up to it; none where tables disagree."""
        if item == "debt":
            return self._operands("total debt", period) or self._borrowed(period)
        found = [(each, point) for each in self._rows.get(item, ()) if (point := _point(each, period))]
        if not found:
            return []
        # A statement holds many of the items, a note or a segment's table few.
        most = max(self._standing(each) for each, _ in found)
        best = [operand for operand in found if self._standing(operand[0]) >= most - 1]
        return best[:1] if len({_amount(*operand) for operand in best}) == 1 else []

    def _standing(self, series: Series) -> int:
        return len(self._items.get(series.table, ()))

    def _borrowed(self, period: Period) -> list[_Operand]:
        """Return the rows of borrowings of the table that holds most line items, where it has one for the long term."""
        rows = [each for item in _DEBT for each in self._rows.get(item, ()) if not each.spoken]
        if not rows:
            return []
        table = max(rows, key=self._standing).table
        found = [(each, point) for each in rows if each.table == table and (point := _point(each, period))]
        return found if any(item_of(each.label) == "long-term debt" for each, _ in found) else []


def _is_divided(series: Series) -> bool:
    """Tell whether a row stands under the name of a part of the firm."""
    return bool(series.under) and not is_statement_heading(series.under)


def _point(series: Series, period: Period) -> Point | None:
    dated = [point for point in series.points if point.period is not None and point.period.year]
    return pick(dated, period, closing=True)


def _amount(series: Series, point: Point) -> Decimal:
    return abs(point.figure.value).scaleb(series.unit.scale)


def _computed(question: str, measure: Measure, roles: _Roles) -> Computation | None:
    flat = [operand for role in roles for operand in role]
    if not one_currency(series.unit for series, _ in flat):
        return None
    with localcontext() as context:
        context.prec = DIGITS
        result = _result(measure, roles, flat[0][0].unit.scale)
    if result is None:
        return None
    asked = Asked(_operation(measure), (), (), text=question, kind="signed")
    once = list(dict.fromkeys(flat))
    told = tell(asked, Choice(1.0, tuple(once)), result)
    if measure.kind in ("ratio", "days"):
        # Where only some of the rows print a sign, money over money is no price all the same.
        unit = "days" if measure.kind == "days" else ""
        text = f"{result_text(result)} {unit}".strip()
        told = replace(told, text=text, formula=f"{result.formula} = {text}", unit=unit, scale=0)
    return replace(told, formula=f"{measure.definition()}: {told.formula}")


def _operation(measure: Measure) -> Operation:
    if measure.kind == "amount":
        return "difference" if measure.takes else "sum"
    return "percentage of" if measure.kind == "percent" else "ratio"


def _result(measure: Measure, roles: _Roles, scale: int) -> Result | None:
    """Return the value in the `scale` of the first operand, None where what divides is not above zero."""
    adds, takes, under = ([_number(operand, scale) for operand in role] for role in roles)
    above, formula, places = summed(adds, takes)
    if not under:
        return Result(above, places, formula, least=places)
    below, divisor, _ = summed(under, [])
    if below <= 0:
        return None
    formula = f"{bracketed(formula, adds, takes)} / {bracketed(divisor, under, [])}"
    if measure.kind == "days":
        return Result(above / below * DAYS, 1, f"{formula} {_TIMES} {DAYS}")
    percent = measure.kind == "percent"
    return Result(above / below * (100 if percent else 1), 2, formula, percent, least=0 if percent else 2)


def _number(operand: _Operand, scale: int) -> Number:
    """Return a figure in `scale`, with its decimals and the sign that it has in a definition."""
    series, point = operand
    value, item = point.figure.value, item_of(series.label)
    label = folded(series.label)
    if item in _SPENT or (item == "income taxes" and "benefit" not in label and "credit" not in label):
        value = abs(value)
    elif item == "income taxes" and label.startswith("benefit"):
        value = -value
    shift = series.unit.scale - scale
    return Number(value.scaleb(shift), max(0, point.figure.places - shift))
