"""Measures that finance knows by name: what asks for one, and the line items that it is made of.

The definitions are the textbooks' (as in Robinson et al., International Financial Statement Analysis), with balances at the end
of a period and a year of 365 days.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from rag_core.arithmetic.phrases import CHANGE, FILLERS, NOT_FIGURES
from rag_core.arithmetic.wording import GENERIC, LIGHT, folded, words
from rag_core.language.periods import Period, find_periods, without_periods

__all__ = ["DAYS", "Measure", "NamedMeasure", "named_measure"]

DAYS = 365
_MINUS, _TIMES = "\u2212", "\u00d7"
_LONGEST = 400


@dataclass(frozen=True, slots=True)
class Measure:
    """A measure: what asks for it, the line items that are added, taken away and divided by, and what it is counted in.

    `kind` is "amount" for one in the items' own unit, else "ratio", "percent" or "days".
    """

    asked: re.Pattern[str]
    kind: str
    adds: tuple[str, ...]
    takes: tuple[str, ...] = ()
    under: tuple[str, ...] = ()

    def definition(self) -> str:
        """Return the formula in words."""
        above = f" {_MINUS} ".join([" + ".join(self.adds), *self.takes])
        if not self.under:
            return above
        above = f"({above})" if len(self.adds) + len(self.takes) > 1 else above
        return f"{above} / {' + '.join(self.under)}" + (f" {_TIMES} {DAYS}" if self.kind == "days" else "")


def _measure(asked: str, kind: str, adds: str, takes: str = "", under: str = "") -> Measure:
    above, less, below = (tuple(part.split("; ")) if part else () for part in (adds, takes, under))
    return Measure(re.compile(rf"\b(?:{asked})\b"), kind, above, less, below)


# The first that a question names is meant; what is part of another's name comes after it.
_MEASURES = (
    _measure("current ratio|working capital ratio", "ratio", "current assets", "", "current liabilities"),
    _measure("quick ratio|acid[- ]test(?: ratio)?", "ratio", "current assets", "inventory", "current liabilities"),
    _measure("cash ratio", "ratio", "cash", "", "current liabilities"),
    _measure("(?:net )?working capital|net current assets", "amount", "current assets", "current liabilities"),
    _measure("free cash flows?|fcf", "amount", "operating cash flow", "capital expenditure"),
    _measure("effective (?:income )?tax rate|etr", "percent", "income taxes", "", "income before taxes"),
    _measure(
        "ebitda margin", "percent", "operating income; depreciation and amortization", "", "revenue"
    ),
    _measure("ebitda", "amount", "operating income; depreciation and amortization"),
    _measure("gross (?:profit )?margin", "percent", "revenue", "cost of sales", "revenue"),
    _measure("gross profit", "amount", "revenue", "cost of sales"),
    _measure("net debt", "amount", "debt", "cash"),
    _measure("(?:total )?debt[- ]to[- ](?:total )?assets(?: ratio)?", "ratio", "debt", "", "total assets"),
    _measure("debt[- ](?:to[- ])?equity(?: ratio)?|d/e(?: ratio)?", "ratio", "debt", "", "equity"),
    _measure("liabilities[- ]to[- ]assets(?: ratio)?", "ratio", "total liabilities", "", "total assets"),
    _measure("equity multiplier", "ratio", "total assets", "", "equity"),
    _measure("equity ratio", "percent", "equity", "", "total assets"),
    _measure("interest cover(?:age)?(?: ratio)?|times interest earned", "ratio", "operating income", "", "interest expense"),
    _measure("(?:return on (?:total )?assets|roa)", "percent", "net income", "", "total assets"),
    _measure(
        r"return on (?:(?:share|stock)holders'? )?equity|roe", "percent", "net income", "", "equity"
    ),
    _measure(
        "fixed[- ]asset turnover|pp&e turnover", "ratio", "revenue", "", "property, plant and equipment"
    ),
    _measure("(?:total )?asset turnover(?: ratio)?", "ratio", "revenue", "", "total assets"),
    _measure("(?:inventory|stock) turn(?:over|s)(?: ratio)?", "ratio", "cost of sales", "", "inventory"),
    _measure("(?:accounts )?receivables? turnover(?: ratio)?", "ratio", "revenue", "", "receivables"),
    _measure("days(?:'? sales)? (?:sales )?outstanding|dso|(?:debtor|receivables?) days", "days", "receivables", "", "revenue"),
    _measure(
        "days (?:of )?inventory(?: outstanding| on hand)?|days'? sales (?:in|of) inventory|dio|inventory days",
        "days", "inventory", "", "cost of sales",
    ),
    _measure("days payables? outstanding|dpo|(?:payables?|creditor) days", "days", "payables", "", "cost of sales"),
    _measure("(?:dividend )?pay-?out ratio", "percent", "dividends", "", "net income"),
    _measure("operating cash flow ratio", "ratio", "operating cash flow", "", "current liabilities"),
    _measure("(?:capex|capital) intensity", "percent", "capital expenditure", "", "revenue"),
)  # fmt: skip
# Questions about more than the figure of one period, and about one that they define in their own way.
_OTHERWISE = re.compile(
    r"\b(?:average|mean|defined as|definition|target|covenant|minimum|maximum|forecast|expect\w*|guidance|budget\w*|adjusted"
    r"|compar\w+|versus|vs|better|worse|improv\w*|higher|lower|than|between|excluding|segment\w*|division\w*|quarter\w*|per share"
    r"|months?|grow\w*|grew|rose|fell|chang\w*|trend|highest|lowest|which)\b"
)
# Words in which a question says how it wants the figure, and of what it is to be made.
_SAID = frozenset(
    words(
        "ratio rate margin usd dollars million thousand percent answer rounded round decimal decimals place places statement "
        "statements financial income balance sheet cash flow position based using details shown data end year fy level company "
        "calculate compute determine days number times x high low large big good"
    )
)


@dataclass(frozen=True, slots=True)
class NamedMeasure:
    """A measure that a question asks for, the year that it names, and the words that say whose or of what it is."""

    measure: Measure
    period: Period | None
    words: frozenset[str]


def named_measure(question: str) -> NamedMeasure | None:
    """Return the measure whose figure `question` asks for, of one year or the latest; None where it asks for something else."""
    text = folded(" ".join(question.split()))[:_LONGEST]
    found = next(((measure, match) for measure in _MEASURES if (match := measure.asked.search(text))), None)
    if found is None or any(pattern.search(text) for pattern in (NOT_FIGURES, _OTHERWISE, CHANGE)):
        return None
    measure, match = found
    periods = list(dict.fromkeys(period for period, _, _ in find_periods(text)))
    if len(periods) > 1 or any(period.quarter or period.half or not period.year for period in periods):
        return None
    rest = f"{text[: match.start()]} {text[match.end() :]}"
    named = set(words(FILLERS.sub(" ", without_periods(rest)))) - GENERIC - LIGHT - _SAID
    return NamedMeasure(measure, periods[0] if periods else None, frozenset(named))
