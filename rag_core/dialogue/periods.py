"""Periods named in a question (years, fiscal years, quarters, months, dates), and steps from one to another.

"The year before" after a question about 2022 means 2021, after one about the third quarter of 2023 the third quarter of
2022. A period keeps the words it was written in, so that a step changes the figures alone: `FY22` gives `FY21`.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Callable
from dataclasses import dataclass

__all__ = ["Period", "Step", "find_periods", "find_step", "is_vague", "shift"]

_MONTHS = (
    "january february march april may june july august september october november december".split(),
    "jan feb mar apr may jun jul aug sep oct nov dec".split(),
)
_ORDINALS = "first second third fourth".split()
_NUMBERS = {"a": 1, "an": 1, "one": 1, "two": 2, "three": 3, "four": 4, "five": 5, "six": 6}
_MONTH = rf"(?P<month>{'|'.join(_MONTHS[0])}|(?:{'|'.join(_MONTHS[1])}|sept)\.?)"
_YEAR = r"(?P<year>(?:19|20)\d{2})(?![\d%]|[.,]\d)"
_SHORT_YEAR = r"(?P<short>\d{2})\b"
_DAY = r"\d{1,2}(?:st|nd|rd|th)?"
_QUARTER = rf"(?:Q(?P<quarter>[1-4])|(?P<ordinal>{'|'.join(_ORDINALS)})[ -]quarter)"
_OF = r"(?:\s+of)?(?:\s+(?:the\s+)?(?:fiscal|financial|FY)(?:\s+year)?)?[\s,]*"


def _numbered(pattern: str) -> str:
    """Make group names unique by a number, so that alternatives can share the parts they are built from."""
    count = itertools.count()
    return re.sub(r"\(\?P<(\w+)>", lambda match: f"(?P<{match[1]}_{next(count)}>", pattern)


_PERIOD = re.compile(
    _numbered(
        rf"(?<![\w.,$€£-])(?:"
        rf"{_QUARTER}{_OF}{_YEAR}|(?:FY\s?)?{_YEAR}\s?Q(?P<after>[1-4])\b|{_QUARTER}\b"
        rf"|(?:{_DAY}\s+)?{_MONTH}(?:\s+{_DAY})?,?\s+{_YEAR}|{_YEAR}-(?P<iso>0[1-9]|1[0-2])\b"
        rf"|(?:fiscal(?:\s+year)?|financial\s+year|FY)\s*{_YEAR}|FY\s?['’]?{_SHORT_YEAR}|{_YEAR}"
        rf"|(?:{'|'.join(_MONTHS[0][:4] + _MONTHS[0][5:])})\b"
        rf")"
    ),
    re.IGNORECASE,
)
_UNIT = r"(?:(?:fiscal|financial|calendar|business)\s+)?(?P<unit>year|quarter|month|period|one)s?"
_COUNT = r"(?P<count>an?|one|two|three|four|five|six|\d{1,2})"
_BACK, _ON = r"before|earlier|prior|previously|ago", r"after|later|afterwards?|on"
_THAT = r"(?:\s+(?:that|this|it))?"
_RELATIVE = re.compile(
    _numbered(
        rf"\b(?:in\s+)?the\s+(?P<run>two|three|four|five|\d)\s+{_UNIT}\s+(?:(?P<back>{_BACK})|(?P<on>{_ON})){_THAT}\b"
        rf"|\b(?:(?:in\s+)?the\s+)?{_UNIT}\s+(?:(?P<back>{_BACK})|(?P<on>{_ON}|following)){_THAT}\b"
        rf"|\b{_COUNT}\s+{_UNIT}\s+(?:(?P<back>{_BACK})|(?P<on>{_ON})){_THAT}\b"
        rf"|\b(?:the\s+)?(?:(?P<back>previous|prior|preceding|last|earlier)|(?P<on>next|following|subsequent|later))\s+"
        rf"{_UNIT}\b"
    ),
    re.IGNORECASE,
)
_VAGUE = re.compile(
    r"^(?:(?:in|for|at|of|by|on)\s+)?(?:the\s+)?(?:(?:latest|most recent|current|recent|first|earliest|newest)\s+"
    r"(?:(?:fiscal|financial)\s+)?(?:year|quarter|month|period)|(?:year|quarter|month|period)[ -]end"
    r"|(?:end|start|beginning|close|middle)\s+of\s+(?:the\s+)?(?:(?:fiscal|financial)\s+)?(?:year|quarter|month|period))$",
    re.IGNORECASE,
)


@dataclass(frozen=True, slots=True)
class Period:
    """A period where it stands in a text, as the half-open span [start, end). `part` is the 1-based quarter or month."""

    start: int
    end: int
    text: str
    year: int | None
    unit: str
    part: int = 0


@dataclass(frozen=True, slots=True)
class Step:
    """A relative period in a text: `count` units of `unit` back (negative) or on; `run` for all periods on the way."""

    start: int
    end: int
    count: int
    unit: str
    run: bool = False


def find_periods(text: str) -> list[Period]:
    """Return the periods that `text` names, in order; a year is 1900 to 2099, or two figures after FY."""
    found = []
    for match in _PERIOD.finditer(text):
        value = {name.rpartition("_")[0]: one for name, one in match.groupdict().items() if one}
        year = int(value["year"]) if "year" in value else 2000 + int(value["short"]) if "short" in value else None
        quarter = value.get("quarter") or value.get("after")
        if quarter or "ordinal" in value:
            part = int(quarter) if quarter else _ORDINALS.index(value["ordinal"].lower()) + 1
            found.append(Period(match.start(), match.end(), match.group(), year, "quarter", part))
        elif "iso" in value:
            found.append(Period(match.start(), match.end(), match.group(), year, "month", int(value["iso"])))
        elif "month" in value or year is None:
            name = value.get("month", match.group()).lower()[:3]
            found.append(Period(match.start(), match.end(), match.group(), year, "month", _MONTHS[1].index(name) + 1))
        else:
            found.append(Period(match.start(), match.end(), match.group(), year, "year"))
    return found


def find_step(text: str) -> Step | None:
    """Return the first relative period of `text` ("the year before", "two quarters later"), or None."""
    match = _RELATIVE.search(text)
    if match is None:
        return None
    value = {name.rpartition("_")[0]: one for name, one in match.groupdict().items() if one}
    count = _count(value.get("run") or value.get("count") or "one")
    unit = value["unit"].lower()
    return Step(match.start(), match.end(), -count if "back" in value else count, unit, run="run" in value)


def is_vague(text: str) -> bool:
    """Tell whether `text` is nothing but a period without a figure ("the latest year", "at the end of the quarter")."""
    return _VAGUE.match(text.strip()) is not None


def shift(period: Period, count: int, unit: str) -> str | None:
    """Return `period` in its own words, `count` units later (earlier where negative), or None where that means nothing.

    A unit of `period` or `one` steps by the period's own unit; a year has no quarters or months to step by.
    """
    unit = period.unit if unit in ("period", "one") else unit
    parts = {"quarter": 4, "month": 12}
    if unit == "year":
        return None if period.year is None else _written(period, period.year + count, period.part)
    if unit != period.unit or not period.part:
        return None
    place = period.part - 1 + count
    year = None if period.year is None else period.year + place // parts[unit]
    return _written(period, year, place % parts[unit] + 1)


def _count(word: str) -> int:
    return int(word) if word.isdigit() else _NUMBERS[word.lower()]


def _written(period: Period, year: int | None, part: int) -> str:
    text = period.text
    if year is not None and period.year is not None:
        full = str(period.year)
        text = text.replace(full, str(year), 1) if full in text else re.sub(r"\d{2}$", f"{year % 100:02}", text)
    if part == period.part:
        return text
    if period.unit == "quarter":
        text = re.sub(r"(?<=Q)[1-4]", str(part), text, count=1, flags=re.IGNORECASE)
        return re.sub("|".join(_ORDINALS), _like(_ORDINALS[part - 1]), text, count=1, flags=re.IGNORECASE)
    if re.search(r"-\d{2}$", text):
        return text[:-2] + f"{part:02}"
    # The 31st of one month may not be a day of the next.
    text = re.sub(rf"^{_DAY}\s+", "", text)
    names = sorted(_MONTHS[0] + ["sept", *_MONTHS[1]], key=len, reverse=True)
    return re.sub("|".join(names), _like(_MONTHS[0][part - 1]), text, count=1, flags=re.IGNORECASE)


def _like(word: str) -> Callable[[re.Match[str]], str]:
    return lambda match: word.capitalize() if match.group()[0].isupper() else word
