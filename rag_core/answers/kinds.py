"""Whether words are of the kind that a question asks for: a number where it counts, a name where it asks who."""

from __future__ import annotations

import re

from rag_core.answers.questions import Asked
from rag_core.answers.roles import is_body
from rag_core.language.currencies import CODE, SIGNS
from rag_core.language.sentences import content_terms

__all__ = ["is_of_kind", "whole_quantity"]

_NUMBER_WORD = (
    r"(?:one|two|three|four|five|six|seven|eight|nine|ten|eleven|twelve|thirteen|fourteen|fifteen|sixteen|seventeen|"
    r"eighteen|nineteen|twenty|thirty|forty|fifty|sixty|seventy|eighty|ninety|hundred|thousand|million|billion|dozen|"
    r"none|no|nil|zero|once|twice|thrice|several|both|half|thirds?|quarters?|fifths?|sixths?|sevenths?|eighths?|"
    r"ninths?|tenths?|single|double|doubled|all)"
)
_NUMBER = re.compile(rf"\d|\b{_NUMBER_WORD}(?:-\w+)?\b", re.IGNORECASE)
_CURRENCY = re.compile(
    rf"[{SIGNS}]|\b{CODE}(?![A-Za-z])|"
    r"\d\s?(?:\w+ )?(?:dollars|euros|pounds|francs|crowns|kron(?:a|or|er)|pesos|rupees|reais|rand|naira|yen)\b"
)
_PERCENT = re.compile(r"%|\bper ?cent\b|\bbasis points?\b", re.IGNORECASE)
_BARE_NUMBER = re.compile(r"[\s\d.,()$€£¥%-]+")
_CALENDAR = (
    r"(?:january|february|march|april|may|june|july|august|september|october|november|december|monday|tuesday|wednesday|"
    r"thursday|friday|saturday|sunday)"
)
# A number is taken whole: else a row of them could be parted in exponentially many ways.
_ONLY_DATE = re.compile(
    rf"(?:on |in |at |the |of |early |late |mid-?)*(?:{_CALENDAR}|\d{{1,4}}(?!\d)(?:st|nd|rd|th)?|[\s,])+",
    re.IGNORECASE,
)
_YEAR_ALONE = re.compile(r"(?:in |since |from |by )?(?:1[5-9]|20)\d\d")
_TIME = re.compile(rf"(?:\w+ )?(?:\d+|{_NUMBER_WORD}) (?:years?|months?|weeks?|days?|hours?)", re.IGNORECASE)
_UNIT_ALONE = re.compile(
    r"(?:\(?in )?(?:[$€£¥]|US ?\$|[A-Z]{3})?\s?(?:'?000s?|m|mn|bn|k|thousands?|millions?|billions?)?\)?", re.IGNORECASE
)
_NUMERIC_KINDS = frozenset(("count", "amount", "percentage", "measure"))
_EVENT = 3

# What may follow a figure as part of it.
_RANGE = re.compile(rf"(?:\s?[-–]\s?|\s(?:to|or)\s)(?:[$€£]?\d[\d.,]*%?|{_NUMBER_WORD}\b)(?!\s*\|)", re.IGNORECASE)
_UNIT = re.compile(
    r"\s?(?:%|per ?cent\b)|\s(?:thousand|million|billion|trillion)\b|"
    r"\s(?:basis points?|times|euros?|dollars?|pounds?|francs?|crowns?|pesos?|yen|pence|cents?|tonnes?|tons?|kilograms?|"
    r"ounces?|barrels?|litres?|metres?|meters?|kilometres?|kilometers?|miles?|hectares?|acres?|degrees?|megawatts?|"
    r"gigawatts?|years?|months?|weeks?|(?:business |calendar |trading |working )?days?|hours?|minutes?|seconds?|"
    r"(?:square|cubic) (?:feet|metres|meters|miles|kilometres))\b",
    re.IGNORECASE,
)
_SCALE = re.compile(r"\s(?:thousand|million|billion|trillion)\b", re.IGNORECASE)


def is_of_kind(asked: Asked, text: str) -> bool:
    """Return whether `text` can be what `asked` wants; True where its kind says little about the form."""
    if "|" in text or _UNIT_ALONE.fullmatch(text.strip()):
        # Cells side by side, or what a table counts in.
        return False
    content = content_terms(text)
    if content and " or " not in asked.text and set(content) <= set(content_terms(asked.text)):
        # The question's own words tell it nothing.
        return False
    if asked.kind in _NUMERIC_KINDS and not _NUMBER.search(text):
        return False
    if asked.kind == "count":
        return not (_CURRENCY.search(text) or _PERCENT.search(text) or _dated(text))
    if asked.kind == "amount" and _TIME.fullmatch(text.strip()):
        return False
    if asked.kind == "percentage":
        return not (_CURRENCY.search(text) and not _PERCENT.search(text))
    if asked.kind == "name" and ("\n\n" in text.strip() or is_body(asked, text)):
        return False
    if asked.kind in ("name", "place"):
        return not (_ONLY_DATE.fullmatch(text.strip()) or _CURRENCY.search(text) or _BARE_NUMBER.fullmatch(text))
    if asked.kind == "date":
        return not (_CURRENCY.search(text) or _PERCENT.search(text))
    if asked.kind == "duration":
        return _NUMBER.search(text) is not None or len(text.split()) >= _EVENT or "-" in text
    if asked.kind in ("reason", "manner"):
        return _BARE_NUMBER.fullmatch(text) is None
    return True


def _dated(text: str) -> bool:
    return (
        _YEAR_ALONE.fullmatch(text.strip()) is not None
        or re.search(rf"\b{_CALENDAR}\b(?<!may)", text, re.I) is not None
    )


def whole_quantity(asked: Asked, text: str, start: int, end: int) -> int:
    """Return where the figure that ends at `end` of `text` does end: behind its range, its scale and its unit.

    Of what is counted the unit is in the question, so that only the scale belongs to it.
    """
    if not _NUMBER.search(text[start:end]) or "\n" in text[start:end]:
        return end
    last = text[start:end].split()[-1]
    if not _NUMBER.search(last):
        return end
    for form in (_RANGE, _SCALE, *(() if asked.kind in ("count", "date") else (_UNIT,))):
        found = form.match(text, end)
        if found:
            end = found.end()
    return end
