"""The operations themselves: exact decimals in, the rounded value and its formula out."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal, localcontext

from rag_core.arithmetic.figures import DIGITS, plain_number, rounded, shown

__all__ = [
    "Number",
    "Result",
    "bracketed",
    "calculate",
    "compound",
    "is_outflow",
    "is_shortfall",
    "result_text",
    "summed",
]

_MINUS = "\u2212"
# Rows of these names print what goes out in brackets; their amount is meant, not its sign.
_OUTFLOW = re.compile(
    r"\b(?:expenses?|costs?|expenditures?|paid|payments?|purchases?|repurchases?|repayments?|depreciation|amorti[sz]ation|"
    r"taxes|taxation|dividends|forfeited|forfeitures|vested|exercised|cancel+ed|lapsed|expired|released|redeemed|disposals|"
    r"write-?offs?|less|deductions?|additions|used in|buy-?backs?|allowances?|provisions?|impairments?)\b",
    re.IGNORECASE,
)
# What is printed below zero, and said to grow or shrink by its size.
_SHORTFALL = re.compile(r"\b(?:deficits?|loss|losses|shortfalls?|net debt|net borrowings|outflows?)\b", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Number:
    """An operand as it enters the formula: its value, and to how many decimals it is printed."""

    value: Decimal
    places: int
    percent: bool = False


@dataclass(frozen=True, slots=True)
class Result:
    """A value, to how many decimals it is shown (`least` are kept even where zero), whether in percent, and its formula."""

    value: Decimal
    places: int
    formula: str
    percent: bool = False
    points: bool = False
    least: int = 0


def is_outflow(label: str) -> bool:
    """Tell whether a row's name says that its figures in brackets are amounts that go out."""
    return bool(_OUTFLOW.search(label))


def is_shortfall(label: str) -> bool:
    """Tell whether a row's name says that it lies below zero: it grows where its figure falls."""
    return bool(_SHORTFALL.search(label))


def calculate(
    operation: str, numbers: Sequence[Number], *, falling: bool = False, ordered: bool = False
) -> Result | None:
    """Return the result of `operation` over `numbers`, or None where it has none (a base of zero, or below it).

    Two-sided operations take the later or first one first: change (new, old), ratio (part, whole). `falling` asks for a
    decrease, `ordered` for a difference with its sign.
    """
    with localcontext() as context:
        context.prec = DIGITS
        return _calculate(operation, numbers, falling, ordered)


def _calculate(operation: str, numbers: Sequence[Number], falling: bool, ordered: bool) -> Result | None:
    places = max(number.places for number in numbers)
    percent = all(number.percent for number in numbers)
    texts = [shown(number.value, number.places) for number in numbers]
    if operation in ("sum", "average"):
        return _total(operation, numbers, texts, places, percent)
    first, second = numbers[0].value, numbers[1].value
    if operation == "difference" and len(numbers) > 2:
        rest = sum((number.value for number in numbers[1:]), Decimal(0))
        return Result(first - rest, places, f" {_MINUS} ".join(texts), percent, percent, places)
    if operation in ("change", "difference"):
        if operation == "difference" and not ordered and first < second:
            falling = True
        if falling:
            first, second, texts = second, first, texts[::-1]
        return Result(first - second, places, f"{texts[0]} {_MINUS} {texts[1]}", percent, percent, places)
    if second == 0:
        return None
    if operation == "percentage change":
        # From a loss to a profit there is no meaningful rate.
        if second < 0 < first:
            return None
        formula = f"({texts[0]} {_MINUS} {texts[1]}) / {texts[1]}"
        if falling:
            formula = f"({texts[1]} {_MINUS} {texts[0]}) / {texts[1]}"
        rate = (first - second) / second * 100
        return Result(-rate if falling else rate, 2, formula, True)
    if operation == "percentage of":
        return Result(first / second * 100, 2, f"{texts[0]} / {texts[1]}", True)
    if operation == "ratio":
        return Result(first / second, 2, f"{texts[0]} / {texts[1]}")
    return None


def _total(operation: str, numbers: Sequence[Number], texts: list[str], places: int, percent: bool) -> Result:
    total = sum((number.value for number in numbers), Decimal(0))
    added = " + ".join(texts)
    if operation == "sum":
        return Result(total, places, added, percent, least=places)
    value = total / len(numbers)
    # An average has digits that its operands have not; two decimals are shown, or as many as they have.
    return Result(value, max(places, 2), f"({added}) / {len(numbers)}", percent, least=places)


def compound(new: Number, old: Number, years: int) -> Result | None:
    """Return the compound annual growth rate in percent over `years`, None where an end is not positive."""
    if new.value <= 0 or old.value <= 0 or years < 1:
        return None
    with localcontext() as context:
        context.prec = DIGITS
        rate = ((new.value / old.value) ** (Decimal(1) / years) - 1) * 100
    formula = f"({shown(new.value, new.places)} / {shown(old.value, old.places)})^(1/{years}) {_MINUS} 1"
    return Result(rate, 2, formula, True)


def result_text(result: Result) -> str:
    """Return the value as it is shown, without its unit."""
    return plain_number(rounded(result.value, result.places), result.places, result.least)


def summed(adds: Sequence[Number], takes: Sequence[Number]) -> tuple[Decimal, str, int]:
    """Return what is left of figures that are added and taken away, the formula, and its decimals."""
    value = sum((number.value for number in adds), Decimal(0)) - sum((number.value for number in takes), Decimal(0))
    formula = " + ".join(shown(number.value, number.places) for number in adds)
    formula += "".join(f" {_MINUS} {shown(number.value, number.places)}" for number in takes)
    return value, formula, max(number.places for number in (*adds, *takes))


def bracketed(formula: str, adds: Sequence[Number], takes: Sequence[Number]) -> str:
    """Return the formula of a sum, in brackets where it has more than one figure."""
    return f"({formula})" if len(adds) + len(takes) > 1 else formula
