"""What the heads of a table say of each column: its period, what tells it from others, in what it counts."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from rag_core.arithmetic.units import head_unit, is_unscaled
from rag_core.arithmetic.wording import words
from rag_core.language.periods import Period, duration, find_periods, period_of, quarter_head, without_periods

__all__ = ["Column", "read_columns"]

# A column of these is compared with others already, or points elsewhere: its cells are no operands.
_DERIVED = re.compile(
    r"\b(?:change|changes|variance|var|increase|decrease|growth|movement|difference|better|worse|notes?|refs?|page)\b"
    r"|[+-]\s?/\s?[+-]|\b(?:vs|versus)\b|^\s*[%Δ]\s*$|\bchg\b",
    re.IGNORECASE,
)
_REFERENCE = re.compile(r"\b(?:see |refer to )?notes? \d+\b", re.IGNORECASE)
# What heads say beside their period without telling two columns apart.
_FILLER = re.compile(
    r"\bexcept (?:for )?(?:percentages?|(?:share and )?per[- ]share (?:amounts|data|information))\b"
    r"|\b(?:restated|reclassified|audited|unaudited|as (?:at|of|reported|adjusted|restated)|see|note|notes|ended|ending|end|year|"
    r"years|fiscal|for|the|at|as|of|in|and|months|month|quarter|quarters|three|six|nine|twelve|period|periods|financial|on|"
    r"million|millions|thousand|thousands|billion|billions|dollars|euros|usd|eur|gbp|rmb|chf|inr|m|mn|bn|us|consolidated)\b"
    r"|\b5[23][\s-]weeks?\b|\b\d{1,2}[\s-]months?\b|\(\d{1,2}\)|[$€£¥₹'’‘*(),.:]",
    re.IGNORECASE,
)
_EXACT_PERCENT = re.compile(r"\d\s*%")


@dataclass(frozen=True, slots=True)
class Column:
    """One column. `name` is what tells it apart beside its period, `words` its telling words, `shared` what all share.

    `months` is how long its period lasts, 0 where that is not said. `currency` and `scale` are those that its head
    names (None for no scale), `percent` that it holds percentages, `unscaled` that it stands outside of any scale.
    `derived` says that its cells compare others, `yearly` that its head names a year.
    """

    period: Period | None
    name: str
    words: tuple[str, ...]
    shared: str
    months: int
    currency: str
    scale: int | None
    percent: bool
    unscaled: bool
    derived: bool
    yearly: bool


def read_columns(heads: Sequence[str]) -> tuple[Column, ...]:
    """Return what `heads`, the words above each column, say."""
    apart = _told_by_period(heads)
    return tuple(_column(head, apart) for head in heads)


def _column(head: str, apart: bool) -> Column:
    plain = without_periods(head)
    quarter = quarter_head(head)
    yearly = _has_year(head)
    name = "" if quarter else " ".join(_FILLER.sub(" ", plain).split())
    # Where the years tell the columns apart, what else stands above them is said of all.
    shared, name = (name, "") if apart and yearly else ("", name)
    currency, scale, percent = head_unit(plain)
    return Column(
        period=Period(0, quarter) if quarter else period_of([head]),
        name=name,
        words=words(name),
        shared=shared,
        months=duration(head),
        currency=currency,
        scale=scale,
        percent=percent and not _EXACT_PERCENT.search(head),
        unscaled=is_unscaled(plain, ()),
        derived=_is_compared(head) or bool(_DERIVED.search(_REFERENCE.sub(" ", plain))),
        yearly=yearly,
    )


def _told_by_period(heads: Sequence[str]) -> bool:
    """Tell whether the columns with a year all have different periods: then nothing else tells them apart."""
    periods = [period_of([head]) for head in heads if _has_year(head) and not _is_compared(head)]
    return len(periods) > 1 and None not in periods and len(set(periods)) == len(periods)


def _has_year(text: str) -> bool:
    return any(period.year for period, _, _ in find_periods(text))


def _is_compared(head: str) -> bool:
    """Tell whether a column's head names two years, which its figures compare."""
    return len({period.year for period, _, _ in find_periods(head) if period.year}) > 1
