"""Whether an answer gives the right figures, however they are written: `$1,234.5m`, `(3.2%)`, `1.23 billion`."""

from __future__ import annotations

import re
from dataclasses import dataclass
from decimal import Decimal

from rag_core.language.currencies import CODE, SYMBOL

__all__ = ["Figure", "figures_in", "numeric_match"]

_SCALES = {
    ("k", "thousand", "thousands"): 3,
    ("lakh", "lakhs"): 5,
    ("m", "mm", "mn", "mln", "million", "millions"): 6,
    ("crore", "crores"): 7,
    ("b", "bn", "bln", "billion", "billions"): 9,
    ("t", "tn", "trn", "trillion", "trillions"): 12,
}
_POWERS = {word: power for words, power in _SCALES.items() for word in words}
# A single letter counts only where it touches the digits: "5 m" may be metres.
_WORDS = "|".join(sorted((word for word in _POWERS if len(word) > 1), key=len, reverse=True))
_FIGURE = re.compile(
    rf"""
    (?<![\w.])
    (?:(?P<open>\()\s?)?
    (?P<sign>(?<![\w)%])[-−–])?
    (?:(?:FY|{SYMBOL}|{CODE})\s?)?
    (?P<inner>[-−–(])?
    (?P<digits>\d{{1,3}}(?:,\d{{2,3}})+(?:\.\d+)? | \d+(?:\.\d+)? | \.\d+)
    (?P<early>\))?
    (?:
        (?P<letter>[kmbt]|mm|x) (?![a-z])
      | [\s-]? (?P<scale>{_WORDS}) (?![a-z])
    )?
    \s? (?P<percent>% | per\s?cent\b | percentage\ points?\b | pct\b | pp\b)?
    (?P<basis>bps?\b | basis\ points?\b)?
    (?P<late>\))?
    (?![a-z\d])
    """,
    re.VERBOSE | re.IGNORECASE,
)
# Names, not figures: the forms that companies file (10-K), and what is like COVID-19 or IFRS-9.
_NAME = re.compile(r"\b(?:\d{1,3}-[KQF]|[A-Z]{2,}-\d+)\b")
# A figure with fewer digits than the expected one is right only where it still has this many.
_LEAST_DIGITS = 3


@dataclass(frozen=True, slots=True)
class Figure:
    """A figure as written: its value, what one of its last digit is worth, and whether it is a percentage.

    `(1.5) million` has the value -1,500,000 and the unit 100,000; 3% has the value 3.
    """

    value: Decimal
    unit: Decimal
    percent: bool = False

    @property
    def digits(self) -> int:
        """Number of digits from the first that is not zero to the last written one."""
        return len(str(abs(int(self.value / self.unit)))) if self.unit else 0


def figures_in(text: str) -> list[Figure]:
    """Return the figures of a text in order; brackets around one make it negative, as accountants write it.

    Figures inside words (Q4, COVID-19, 10-K) and ordinals (3rd) are none. A year in brackets stays a year.
    """
    return [_figure(match) for match in _FIGURE.finditer(_NAME.sub(" ", text))]


def numeric_match(predicted: str, expected: str) -> bool | None:
    """Return whether `predicted` gives every figure of `expected`; None where `expected` has none.

    Order, spelling, currency and further figures do not matter; sign does. A figure is right where it rounds to the
    expected one at the expected one's last digit, or is the expected one rounded to three digits or more. A percentage
    matches the same number without its sign, and the fraction that it stands for.
    """
    wanted = dict.fromkeys(figures_in(expected))
    if not wanted:
        return None
    given = figures_in(predicted)
    return all(any(_same(candidate, figure) for candidate in given) for figure in wanted)


def _figure(match: re.Match[str]) -> Figure:
    written = match["digits"].replace(",", "")
    value = Decimal(written)
    unit = Decimal(1).scaleb(-len(written.partition(".")[2]))
    opened, closed = match["open"] or match["inner"] == "(", match["early"] or match["late"]
    year = bool(re.fullmatch(r"(?:19|20)\d\d", match["digits"]))
    negative = (opened and closed and not year) or match["sign"] or match["inner"] in ("-", "−", "–")
    power = _POWERS.get((match["scale"] or match["letter"] or "").lower(), 0)
    if match["basis"]:
        power -= 2
    value, unit = value.scaleb(power), unit.scaleb(power)
    return Figure(-value if negative else value, unit, bool(match["percent"] or match["basis"]))


def _same(given: Figure, wanted: Figure) -> bool:
    if given.percent == wanted.percent:
        return _agree(given, wanted)
    if _agree(given, wanted):
        return True
    return _agree(_fraction(given), wanted) if given.percent else _agree(given, _fraction(wanted))


def _fraction(figure: Figure) -> Figure:
    return Figure(figure.value.scaleb(-2), figure.unit.scaleb(-2))


def _agree(given: Figure, wanted: Figure) -> bool:
    difference = abs(given.value - wanted.value)
    if difference * 2 <= wanted.unit and (given.value * wanted.value > 0 or difference == 0):
        return True
    return given.unit > wanted.unit and given.digits >= _LEAST_DIGITS and difference * 2 <= given.unit
