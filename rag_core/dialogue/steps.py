"""Steps from one period to another ("the year before"), and periods in the words in which a conversation names them.

"The year before" after a question about 2022 means 2021, after one about the third quarter of 2023 the third quarter of
2022. A mention keeps the words it was written in, so that a step changes the figures alone: `FY22` gives `FY21`.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Callable
from dataclasses import dataclass

from rag_core.language.periods import Period, find_periods

__all__ = ["Mention", "Step", "find_mentions", "find_step", "is_vague", "shift"]

_MONTHS = (
    "january february march april may june july august september october november december".split(),
    "jan feb mar apr may jun jul aug sep oct nov dec".split(),
)
_ORDINALS = ("first second third fourth".split(), "1st 2nd 3rd 4th".split())
_NUMBERS = {"a": 1, "an": 1, "one": 1, "two": 2, "three": 3, "four": 4, "five": 5, "six": 6}
# A month alone is one in a conversation; "may" is mostly none.
_MONTH_ALONE = re.compile(rf"\b(?:{'|'.join(_MONTHS[0][:4] + _MONTHS[0][5:])})\b", re.IGNORECASE)
# What stands close behind these is part of a name or an amount.
_GLUED = re.compile(r"[\w.,$€£-]$")
_FISCAL_BEFORE = re.compile(r"\b(?:fiscal(?:\s+year)?|financial\s+year)\s*$", re.IGNORECASE)
_DAY = re.compile(r"^\d{1,2}(?:st|nd|rd|th)?\s+|(?<=[a-z.])\s+\d{1,2}(?:st|nd|rd|th)?\b,?", re.IGNORECASE)
# A year that spans two: 2018/19, FY18-19.
_SPANNING = re.compile(r"(?<!\d)(\d{4}|\d{2})(\s?[/–-]\s?)(\d{2})$")


def _numbered(pattern: str) -> str:
    """Make group names unique by a number, so that alternatives can share the parts they are built from."""
    count = itertools.count()
    return re.sub(r"\(\?P<(\w+)>", lambda match: f"(?P<{match[1]}_{next(count)}>", pattern)


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
class Mention:
    """A period where it stands in a text, as the half-open span [start, end), with its words."""

    period: Period
    start: int
    end: int
    text: str


@dataclass(frozen=True, slots=True)
class Step:
    """A relative period in a text: `count` units of `unit` back (negative) or on; `run` for all periods on the way."""

    start: int
    end: int
    count: int
    unit: str
    run: bool = False


def find_mentions(text: str) -> list[Mention]:
    """Return the periods that `text` names, in order: also a month alone, and with "fiscal year" before a year.

    None takes its year from another: in a follow-up it may be the earlier question's. An unknown year is 0.
    """
    found = []
    for period, start, end in find_periods(text, share_years=False):
        if _GLUED.search(text[:start]):
            continue
        fiscal = _FISCAL_BEFORE.search(text[:start])
        start = fiscal.start() if fiscal else start
        found.append(Mention(period, start, end, text[start:end]))
    for match in _MONTH_ALONE.finditer(text):
        if not _GLUED.search(text[: match.start()]) and not any(
            mention.start < match.end() and match.start() < mention.end for mention in found
        ):
            month = _MONTHS[0].index(match.group().lower()) + 1
            found.append(Mention(Period(0, month=month), match.start(), match.end(), match.group()))
    return sorted(found, key=lambda mention: mention.start)


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


def shift(mention: Mention, count: int, unit: str) -> str | None:
    """Return `mention` in its own words, `count` units later (earlier where negative), or None where that means nothing.

    A unit of `period` or `one` steps by the period's own unit; a year has no quarters or months to step by.
    """
    period = mention.period
    unit = period.unit if unit in ("period", "one") else unit
    parts = {"half": 2, "quarter": 4, "month": 12}
    if unit == "year":
        return _with_year(mention.text, period, period.year + count) if period.year else None
    if unit != period.unit:
        return None
    years, place = divmod(period.part - 1 + count, parts[unit])
    text = _with_part(mention.text, period, place + 1)
    return text if text is None or not period.year else _with_year(text, period, period.year + years)


def _count(word: str) -> int:
    return int(word) if word.isdigit() else _NUMBERS[word.lower()]


def _with_year(text: str, period: Period, year: int) -> str:
    if period.unit == "year" and (spanning := _SPANNING.search(text)):
        first = str(year - 1)[-len(spanning[1]) :]
        return f"{text[: spanning.start()]}{first}{spanning[2]}{year % 100:02}"
    full = str(period.year)
    return text.replace(full, str(year), 1) if full in text else re.sub(r"\d{2}$", f"{year % 100:02}", text)


def _with_part(text: str, period: Period, part: int) -> str | None:
    """Return `text` with another half, quarter or month; None for a date in figures, whose day may not be in that month."""
    if period.unit == "month":
        if re.search(r"\d{4}-\d{2}$", text):
            return text[:-2] + f"{part:02}"
        names = sorted(_MONTHS[0] + ["sept", *_MONTHS[1]], key=len, reverse=True)
        # The 31st of one month may not be a day of the next.
        text = _DAY.sub("", text) if period.day else text
        named, changed = re.subn("|".join(names), _like(_MONTHS[0][part - 1]), text, count=1, flags=re.IGNORECASE)
        return named if changed else None
    text = re.sub(r"(?<=[QH])[1-4]|[1-4](?=[QH])", str(part), text, count=1, flags=re.IGNORECASE)
    for words in _ORDINALS:
        text = re.sub("|".join(words), _like(words[part - 1]), text, count=1, flags=re.IGNORECASE)
    return text


def _like(word: str) -> Callable[[re.Match[str]], str]:
    return lambda match: word.capitalize() if match.group()[0].isupper() else word
