"""A cell's value as the sheet shows it: Excel number formats applied to numbers, dates and text.

After ECMA-376 part 1, 18.8.31 (number format codes): up to four sections for positive, negative, zero and text;
digits, thousands, scaling commas, percent, exponents, literals, dates and elapsed times. Fractions are shown as
decimals. Rounding is half away from zero, as Excel rounds.
"""

from __future__ import annotations

import datetime
import math
import re
from dataclasses import dataclass
from decimal import ROUND_HALF_UP, Context, Decimal
from functools import lru_cache

__all__ = ["format_value"]

_TOKEN = re.compile(
    r'"(?P<quoted>[^"]*)"|\\(?P<escaped>.)|_(?P<pad>.)|\*(?P<fill>.)|\[(?P<bracket>[^\]]*)\]'
    r"|(?P<ampm>AM/PM|A/P)|(?P<general>General)|(?P<date>[yY]+|[mM]+|[dD]+|[hH]+|[sS]+(?:\.0+)?|[bB]{2,4})"
    r"|(?P<digits>[0#?,]*[0#?][0#?,]*(?:\.[0#?]*)?(?:[Ee][+-][0#?]+)?,*|\.[0#?]+,*)|(?P<text>@)|(?P<percent>%)|(?P<other>.)",
    re.DOTALL,
)
_CURRENCY = re.compile(r"\$([^-]*)(?:-.*)?")
_CONDITION = re.compile(r"(<=|>=|<>|<|>|=)\s*(-?\d+(?:\.\d+)?)")
_ELAPSED = re.compile(r"[hms]+", re.IGNORECASE)
_MONTHS = "January February March April May June July August September October November December".split()
_DAYS = "Monday Tuesday Wednesday Thursday Friday Saturday Sunday".split()
# Format 14 is "the short date of this computer": ISO 8601 is the one that cannot be misread.
_SYSTEM_DATE = "mm-dd-yy"
_MOST_FORMAT_CHARACTERS = 255
# Enough for every double with its decimals; figures beyond what a number has cost nothing.
_WIDE = Context(prec=1_000)
_COMPARE = {
    "<": lambda left, right: left < right,
    "<=": lambda left, right: left <= right,
    ">": lambda left, right: left > right,
    ">=": lambda left, right: left >= right,
    "=": lambda left, right: left == right,
    "<>": lambda left, right: left != right,
}

Moment = datetime.datetime | datetime.date | datetime.time | datetime.timedelta
Value = str | bool | int | float | Decimal | Moment | None


@dataclass(frozen=True, slots=True)
class _Part:
    kind: str
    text: str


@dataclass(frozen=True, slots=True)
class _Section:
    parts: tuple[_Part, ...]
    condition: tuple[str, float] | None = None

    def has(self, kind: str) -> bool:
        return any(part.kind == kind for part in self.parts)


