"""A result as it is shown: the short answer, the formula, and the operands with where each stands."""

from __future__ import annotations

import re
from collections.abc import Sequence
from decimal import Decimal

from rag_core.arithmetic.choosing import Choice
from rag_core.arithmetic.figures import plain_number, rounded
from rag_core.arithmetic.operations import Result, result_text
from rag_core.arithmetic.questions import Asked
from rag_core.arithmetic.series import Point, Series
from rag_core.arithmetic.units import Unit, price_currency
from rag_core.language.currencies import SCALE_NAMES
from rag_core.records import Computation, Operand

__all__ = ["tell"]

_MINUS = "\u2212"
_LONGEST_LABEL = 120
_BASIS_POINTS = re.compile(r"\bbasis points?\b|\bbps?\b")


def tell(asked: Asked, choice: Choice, result: Result, rate: Result | None = None) -> Computation:
    """Return the computation of `result` from the operands of `choice`; `rate` is the same change in percent."""
    operands = tuple(_operand(series, point) for series, point in choice.operands)
    if asked.operation in ("count", "highest", "lowest"):
        return _compared(asked, choice.operands, operands, result)
    unit = Unit(percent=True) if result.percent else choice.operands[0][0].unit
    if asked.operation == "ratio":
        unit = Unit(price_currency([series.unit for series, _ in choice.operands]))
    elif not result.percent and not unit.currency:
        unit = Unit(next((s.unit.currency for s, _ in choice.operands if s.unit.currency), ""), unit.scale)
    number = result_text(result)
    text = _with_unit(number, unit, result.points)
    if result.points and _BASIS_POINTS.search(asked.text):
        text = f"{plain_number(result.value * 100, max(0, result.places - 2))} basis points"
    formula = f"{result.formula} = {text.replace('-', _MINUS)}"
    value = rounded(result.value, result.places)
    if rate is not None:
        percent = f"{result_text(rate)}%"
        formula = f"{formula}; {rate.formula} = {percent.replace('-', _MINUS)}"
        text = f"{text}, or {percent}"
    return Computation(asked.operation, formula, value, _unit_name(unit, result.points), operands, text, unit.scale)


def _compared(
    asked: Asked, chosen: Sequence[tuple[Series, Point]], operands: tuple[Operand, ...], result: Result
) -> Computation:
    """Return the computation of a count or an extreme: the periods compared, each with its figure."""
    listed = ", ".join(f"{point.period}: {point.figure.text}" for _, point in chosen)
    if asked.operation == "count":
        sign = "<" if asked.least else ">"
        sign += "=" if "at least" in asked.text or "at most" in asked.text else ""
        text = str(int(result.value))
        return Computation("count", f"{listed}; {sign} {asked.limit.strip()}: {text}", result.value, "", operands, text)
    period = chosen[int(result.value)][1].period
    text = str(period.year if period and asked.kind == "year" else period)
    value = Decimal(period.year if period else 0)
    return Computation(asked.operation, f"{listed}; {asked.operation}: {text}", value, "", operands, text)


def _operand(series: Series, point: Point) -> Operand:
    # A row that is called by its period alone goes by its column.
    names = [series.label if series.own else "", series.head]
    label = ", ".join(name for name in names if name) or series.label
    return Operand(
        label=label[:_LONGEST_LABEL],
        period=str(point.period) if point.period else "",
        value=point.figure.value,
        text=point.figure.text,
        unit=_unit_name(series.unit, False),
        document=series.document,
        page=series.document.page_at(point.row_start),
        start=point.start,
        end=point.end,
        row_start=point.row_start,
        row_end=point.row_end,
    )


def _unit_name(unit: Unit, points: bool) -> str:
    if unit.percent:
        return "percentage points" if points else "%"
    return " ".join(part for part in (unit.currency, SCALE_NAMES.get(unit.scale, "")) if part)


def _with_unit(number: str, unit: Unit, points: bool) -> str:
    if unit.percent:
        return f"{number} percentage points" if points else f"{number}%"
    scaled = " ".join(part for part in (number, SCALE_NAMES.get(unit.scale, "")) if part)
    if not unit.currency:
        return scaled
    if unit.currency.islower():
        return f"{scaled} {unit.currency}"
    if unit.currency.isalpha():
        return f"{unit.currency} {scaled}"
    return f"-{unit.currency}{scaled[1:]}" if scaled.startswith("-") else f"{unit.currency}{scaled}"
