"""Years, quarters and dates, as the heads of columns, the words of questions and conversations name them."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace

__all__ = ["Period", "duration", "find_periods", "period_of", "quarter_head", "without_periods"]

_MONTHS = "jan feb mar apr may jun jul aug sep oct nov dec".split()
_MONTH = (
    r"(?P<month>jan(?:uary)?|feb(?:ruary)?|mar(?:ch)?|apr(?:il)?|may|june?|july?|aug(?:ust)?|sept?(?:ember)?|"
    r"oct(?:ober)?|nov(?:ember)?|dec(?:ember)?)\b(?:(?<=\b\w{3})\.|(?<=\bsept)\.)?"
)
_YEAR = r"(?P<year>(?:19|20)\d{2})"
_ORDINAL = r"(?P<ordinal>first|second|third|fourth|1st|2nd|3rd|4th)"
# What stands between a quarter or half and its year.
_OF = r"(?:\s+(?:of|in|ended))?[\s,]+(?:the\s+)?(?:(?:fiscal|financial)\s+)?(?:year\s+|FY\s*)?"
_ORDINALS = {"first": 1, "1st": 1, "second": 2, "2nd": 2, "third": 3, "3rd": 3, "fourth": 4, "4th": 4}
# Tried in this order at each place of the text; the longest readings stand first.
_FORMS = [
    re.compile(form, re.IGNORECASE)
    for form in (
        rf"\b(?P<day>\d{{1,2}})(?:st|nd|rd|th)?\s+{_MONTH},?\s+{_YEAR}\b",
        rf"\b{_MONTH}\s+(?P<day>\d{{1,2}})(?:st|nd|rd|th)?,?\s+(?:of\s+)?{_YEAR}\b",
        rf"\b{_MONTH}[\s,'’-]+{_YEAR}\b",
        r"\b(?P<year>(?:19|20)\d{2})-(?P<number>0[1-9]|1[0-2])(?:-(?P<day>[0-3]\d))?\b",
        r"\b(?P<day>[0-3]?\d)[/.](?P<number>0?[1-9]|1[0-2])[/.](?P<year>(?:19|20)\d{2})\b",
        rf"\bQ(?P<quarter>[1-4])\s*(?:of\s+)?(?:fiscal\s*|FY\s*)?['’]?(?:{_YEAR}|(?P<short>\d{{2}}))\b",
        rf"\bQ(?P<quarter>[1-4]){_OF}{_YEAR}\b",
        r"\b(?P<quarter>[1-4])Q\s*['’]?(?:(?P<year>(?:19|20)\d{2})|(?P<short>\d{2}))\b",
        rf"\b(?:FY\s?)?{_YEAR}\s*[- ]?Q(?P<quarter>[1-4])\b",
        rf"\b{_ORDINAL}[\s-]+quarter{_OF}{_YEAR}\b",
        rf"\b{_YEAR}\s+{_ORDINAL}[\s-]+quarter\b",
        rf"\b(?:H(?P<half>[12])|(?P<half2>[12])H)\s*['’]?(?:{_YEAR}|(?P<short>\d{{2}}))\b",
        rf"\b(?P<halfword>first|second)[\s-]+half{_OF}{_YEAR}\b",
        r"\b(?:FY|CY|F)\s?['’]?(?P<year>(?:19|20)\d{2})(?:\s?[/–-]\s?(?P<until>\d{2}))?(?!\d)",
        r"\b(?:FY|CY|F)\s?['’]?(?P<short>\d{2})(?:\s?[/–-]\s?(?P<until>\d{2}))?(?!\d|[.,]\d)",
        r"(?<![\d.,$€£])(?P<year>(?:19|20)\d{2})\s?[/–-]\s?(?P<until>\d{2})(?!\d)",
        r"(?<![\d.,$€£/])(?P<year>(?:19|20)\d{2})/(?:19|20)(?P<until>\d{2})(?![\d/])",
        r"(?<![\d.,$€£])(?P<year>(?:19|20)\d{2})(?![\d%]|[.,]\d)",
        rf"\b(?P<day>\d{{1,2}})(?:st|nd|rd|th)?\s+{_MONTH}(?![\w])",
        rf"\b{_MONTH}\s+(?P<day>\d{{1,2}})(?:st|nd|rd|th)?\b(?!\d)",
        rf"\b{_ORDINAL}[\s-]+quarter\b",
        r"\bQ(?P<quarter>[1-4])\b",
    )
]
_MONTHS_LONG = re.compile(
    r"\b(?:(?P<word>three|six|nine|twelve|(?<!\d)[369]|12)[\s-]+months?|(?P<quarter>quarters?)|(?P<year>years?|annual))\b"
    r"(?=[^|]{0,24}\bended\b|[\s-]+(?:periods?|to)\b)",
    re.IGNORECASE,
)
_LONG = {"three": 3, "3": 3, "six": 6, "6": 6, "nine": 9, "9": 9, "twelve": 12, "12": 12}
_QUARTER_HEAD = re.compile(r"(first|second|third|fourth|[1-4](?:st|nd|rd|th))(?:\s+(?:quarter|qtr\.?))?", re.IGNORECASE)
_PIVOT = 60
_LONGEST = 2_000


@dataclass(frozen=True, slots=True, order=True)
class Period:
    """A year with what is known beyond it; 0 stands for unknown. A year like 2018/19 goes by the year it ends in.

    `quarter` is 1 to 4, `month` 1 to 12, `day` 1 to 31, `half` 1 or 2. Periods sort by time.
    """

    year: int
    quarter: int = 0
    half: int = 0
    month: int = 0
    day: int = 0

    def holds(self, other: Period) -> bool:
        """Tell whether a question that names this period may mean `other`: all that both know agrees."""
        if self.year != other.year:
            return False
        if (self.quarter and other.quarter != self.quarter) or (self.half and other.half != self.half):
            return False
        if other.month and self.month and self.month != other.month:
            return False
        return not (other.day and self.day and self.day != other.day)

    @property
    def unit(self) -> str:
        """What it is one of: a month (or a day in it), a quarter, a half or a year."""
        return "month" if self.month else "quarter" if self.quarter else "half" if self.half else "year"

    @property
    def part(self) -> int:
        """Which one of its year, from 1; 0 for a year."""
        return self.month or self.quarter or self.half

    def __str__(self) -> str:
        """Return it as a person writes it."""
        if self.month:
            month = _MONTHS[self.month - 1].capitalize()
            return f"{self.day} {month} {self.year}" if self.day else f"{month} {self.year}"
        part = f"Q{self.quarter} " if self.quarter else f"H{self.half} " if self.half else ""
        return f"{part}{self.year}" if self.year else part.strip()


def find_periods(text: str, *, share_years: bool = True) -> list[tuple[Period, int, int]]:
    """Return the periods named in `text` with their spans, in order.

    One without a year takes that of the next one that is alike, "June 30 and December 31, 2019", unless `share_years`
    is false. Where there is none its year is 0.
    """
    text = text[:_LONGEST]
    found: list[tuple[Period, int, int]] = []
    taken = [False] * len(text)
    for form in _FORMS:
        for match in form.finditer(text):
            if any(taken[match.start() : match.end()]):
                continue
            period = _period(match)
            if period is not None:
                taken[match.start() : match.end()] = [True] * (match.end() - match.start())
                found.append((period, match.start(), match.end()))
    found.sort(key=lambda item: item[1])
    for index in range(len(found) - 2, -1, -1) if share_years else ():
        period, start, end = found[index]
        after = found[index + 1][0]
        if not period.year and after.year and bool(period.month) == bool(after.month):
            found[index] = (replace(period, year=after.year), start, end)
    return found


def _period(match: re.Match[str]) -> Period | None:
    known = {name: value for name, value in match.groupdict().items() if value}
    year = int(known.get("year", 0))
    if "short" in known:
        year = int(known["short"])
        year += 1900 if year >= _PIVOT else 2000
    if "until" in known:
        until = int(known["until"])
        # "2018-12" is a month; only the next year's last digits make a year that spans two.
        if until != (year + 1) % 100:
            return None
        year += 1
    month = _MONTHS.index(known["month"][:3].lower()) + 1 if "month" in known else int(known.get("number", 0))
    day = int(known.get("day", 0))
    if day > 31:
        return None
    quarter = int(known.get("quarter", 0)) or _ORDINALS.get(known.get("ordinal", "").lower(), 0)
    half = int(known.get("half", 0) or known.get("half2", 0)) or _ORDINALS.get(known.get("halfword", "").lower(), 0)
    return Period(year, quarter, half, month, day)


def duration(text: str) -> int:
    """Return how many months a column head says that its period lasts ("nine months ended"); 0 where it does not say."""
    found = _MONTHS_LONG.search(text[:_LONGEST])
    if found is None:
        return 0
    if found["word"]:
        return _LONG[found["word"].lower()]
    return 3 if found["quarter"] else 12


def period_of(texts: Sequence[str]) -> Period | None:
    """Return the one period that `texts` together name, or None where they name none or several."""
    found = {period for text in texts for period, _, _ in find_periods(text)}
    years = {period.year for period in found if period.year}
    if len(years) > 1 or not found:
        return None
    merged = Period(years.pop() if years else 0)
    for name in ("quarter", "half", "month", "day"):
        values = {getattr(period, name) for period in found if getattr(period, name)}
        if len(values) > 1:
            return None
        if values:
            merged = replace(merged, **{name: values.pop()})
    return merged


def quarter_head(text: str) -> int:
    """Return the quarter that a column's head is ("First", "4th quarter"), 0 where it is something else."""
    found = _QUARTER_HEAD.fullmatch(text.strip())
    return _ORDINALS[found[1].lower()] if found else 0


def without_periods(text: str) -> str:
    """Return `text` with every period replaced by a space."""
    parts, position = [], 0
    for _, start, end in find_periods(text):
        parts.append(text[position:start])
        position = end
    return " ".join([*parts, text[position:]])
