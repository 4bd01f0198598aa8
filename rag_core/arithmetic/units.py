"""In what a table's figures are counted: currency, scale, percent, as its heads, the lines above it and its cells say."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from rag_core.language.currencies import CODE, SCALE_WORD, SCALES, SYMBOL, WRITTEN

__all__ = [
    "Unit",
    "counts_things",
    "head_unit",
    "is_moneyless",
    "is_unscaled",
    "minor_currency",
    "one_currency",
    "price_currency",
    "prose_unit",
]

_WORDS = {
    **SCALES,
    "mill": 6,
    "mio": 6,
    "mn": 6,
    "m": 6,
    "bn": 9,
    "b": 9,
    "000": 3,
    "k": 3,
}
_NAMED = {"dollar": "$", "euro": "EUR", "pound": "£", "yen": "JPY", "renminbi": "RMB", "rupee": "INR", "franc": "CHF"}
_NAME = re.compile(r"\b(?:U\.?S\.? )?(dollar|euro|pound(?! sterling)|yen|renminbi|rupee|franc)s?\b", re.IGNORECASE)
_CURRENCY = re.compile(rf"({SYMBOL})|\b({CODE})(?![A-Za-z])")
_WORD = re.compile(rf"(?<!per )(?:\b|(?<=in))({SCALE_WORD})s?\b", re.IGNORECASE)
_SHORT = re.compile(rf"(?:{SYMBOL}|\b{CODE})\s?['’‘`]?\s?(mn|mio|mill|m|bn|b|k|000s?)\b", re.IGNORECASE)
_ZEROS = re.compile(r"['’‘`]\s?000s?\b|\b000s\b|\b000['’]s\b")
_ALONE = re.compile(r"[(]?\s*(mn|bn|m)\s*[)]?", re.IGNORECASE)
_PERCENT = re.compile(r"%|\bper ?cent\b|\bpercentages?\b", re.IGNORECASE)
# Prose speaks of millions for many reasons; only these say in what the figures are printed.
_STATED = re.compile(
    rf"\b(?:in|of)\s+(?:[A-Z]{{2,3}}\s|{SYMBOL}\s?|Rs\.?\s|U\.S\.\s|us\s)?(?:\w+\s+(?:of\s+)?)?(thousands|millions|billions|lakhs?|crores?)\b"
    rf"|(?:\b(?:in|{CODE})|{SYMBOL})\s+({SCALE_WORD})s?\b(?!\s+(?:in|to|for|from|at|on|and|or|as)\b)"
    rf"|\b({SCALE_WORD})s?\s+(?:of\s+)?(?:U\.?S\.?\s)?(?:dollars|euros|pounds|yen|rupees|francs)\b"
    rf"|(?:{SYMBOL}|\b{CODE})\s?['’‘`]?\s?(000)s?\b|\(?['’‘`](000)s?\b",
    re.IGNORECASE,
)
# "in thousands, except percentages": what is excepted is the lesser part.
_EXCEPTED = re.compile(r"\bexcept\b[^)|]*", re.IGNORECASE)
_AMOUNT_BEFORE = re.compile(r"\d\s*$")
_PER = re.compile(
    r"\bper[\s-]+(?:\w+[\s-]+){0,3}(?:share|unit|day|square|ton|tonne|ounce|barrel|employee|customer|store|room|adr|ads)s?\b"
    r"|\beps\b|\bratio\b|\btimes\b|\([^)]*\b(?:years|days|months|times|number)\b[^)]*\)|\bdividend yield\b"
    r"|\bexchange rates?\b(?! (?:change|diff|effect|gain|loss|adjust|move))",
    re.IGNORECASE,
)
# What counts people or things, in ones; and what counts no money, in whatever scale.
_THINGS = re.compile(
    r"\bfull[- ]time equivalents?\b|\bftes?\b|\bhead ?counts?\b|\ball employees\b|\bemployees at\b|\bpersons employed\b"
    r"|\b(?:numbers?|no\.) of (?!(?:\w+ )?(?:shares|units|options|awards))",
    re.IGNORECASE,
)
_MONEYLESS = re.compile(
    rf"{_THINGS.pattern}|\bnumbers? of\b|\bratio\b|\btimes\b|\([^)]*\b(?:years|days|months|number|x)\b[^)]*\)",
    re.IGNORECASE,
)
_MINOR = re.compile(r"\b(pence|cents)\b", re.IGNORECASE)
_SHARES = re.compile(r"\bshares?\b|\bunits?\b|\boptions\b|\bawards?\b", re.IGNORECASE)
_EXCEPT_SHARES = re.compile(r"\bexcept\b[^.)]{0,40}\b(?:share|unit)s?\b(?! amounts)", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Unit:
    """`currency` is a sign or code ("$", "EUR"), `scale` a power of ten (3 for thousands), `percent` says that it is one."""

    currency: str = ""
    scale: int = 0
    percent: bool = False


def head_unit(text: str) -> tuple[str, int | None, bool]:
    """Return (currency, scale, percent) that a column head, a corner cell or a row label names; scale None for no word."""
    return _currency(text), _head_scale(text), bool(_PERCENT.search(_EXCEPTED.sub(" ", text)))


def prose_unit(text: str) -> tuple[str, int | None]:
    """Return (currency, scale) of the last phrase of `text` that says in what figures are given; scale None for none."""
    for found in reversed(list(_STATED.finditer(text))):
        # "4.1 million dollars" is an amount, "in millions of dollars" a unit.
        if not _AMOUNT_BEFORE.search(text[max(0, found.start() - 8) : found.start()]):
            word = next(group for group in found.groups() if group)
            around = text[max(0, found.start() - 12) : found.end() + 20]
            return _currency(around), _WORDS[_singular(word)]
    return "", None


def is_unscaled(label: str, statements: Sequence[str]) -> bool:
    """Tell whether a row stands outside of its table's scale: per share, days, ratios, people, shares where so excepted."""
    if _PER.search(label):
        return True
    if minor_currency(label) or _THINGS.search(label):
        return True
    return bool(_SHARES.search(label)) and any(_EXCEPT_SHARES.search(text) for text in statements)


