"""Amounts as the report prints them, from short expressions over the ledger.

    revenue          378,830   whole thousands; below zero in brackets, zero as a hyphen
    -cost_of_sales   (206,060) with the sign turned
    revenue~         378.8     millions, one decimal
    revenue^         11.9%     change on the year before
    tax%revenue      3.0%      share of another line, one decimal
    profit/shares    1.63      quotient, two decimals
    cash@2021                  in that year; cash@-1: in the year before the table's

The first minus and the last `@` are read first. A hyphen and brackets are how the report says nil and negative.
"""

from __future__ import annotations

import re

from sample_files.build.ledger import Ledger

__all__ = ["DEFAULT_YEAR", "amount", "amount_of", "fill"]

DEFAULT_YEAR = 2023
_PLACEHOLDER = re.compile(r"\{\{(?!table )([^{}]+)\}\}")


def amount(value: int) -> str:
    """Return whole thousands as printed: `1,234`, `(1,234)`, or `-` for nil."""
    if value == 0:
        return "-"
    return f"({-value:,})" if value < 0 else f"{value:,}"


def amount_of(ledger: Ledger, expression: str, year: int = DEFAULT_YEAR) -> str:
    """Return an expression's amount as printed. Raises KeyError for an unknown line or year."""
    expression, year = split_year(expression.strip(), year)
    for sign, decimals in (("%", 1), ("/", 2)):
        if sign in expression:
            upper, lower = (value_of(ledger, part, year) for part in expression.split(sign))
            return f"{100 * upper / lower:.1f}%" if sign == "%" else f"{upper / lower:.{decimals}f}"
    if expression.endswith("~"):
        return f"{value_of(ledger, expression[:-1], year) / 1_000:,.1f}"
    if expression.endswith("^"):
        before, now = (value_of(ledger, expression[:-1], when) for when in (year - 1, year))
        return f"{100 * (now - before) / before:.1f}%"
    return amount(value_of(ledger, expression, year))


def value_of(ledger: Ledger, expression: str, year: int) -> int:
    """Return a line's amount, its sign turned where the expression begins with a minus."""
    expression, year = split_year(expression, year)
    return -ledger(expression[1:], year) if expression.startswith("-") else ledger(expression, year)


def split_year(expression: str, year: int) -> tuple[str, int]:
    """Split `line@2021` or `line@-1` into the line and the year it asks for."""
    line, mark, when = expression.partition("@")
    if not mark:
        return line, year
    return line, year + int(when) if when.startswith("-") else int(when)


def fill(ledger: Ledger, text: str) -> str:
    """Return the text with every `{{expression}}` replaced by its amount."""
    return _PLACEHOLDER.sub(lambda found: amount_of(ledger, found[1]), text)