def format_value(value: Value, number_format: str | None) -> str:
    """Return `value` as `number_format` shows it; an unknown or malformed format shows the plain value."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return "TRUE" if value else "FALSE"
    code = (number_format or "General")[:_MOST_FORMAT_CHARACTERS]
    sections = _sections(code)
    if isinstance(value, str):
        return _text(value, sections)
    if isinstance(value, (datetime.datetime, datetime.date, datetime.time, datetime.timedelta)):
        return _moment(value, sections[0])
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)
    return _number(Decimal(repr(value)) if isinstance(value, float) else Decimal(value), sections)


@lru_cache(maxsize=512)
def _sections(code: str) -> tuple[_Section, ...]:
    """Cut a format at its semicolons, outside of quotes and brackets, and each section into parts."""
    sections: list[_Section] = []
    parts: list[_Part] = []
    condition = None
    for found in _TOKEN.finditer(code):
        kind, text = str(found.lastgroup), str(found[str(found.lastgroup)])
        if kind == "other" and text == ";":
            sections.append(_Section(tuple(parts), condition))
            parts, condition = [], None
        elif kind == "bracket":
            if currency := _CURRENCY.fullmatch(text):
                parts.append(_Part("literal", currency[1]))
            elif compared := _CONDITION.fullmatch(text):
                condition = (compared[1], float(compared[2]))
            elif _ELAPSED.fullmatch(text):
                parts.append(_Part("elapsed", text.lower()))
        elif kind == "pad":
            parts.append(_Part("literal", " "))
        elif kind != "fill":
            parts.append(_Part("literal" if kind in ("quoted", "escaped", "other") else kind, text))
    return (*sections, _Section(tuple(parts), condition))[:4]


def _text(value: str, sections: tuple[_Section, ...]) -> str:
    if len(sections) < 4:
        return value
    return "".join(value if part.kind == "text" else part.text for part in sections[3].parts).strip()


def _chosen(value: Decimal, sections: tuple[_Section, ...]) -> tuple[_Section, bool]:
    """Return the section for a number, and whether the section itself says that it is negative."""
    if any(section.condition for section in sections):
        for section in sections:
            if section.condition is None or _COMPARE[section.condition[0]](float(value), section.condition[1]):
                return section, False
        return sections[-1], False
    if value < 0 and len(sections) > 1:
        return sections[1], True
    if value == 0 and len(sections) > 2:
        return sections[2], False
    return sections[0], False


def _number(value: Decimal, sections: tuple[_Section, ...]) -> str:
    section, signed = _chosen(value, sections)
    if section.has("date") or section.has("elapsed"):
        return _general(value)
    digits = [part for part in section.parts if part.kind == "digits"]
    if not digits and not section.has("general") and not section.has("text"):
        # Only literals, perhaps none: this is what the sheet shows (`;;;` hides the value).
        return "".join(part.text for part in section.parts).strip()
    value = value.scaleb(2 * sum(part.kind == "percent" for part in section.parts))
    shown = [_digits(abs(value), part.text) if part.kind == "digits" else "" for part in section.parts]
    if len(digits) > 1:
        # Fractions and grouped codes (`000-00`): the plain value says the same.
        return _general(value)
    text = ""
    for part, figures in zip(section.parts, shown, strict=True):
        text += _general(abs(value)) if part.kind in ("general", "text") else figures or part.text
    text = " ".join(text.split())
    negative = value < 0 and not signed and any(figure in text for figure in "123456789")
    return "-" + text if negative else text


def _digits(value: Decimal, code: str) -> str:
    """Return a positive number in a digit pattern such as `#,##0.00`, `0.0,,` or `0.00E+00`."""
    if match := re.fullmatch(r"([^Ee]*)[Ee]([+-])([0#?]+),*", code):
        return _scientific(value, match[1], len(match[3]), match[2])
    body = code.rstrip(",")
    value = value.scaleb(-3 * (len(code) - len(body)))
    whole, _, fraction = body.partition(".")
    rounded = _rounded(value, len(fraction))
    figures = f"{rounded:f}"
    left, _, right = figures.partition(".")
    while right and len(right) > sum(mark in "0?" for mark in fraction) and right.endswith("0"):
        right = right[:-1]
    left = left.zfill(sum(mark == "0" for mark in whole))
    if left.strip("0") == "" and "0" not in whole:
        left = ""
    if "," in whole:
        left = re.sub(r"(?<=\d)(?=(?:\d{3})+$)", ",", left)
    return f"{left}.{right}" if right else left


def _rounded(value: Decimal, places: int) -> Decimal:
    try:
        return value.quantize(Decimal(1).scaleb(-places), rounding=ROUND_HALF_UP, context=_WIDE)
    except ArithmeticError:
        return value  # More digits than decimal arithmetic keeps: such a number has no fraction to round.


def _scientific(value: Decimal, mantissa: str, width: int, sign: str) -> str:
    exponent = value.adjusted() if value else 0
    shown = _digits(value.scaleb(-exponent), mantissa)
    if shown.split(".")[0].replace(",", "") == "10":
        exponent += 1
        shown = _digits(value.scaleb(-exponent), mantissa)
    mark = "-" if exponent < 0 else "+" if sign == "+" else ""
    return f"{shown}E{mark}{abs(exponent):0{width}d}"


def _general(value: Decimal) -> str:
    """Return a number as the General format does: at most 10 or 11 figures, without zeros at the end."""
    if value == 0:
        return "0"
    if not Decimal("1e-9") <= abs(value) < Decimal("1e15"):
        return f"{float(value):.5E}"
    figures = f"{_rounded(value, max(0, 10 - max(value.adjusted(), 0))):f}"
    return figures.rstrip("0").rstrip(".") if "." in figures else figures


def _moment(value: Moment, section: _Section) -> str:
    """Return a date, time or duration in its format; ISO 8601 where the format has no date in it."""
    if isinstance(value, datetime.timedelta):
        seconds = int(value.total_seconds())
        sign = "-" if seconds < 0 else ""
        seconds = abs(seconds)
        return f"{sign}{seconds // 3600}:{seconds // 60 % 60:02d}:{seconds % 60:02d}"
    if isinstance(value, datetime.time):
        moment = datetime.datetime.combine(datetime.date(1900, 1, 1), value)
    elif isinstance(value, datetime.datetime):
        moment = value
    else:
        moment = datetime.datetime.combine(value, datetime.time())
    if not (section.has("date") or section.has("elapsed")):
        return value.isoformat()
    if section is _sections(_SYSTEM_DATE)[0]:
        return moment.date().isoformat()
    shown = []
    for index, part in enumerate(section.parts):
        if part.kind in ("date", "elapsed"):
            shown.append(_date_part(moment, part.text.lower(), section, index))
        elif part.kind == "ampm":
            shown.append(("AM" if moment.hour < 12 else "PM")[: 2 if len(part.text) > 3 else 1])
        else:
            shown.append(part.text)
    return " ".join("".join(shown).split())


def _date_part(moment: datetime.datetime, code: str, section: _Section, index: int) -> str:
    letter, width = code[0], len(code)
    if letter == "y":
        return f"{moment.year % 100:02d}" if width <= 2 else f"{moment.year:04d}"
    if letter == "d":
        return _named(moment.day, width, _DAYS[moment.weekday()])
    if letter == "h":
        hour = (moment.hour + 11) % 12 + 1 if section.has("ampm") else moment.hour
        return f"{hour:0{min(width, 2)}d}"
    if letter == "s":
        seconds = f"{moment.second:0{min(len(code.split('.')[0]), 2)}d}"
        places = len(code.partition(".")[2])
        return seconds + (f".{moment.microsecond:06d}"[: places + 1] if places else "")
    if letter == "m" and _means_minutes(section, index):
        return f"{moment.minute:0{min(width, 2)}d}"
    if letter == "m":
        return _MONTHS[moment.month - 1][0] if width == 5 else _named(moment.month, width, _MONTHS[moment.month - 1])
    return ""


def _named(number: int, width: int, name: str) -> str:
    """Return a day or month as one figure, two figures, a short name or a name, by the letters in its code."""
    return f"{number:0{width}d}" if width <= 2 else name[:3] if width == 3 else name


def _means_minutes(section: _Section, index: int) -> bool:
    """An `m` right after hours or right before seconds means minutes, any other one means months."""
    codes = [
        (place, part.text[0].lower()) for place, part in enumerate(section.parts) if part.kind in ("date", "elapsed")
    ]
    position = next(number for number, (place, _) in enumerate(codes) if place == index)
    before = codes[position - 1][1] if position else ""
    after = codes[position + 1][1] if position + 1 < len(codes) else ""
    return before == "h" or after == "s"
