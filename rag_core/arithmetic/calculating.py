"""A choice of operands to its result: the numbers that enter the formula, and whether they go together."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from decimal import Decimal

from rag_core.arithmetic.choosing import Choice
from rag_core.arithmetic.figures import parse_figure
from rag_core.arithmetic.operations import Number, Result, calculate, compound, is_outflow, is_shortfall
from rag_core.arithmetic.phrases import BY_AMOUNT
from rag_core.arithmetic.questions import Asked
from rag_core.arithmetic.series import Point, Series
from rag_core.arithmetic.units import one_currency

__all__ = ["numbers_of", "result_of"]


def result_of(asked: Asked, choice: Choice) -> Result | None:
    """Return the value of the operation over the operands of a choice, or None where they do not go together."""
    operands = choice.operands
    if not operands:
        return None
    units = {(series.unit.scale, series.unit.percent) for series, _ in operands}
    if len(units) > 1:
        return None
    numbers = numbers_of(asked, operands)
    percent = numbers[0].percent
    if asked.operation in ("count", "highest", "lowest"):
        return _compared(asked, operands)
    if asked.operation in ("ratio", "percentage of"):
        if percent or not one_currency(series.unit for series, _ in operands):
            return None
        share = _share(asked, numbers, choice.parts)
        # A part is not larger than its whole.
        return None if share and asked.kind == "part" and share.value > (100 if share.percent else 1) else share
    if (
        asked.kind == "signed"
        and numbers[0].value > 0
        and sum(number.value for number in numbers[1:]) > numbers[0].value
    ):
        # More is taken off than there is: the two are hardly of one thing.
        return None
    if asked.operation == "compound growth":
        first, last = operands[1][1].period, operands[0][1].period
        return compound(numbers[0], numbers[1], last.year - first.year) if first and last and not percent else None
    if asked.operation == "percentage change" and percent:
        # "By how many percent did the rate change" asks for the points; a percentage of a percentage is not clear.
        return calculate("change", numbers, falling=asked.falling) if asked.kind == "percent" else None
    if asked.operation == "change" and asked.kind == "points" and not percent:
        return None
    return calculate(asked.operation, numbers, falling=asked.falling, ordered=asked.kind == "signed")


def numbers_of(asked: Asked, operands: Sequence[tuple[Series, Point]]) -> list[Number]:
    """Return the operands as numbers; what only goes out, and is printed in brackets for it, as the amounts that go.

    Where some add and some take away, a sum and an average need the signs. A whole that is printed in brackets, such as an
    obligation, is an amount; a loss is below zero.
    """
    outgoing = {series for series, _ in operands if _goes_out(series, sized=bool(BY_AMOUNT.search(asked.text)))}
    if asked.operation in ("sum", "average") and len(outgoing) < len({series for series, _ in operands}):
        outgoing = set()
    whole = operands[-1][0]
    if asked.operation in ("ratio", "percentage of") and not is_shortfall(f"{whole.label} {whole.head} {whole.under}"):
        outgoing.add(whole)
    return [
        Number(
            abs(point.figure.value) if series in outgoing else point.figure.value,
            point.figure.places,
            series.unit.percent,
        )
        for series, point in operands
    ]


def _goes_out(series: Series, *, sized: bool) -> bool:
    values = [point.figure.value for point in series.points]
    name = f"{series.label} {series.head} {series.under}"
    named = is_outflow(name) or (sized and is_shortfall(name))
    return named and max(values) <= 0 and min(values) < 0


def _share(asked: Asked, numbers: list[Number], parts: int) -> Result | None:
    """Return the share of the first `parts` operands, summed, in the last."""
    if parts == 1:
        return calculate(asked.operation, numbers)
    total = sum((number.value for number in numbers[:parts]), Decimal(0))
    places = max(number.places for number in numbers[:parts])
    result = calculate(asked.operation, [Number(total, places), numbers[-1]])
    added = calculate("sum", numbers[:parts])
    if result is None or added is None:
        return None
    return replace(result, formula=f"({added.formula}) / {result.formula.rsplit(' / ', 1)[1]}")


def _compared(asked: Asked, operands: Sequence[tuple[Series, Point]]) -> Result | None:
    """Return the count of periods beyond a limit, or the place (from 0) of the highest or lowest, as the value."""
    values = [point.figure.value for _, point in operands]
    if asked.operation == "count":
        limit = _limit(asked, operands[0][0])
        if limit is None:
            return None
        inclusive = "at " in asked.text and ("at least" in asked.text or "at most" in asked.text)
        counted = [value < limit if asked.least else value > limit for value in values]
        if inclusive:
            counted = [count or value == limit for count, value in zip(counted, values, strict=True)]
        return Result(Decimal(sum(counted)), 0, "")
    target = min(values) if asked.least else max(values)
    if values.count(target) > 1:
        return None
    return Result(Decimal(values.index(target)), 0, "")


def _limit(asked: Asked, series: Series) -> Decimal | None:
    """Return the limit of a count in the unit of the series: "$3 million" is 3,000 where figures are in thousands."""
    figure = parse_figure(asked.limit)
    if figure is None or (figure.percent and not series.unit.percent) or (series.unit.percent and figure.currency):
        return None
    if not figure.scale:
        return figure.value
    return figure.value.scaleb(figure.scale - series.unit.scale)