def counts_things(corner: str) -> bool:
    """Tell whether a table's corner says that all of it counts people or things, in ones."""
    currency, scale, _ = head_unit(corner)
    return not currency and scale is None and bool(_THINGS.search(corner))


def is_moneyless(label: str) -> bool:
    """Tell whether a row counts people, things, times or days, so that no currency of its table is its own."""
    return bool(_MONEYLESS.search(label))


def minor_currency(label: str) -> str:
    """Return the hundredth of a currency that a row is printed in ("pence", "cents"), or nothing."""
    found = _MINOR.search(label)
    return found[1].lower() if found else ""


def _singular(word: str) -> str:
    word = word.lower()
    return word.rstrip("s") if len(word) > 2 else word


def _head_scale(text: str) -> int | None:
    if found := _WORD.search(text) or _SHORT.search(text):
        return _WORDS[_singular(found[1])]
    if _ZEROS.search(text):
        return 3
    return _WORDS[found[1].lower()] if (found := _ALONE.fullmatch(text.strip())) else None


def _currency(text: str) -> str:
    if found := _CURRENCY.search(text):
        return found[1] or found[2]
    if found := _NAME.search(text):
        return _NAMED[found[1].lower()]
    return ""


def one_currency(units: Iterable[Unit]) -> bool:
    """Tell whether all amounts that name a currency name the same one, however it is written."""
    return len({WRITTEN.get(unit.currency, unit.currency) for unit in units if unit.currency}) < 2


def price_currency(units: Sequence[Unit]) -> str:
    """Return the currency of a ratio of money to what is none, a price of one, or nothing where the ratio is a pure number."""
    money, things = units[0], units[-1]
    return money.currency if not (things.currency or things.percent or money.percent) else ""
