"""What a question asks to be computed, as it has been read: the operation, its line items, the periods named."""

from __future__ import annotations

import re
from dataclasses import dataclass
from itertools import pairwise

from rag_core.arithmetic.phrases import AND_RANGE, BASE, FILLERS, PRIOR, RANGE
from rag_core.arithmetic.wording import words
from rag_core.language.periods import Period, find_periods
from rag_core.records import Operation

__all__ = ["Asked", "Subject", "asked_for", "without"]

_MOST_OPTIONS = 20


@dataclass(frozen=True, slots=True)
class Subject:
    """A line item as a question names it: its text, its telling words, and the periods that stand beside it."""

    text: str
    words: tuple[str, ...]
    periods: tuple[Period, ...] = ()


@dataclass(frozen=True, slots=True)
class Asked:
    """What to compute. `options` are the ways to read the line items, each a tuple of one or more of them.

    `periods` are those of the whole question, in its order; `through` says that they bound a range. `falling` is true
    where a decrease is asked for, `least` for the lowest, `limit` is what a count compares with. `base` says that the only
    period is the one to compare with ("than in 2019"), `prior` that the one before the latest is ("a year earlier").
    """

    operation: Operation
    options: tuple[tuple[Subject, ...], ...]
    periods: tuple[Period, ...]
    through: bool = False
    falling: bool = False
    least: bool = False
    limit: str = ""
    kind: str = ""
    text: str = ""
    base: bool = False
    prior: bool = False


def _subject(text: str) -> Subject:
    found = find_periods(text)
    plain = text
    for _, start, end in reversed(found):
        # "Against 2019" goes with the year; "a charge against sales" does not.
        base = BASE.search(plain[:start])
        plain = plain[: base.start() if base else start] + " " + plain[end:]
    return Subject(text, words(FILLERS.sub(" ", plain)), tuple(period for period, _, _ in found))


def asked_for(operation: Operation, text: str, options: list[tuple[str, ...]], **more: bool | str) -> Asked | None:
    """Return it with the options that name something; None where none does."""
    subjects = [tuple(_subject(part) for part in option) for option in options[:_MOST_OPTIONS]]
    named = tuple(option for option in subjects if option and all(subject.words for subject in option))
    if not named:
        return None
    found = find_periods(text)
    periods = tuple(dict.fromkeys(period for period, _, _ in found))
    base = len(periods) == 1 and bool(BASE.search(text[: found[0][1]]))
    prior = bool(PRIOR.search(text))
    return Asked(operation, named, periods, _through(text), text=text, base=base, prior=prior, **more)  # type: ignore[arg-type]


def _through(text: str) -> bool:
    """Tell whether the first two periods bound a range: "2017 to 2019", "between 2017 and 2019"."""
    found = find_periods(text)
    for (_, start, first), (_, second, _) in pairwise(found):
        between = text[first:second].strip()
        if RANGE.search(between) or (between == "and" and AND_RANGE.search(text[:start])):
            return True
    return False


def without(text: str, match: re.Match[str]) -> str:
    """Return `text` without what `match` found in it."""
    return f"{text[: match.start()]} {text[match.end() :]}"
