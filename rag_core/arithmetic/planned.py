"""A plan that a reading model made (`rag_core.arithmetic.plans`) to the figure, in exact decimals, or to none.

The model chooses figures by their place; what they are, their signs and units, is read here as everywhere else, and a plan
whose figures do not go together, such as a year or two currencies, is not computed.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace
from decimal import Decimal, localcontext

from rag_core.arithmetic.choosing import Choice
from rag_core.arithmetic.figures import DIGITS, find_figures, shown
from rag_core.arithmetic.grids import read_grids
from rag_core.arithmetic.operations import Number, Result, bracketed, calculate, is_outflow, summed
from rag_core.arithmetic.plans import Plan, Shape
from rag_core.arithmetic.questions import Asked
from rag_core.arithmetic.remainders import spoken_operand
from rag_core.arithmetic.series import Point, Series, table_series
from rag_core.arithmetic.telling import tell
from rag_core.arithmetic.units import one_currency, price_currency
from rag_core.language.sentences import sentence_spans
from rag_core.records import Computation, Hit

__all__ = ["compute_planned"]

_MINUS, _TIMES = "\u2212", "\u00d7"
# Characters before a figure of a sentence that say what it is.
_LABEL = 60
_YEAR = re.compile(r"(?:19|20)\d\d")
_HUNDRED = Decimal(100)
# What is never more than the whole. A ratio that is asked for as a percentage may be.
_PART = re.compile(
    r"\b(?:what|which|how (?:large|big|much)) (?:\w+ )?(?:an? )?(?:part|share|portion|proportion|fraction)\b",
    re.IGNORECASE,
)

_Operand = tuple[Series, Point]
_Roles = tuple[list[Number], list[Number], list[Number]]


def compute_planned(question: str, plan: Plan, hit: Hit) -> Computation | None:
    """Return the figure that `plan`, made over the text of `hit`, comes to, None where its figures do not go together."""
    kind = plan.shape.kind
    if kind is None:
        return None
    series = [item for grid in read_grids([hit]) for item in table_series(grid)]
    operands = tuple(
        tuple(_operand(hit, series, hit.start + start, hit.start + end) for start, end in role) for role in plan.figures
    )
    flat = [operand for role in operands for operand in role if operand is not None]
    if len(flat) < sum(map(len, operands)) or not _go_together(plan.shape, flat):
        return None
    found = tuple(tuple(item for item in role if item is not None) for role in operands)
    with localcontext() as context:
        context.prec = DIGITS
        result = _result(plan.shape, _numbers(plan.shape, found))
    if result is None or (kind == "percentage of" and result.value > _HUNDRED and _PART.search(question)):
        return None
    if kind == "product" and flat[0][0].unit.percent:
        # The product is counted in what the rate is taken of.
        flat.reverse()
    asked = Asked("ratio" if kind == "ratio" else "difference", (), (), text=question, kind="signed")
    return replace(tell(asked, Choice(1.0, tuple(flat)), result), operation=kind)


def _operand(hit: Hit, series: Sequence[Series], start: int, end: int) -> _Operand | None:
    """Return the figure at [start, end) with what it stands for: a cell of a table, or a figure of a sentence."""
    for item in series:
        for point in item.points:
            if point.start < end and start < point.end:
                return item, point
    text = hit.document.text
    for first, last in sentence_spans(text, hit.start, hit.end):
        if first <= start < last:
            inside = text[first:last]
            figure = next((found for found in find_figures(inside) if found[1] <= start - first < found[2]), None)
            return figure and spoken_operand(hit, first, last, figure, inside[: figure[1]][-_LABEL:])
    return None


def _go_together(shape: Shape, operands: Sequence[_Operand]) -> bool:
    """Tell whether figures are of kinds that the formula can take; years are not."""
    if any(_YEAR.fullmatch(point.figure.text.strip()) for _, point in operands):
        return False
    if len({(point.start, series.document.id) for series, point in operands}) < len(operands):
        return False
    if not (one_currency(series.unit for series, _ in operands) or _in_one_column(operands)):
        return False
    percents = sum(series.unit.percent for series, _ in operands)
    if shape.kind == "complement":
        return percents == 1
    if shape.kind == "product":
        scaled = [series for series, _ in operands if series.unit.scale]
        # Money times money is nothing that anybody asks for.
        amounts = sum(bool(point.figure.currency) for _, point in operands)
        return percents < len(operands) and len(scaled) < len(operands) and amounts < 2
    return percents in (0, len(operands))


def _in_one_column(operands: Sequence[_Operand]) -> bool:
    """Tell whether all are cells of one column: what a row is called then ("USD bought") is no unit of it."""
    return len({(series.table, point.column, series.spoken) for series, point in operands}) == 1


def _numbers(shape: Shape, operands: tuple[tuple[_Operand, ...], ...]) -> _Roles:
    """Return the figures of each role in the scale of the first one, and with the signs that they have in the formula.

    Brackets say that money goes out where they stand in rows of costs, or where all of the figures have them; what is taken
    away is then its amount.
    """
    flat = [operand for role in operands for operand in role]
    priced = shape.kind == "ratio" and _is_counted(flat)
    scale = flat[0][0].unit.scale if shape.kind != "product" and not priced else 0
    all_out = all(point.figure.value <= 0 for _, point in flat)
    adds, takes, under = (
        [
            _scaled(
                abs(point.figure.value) if all_out or _goes_out(role, series, operands) else point.figure.value,
                series, point, scale, shape, () if priced else flat,
            )
            for series, point in several
        ]
        for role, several in enumerate(operands)
    )  # fmt: skip
    return adds, takes, under


def _is_counted(operands: Sequence[_Operand]) -> bool:
    """Tell whether money in some scale is divided by things that are counted in ones: the price of one is in ones, too."""
    things, count = operands[-1]
    scaled = bool(operands[0][0].unit.scale) and not things.unit.scale
    return scaled and not count.figure.places and bool(price_currency([series.unit for series, _ in operands]))


def _goes_out(role: int, series: Series, operands: tuple[tuple[_Operand, ...], ...]) -> bool:
    """Tell whether brackets round a figure of this role say that money goes out, not that it is below zero."""
    adds, _, under = operands
    if role == 0:
        return bool(under) and is_outflow(series.label)
    return role == 2 or not _beside(series, adds)


def _beside(series: Series, others: Sequence[_Operand]) -> bool:
    """Tell whether one of `others` is of the same row: then the sign says more than that money goes out."""
    return any(other.table == series.table and other.label == series.label for other, _ in others)


def _scaled(
    value: Decimal, series: Series, point: Point, scale: int, shape: Shape, operands: Sequence[_Operand]
) -> Number:
    """Return a figure as it enters the formula, in the `scale` of the first operand.

    A table that does not say in what it counts is taken to count as the sentences around it do.
    """
    own, places = series.unit.scale, point.figure.places
    silent = any(not item.unit.scale and not item.spoken for item, _ in operands)
    if own == scale or series.unit.percent or shape.kind == "product" or silent:
        return Number(value, places, series.unit.percent)
    return Number(value.scaleb(own - scale), max(0, places - (own - scale)), False)


def _result(shape: Shape, roles: _Roles) -> Result | None:
    """Return the value with its formula, None where it has none."""
    adds, takes, under = roles
    if shape.kind in ("sum", "average"):
        return calculate(shape.kind, adds)
    if shape.kind == "percentage change":
        return calculate(shape.kind, [*adds, *takes]) if not adds[0].percent else None
    if shape.kind == "complement":
        value = _HUNDRED - adds[0].value
        return Result(value, adds[0].places, f"100 {_MINUS} {shown(adds[0].value, adds[0].places)}", True)
    if shape.kind == "product":
        return _product(adds)
    above, formula, places = summed(adds, takes)
    if shape.kind == "difference":
        percent = adds[0].percent
        return Result(above, places, formula, percent, percent and bool(takes), places)
    below, divisor, _ = summed(under, [])
    if below == 0:
        return None
    formula = f"{bracketed(formula, adds, takes)} / {bracketed(divisor, under, [])}"
    share = above / below
    return Result(share * 100, 2, formula, True) if shape.kind == "percentage of" else Result(share, 2, formula)


def _product(numbers: list[Number]) -> Result:
    value, places = Decimal(1), max(number.places for number in numbers if not number.percent)
    for number in numbers:
        value *= number.value / 100 if number.percent else number.value
    texts = [shown(number.value, number.places) + "%" * number.percent for number in numbers]
    return Result(value, max(places, 2), f" {_TIMES} ".join(texts), least=places)
