"""A printed figure as an exact number, and a number as it is printed."""

from __future__ import annotations

import re
from dataclasses import dataclass
from decimal import ROUND_HALF_UP, Decimal, localcontext

from rag_core.language.currencies import CODE, SCALE_WORD, SCALES, SYMBOL

__all__ = ["DIGITS", "Figure", "find_figures", "parse_figure", "plain_number", "rounded", "shown"]

# Significant digits kept while computing: more than any statement prints.
DIGITS = 40
_LONGEST = 40

_SIGNS = "-\u2212\u2012\u2013\u2014"
_CURRENCY = rf"(?:{SYMBOL}|{CODE}(?![A-Za-z]))"
# With thousands parted by commas, or by apostrophes as in Switzerland.
_GROUPED = r"\d{1,3}(?:,\d{2,3})*,\d{3}(?:\.\d+)?|\d{1,3}(?:['\u2019]\d{3})+(?:\.\d+)?|\d+(?:\.\d+)?|\.\d+"
_PARTING = str.maketrans("", "", ",'\u2019")
_CELL = re.compile(
    rf"""
    (?P<open>[(])?\s*(?P<sign>[{_SIGNS}+])?\s*(?P<currency>{_CURRENCY})?\s*
    (?P<open2>[(])?\s*(?P<sign2>[{_SIGNS}])?\s*
    (?P<digits>{_GROUPED})
    \s*(?P<close>[)])?
    \s*(?P<unit>%|(?:percent|per\ cent|bps?|basis\ points|x|times|m|mn|bn|k|(?:{SCALE_WORD})s?)\b)?
    \s*(?P<close2>[)])?\s*(?P<after>{_CURRENCY})?
    (?:\s*(?:\*+|[†‡]|\(\d{{1,2}}\)|\([a-z]\)))*
    """,
    re.VERBOSE | re.IGNORECASE,
)
_NOTHING = re.compile(rf"[(]?\s*(?:{_CURRENCY})?\s*[(]?\s*(?:[{_SIGNS}]+|nil)\s*%?\s*[)]?", re.IGNORECASE)
_IN_PROSE = re.compile(
    rf"(?<![\w.,])(?P<currency>{_CURRENCY})?\s?(?P<open>[(])?(?P<sign>[-\u2212])?(?P<digits>{_GROUPED})(?P<close>[)])?"
    rf"(?:\s?(?P<percent>%|percent\b|per cent\b)|\s(?P<scale>{SCALE_WORD})s?\b|(?P<short>m|mn|bn)\b)?(?![\w,]?\d)",
    re.IGNORECASE,
)
_SCALES = {"k": 3, "m": 6, "mn": 6, "bn": 9, **SCALES}


@dataclass(frozen=True, slots=True)
class Figure:
    """A figure as printed in `text`: its exact `value`, before any scale, and how it was written.

    `places` counts decimals. `scale` is a power of ten printed beside it (6 for "4.1 million"), 0 for none. `nothing`
    is true for a dash, which stands for zero.
    """

    text: str
    value: Decimal
    places: int = 0
    percent: bool = False
    currency: str = ""
    scale: int = 0
    nothing: bool = False


def parse_figure(text: str) -> Figure | None:
    """Return the figure that a table cell is, or None where it is none, or not surely one ("$ 11,54", "11-14")."""
    text = text.strip()
    if not text or len(text) > _LONGEST:
        return None
    if _NOTHING.fullmatch(text):
        return Figure(text, Decimal(0), percent="%" in text, nothing=True)
    found = _CELL.fullmatch(text)
    if found is None:
        return None
    signs = sum(bool(found[name]) and found[name] != "+" for name in ("sign", "sign2"))
    # A closing bracket may have been cut off into a neighbouring cell; an opening one says enough.
    negative = bool(signs) or bool(found["open"] or found["open2"])
    unit = (found["unit"] or "").lower()
    if unit.startswith(("bp", "basis", "x", "times")):
        unit = ""
    percent = unit in ("%", "percent", "per cent")
    digits = found["digits"].translate(_PARTING)
    value = Decimal(digits)
    currency = found["currency"] or found["after"] or ""
    return Figure(
        text, -value if negative else value, _places(digits), percent, currency, _SCALES.get(unit.rstrip("s"), 0)
    )


def find_figures(text: str) -> list[tuple[Figure, int, int]]:
    """Return the figures of a sentence with their spans in it, in order; years and dates among them."""
    result = []
    for found in _IN_PROSE.finditer(text):
        digits = found["digits"].translate(_PARTING)
        negative = bool(found["sign"]) or bool(found["open"] and found["close"])
        scale = _SCALES.get((found["scale"] or found["short"] or "").lower(), 0)
        value = -Decimal(digits) if negative else Decimal(digits)
        # A bracket without its other half belongs to the sentence.
        text = found.group().lstrip(" " if found["close"] else " (")
        start = found.end() - len(text)
        text = text.rstrip() if found["open"] else text.rstrip(" )")
        figure = Figure(text, value, _places(digits), bool(found["percent"]), found["currency"] or "", scale)
        result.append((figure, start, start + len(text)))
    return result


def _places(digits: str) -> int:
    return len(digits.partition(".")[2])


def rounded(value: Decimal, places: int) -> Decimal:
    """Return `value` to so many decimals, halves away from zero as statements round; never a negative zero."""
    with localcontext() as context:
        context.prec = DIGITS + 20
        result = value.quantize(Decimal(1).scaleb(-places), rounding=ROUND_HALF_UP)
    return abs(result) if result == 0 else result


def plain_number(value: Decimal, places: int, least: int = 0) -> str:
    """Return `value` with thousands separators and an ASCII sign, to `places` decimals; zeros after `least` are dropped."""
    text = f"{rounded(value, places):,f}"
    while places > least and text.endswith("0"):
        text, places = text[:-1], places - 1
    return text.rstrip(".") if places == 0 else text


def shown(value: Decimal, places: int) -> str:
    """Return an operand as a formula prints it: with a true minus sign, and brackets round what is negative."""
    text = plain_number(abs(value), places, places)
    return f"(\u2212{text})" if value < 0 else text
