"""What a question asks to be computed: the operation, of which line items, over which periods.

Only questions that ask for a figure are read; what is not plainly one of the operations is not arithmetic.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from itertools import pairwise

from rag_core.arithmetic.figures import find_figures
from rag_core.arithmetic.listing import list_readings
from rag_core.arithmetic.pairing import completed, part_of
from rag_core.arithmetic.phrases import (
    AND,
    AND_RANGE,
    AS_SHARE,
    AVERAGE,
    BASE,
    BETWEEN_RATIO,
    BETWEEN_SHARES,
    BY_AMOUNT,
    BY_PERCENT,
    CAGR,
    CHANGE,
    COUNT,
    DIFFERENCE,
    DIRECTION,
    DIVIDED,
    EXCESS,
    EXTREME,
    FALLING,
    FEWER,
    FILLERS,
    IN_WHOLE,
    LEAST,
    MOST,
    NOT_FIGURES,
    OF_WHOLE,
    PERCENT,
    PERCENT_CHANGE,
    POINTS,
    PRIOR,
    RANGE,
    RATIO_AFTER,
    RATIO_KINDS,
    RATIO_OF,
    RISING,
    SUM,
    VERB,
)
from rag_core.arithmetic.rephrasing import rephrased
from rag_core.arithmetic.wording import GENERIC, folded, words
from rag_core.language.periods import Period, find_periods, without_periods
from rag_core.records import Operation

__all__ = ["Asked", "Subject", "read_question"]

_LONGEST = 400
# Growth in money is no rate.
_MONEY = re.compile(
    r"\bin (?:thousand|million|billion|[a-z]{3} (?:thousand|million)|\w*[$€£])|\b(?:amount|in dollars|in euros)\b"
)
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


def read_question(question: str) -> Asked | None:
    """Return what `question` asks to be computed, or None where it asks for no computation, or for none of these."""
    question = " ".join(question.split())
    text = folded(question)
    if not text or len(text) > _LONGEST or NOT_FIGURES.search(text):
        return None
    text = rephrased(text)
    for reader in (_count, _extreme, _share, _percent_change, _ratio, _change, _difference, _average, _sum):
        asked = reader(text)
        if asked is not None:
            return asked
    return None


def _subject(text: str) -> Subject:
    found = find_periods(text)
    plain = text
    for _, start, end in reversed(found):
        # "Against 2019" goes with the year; "a charge against sales" does not.
        base = BASE.search(plain[:start])
        plain = plain[: base.start() if base else start] + " " + plain[end:]
    return Subject(text, words(FILLERS.sub(" ", plain)), tuple(period for period, _, _ in found))


def _asked(operation: Operation, text: str, options: list[tuple[str, ...]], **more: bool | str) -> Asked | None:
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


def _without(text: str, match: re.Match[str]) -> str:
    return f"{text[: match.start()]} {text[match.end() :]}"


def _count(text: str) -> Asked | None:
    match = COUNT.search(text)
    if match is None:
        return None
    figures = find_figures(match["limit"])
    if not figures:
        return None
    _, start, end = figures[0]
    rest = match["rest"] + " " + match["limit"][end:]
    rest = re.sub(r"\b(?:thousand|million|billion|percent)s?\b", " ", rest)
    less = match["than"].startswith(FEWER)
    limit = match["limit"][start:end]
    return _asked("count", text, [(rest,)], least=less, limit=limit, kind=match["kind"].split()[-1].rstrip("s"))


def _extreme(text: str) -> Asked | None:
    match = EXTREME.search(text)
    if match is None:
        return None
    most, least = MOST.search(match["rest"]), LEAST.search(match["rest"])
    found = most or least
    if found is None or (most and least):
        return None
    rest = _without(match["rest"], found)
    if re.search(rf"\b{PERCENT}\b|\b{DIRECTION}\b|\bthan\b|\b(?:at|by) least\b", rest):
        return None
    kind = match["kind"].split()[-1]
    return _asked("lowest" if least else "highest", text, [(rest,)], least=least is not None, kind=kind)


def _share(text: str) -> Asked | None:
    if match := AS_SHARE.search(text):
        # "the percentage of X as a percentage of Y" says it twice.
        part = re.sub(rf"^.*?\b{PERCENT} of\b", " ", match["part"])
        return _shares(text, match["kind"], [(part, match["whole"])])
    if match := OF_WHOLE.search(text):
        return _shares(text, match["kind"], [(match["part"], match["whole"])])
    if AVERAGE.search(text) or PERCENT_CHANGE.search(text) or SUM.match(text):
        return None
    if match := IN_WHOLE.search(text):
        if match["part"]:
            return _shares(text, match["kind2"], [(match["part"], match["whole"])])
        both = match["both"]
        pairs = [
            (both[: cut.start()], both[cut.end() :])
            for cut in BETWEEN_SHARES.finditer(both)
            if words(without_periods(both[: cut.start()]))
            and words(FILLERS.sub(" ", without_periods(both[cut.end() :])))
        ]
        return _shares(text, match["kind"], pairs)
    return None


def _shares(text: str, kind: str, pairs: list[tuple[str, str]]) -> Asked | None:
    if any(re.search(rf"\b{DIRECTION}\b", part) and " in " in part for part, _ in pairs):
        return None
    options = [
        option
        for part, whole in pairs
        for option in (*part_of(part, whole), *((*parts, whole) for parts in list_readings(part)))
    ]
    named = kind in ("share", "portion") or bool(OF_WHOLE.search(text))
    return _asked("ratio" if kind in RATIO_KINDS else "percentage of", text, options, kind="part" if named else "")


def _percent_change(text: str) -> Asked | None:
    if match := CAGR.search(text):
        return _asked("compound growth", text, [(_without(text, match),)])
    if match := POINTS.search(text):
        rest = re.sub(rf"\b(?:{DIRECTION}|{VERB}|by|how many|what)\b", " ", _without(text, match))
        return _asked("change", text, [(rest,)], falling=_is_falling(text), kind="points")
    if match := BY_PERCENT.search(text):
        rest = text[: match.start()] + " " + (match["rest"] or match["rest2"])
        if re.search(r"\b(?:higher|lower|more|less|larger|smaller|greater)\b", rest):
            return None
        rest = re.sub(rf"\b(?:{VERB})\b", " ", rest)
        kind = "percent" if re.search(r"how many|how much", match.group()) else ""
        return _asked("percentage change", text, [(rest,)], falling=_is_falling(text), kind=kind)
    if (match := PERCENT_CHANGE.search(text)) and not (_MONEY.search(text) and not re.search(PERCENT, text)):
        rest = _without(text, match)
        return _asked("percentage change", text, [(rest,)], falling=_is_falling(text))
    return None


def _is_falling(text: str) -> bool:
    return bool(FALLING.search(text)) and not RISING.search(text)


def _ratio(text: str) -> Asked | None:
    if match := DIVIDED.search(text):
        return _asked("ratio", text, [(match["first"], match["second"])])
    match = RATIO_OF.search(text) or RATIO_AFTER.search(text)
    if match is None or POINTS.search(text) or DIFFERENCE.match(text):
        # "The difference in the cost ratio" is one of a row that is called a ratio.
        return None
    both = match["both"].replace("-to-", " to ")
    after = match.groupdict().get("after") or ""
    cuts = BETWEEN_RATIO.finditer(both)
    return _asked("ratio", text, [(both[: cut.start()] + " " + after, both[cut.end() :] + " " + after) for cut in cuts])


def _change(text: str) -> Asked | None:
    if match := BY_AMOUNT.search(text):
        rest = re.sub(rf"\b(?:{VERB})\b", " ", match["rest"])
        return _asked("change", text, [(rest,)], falling=_is_falling(text))
    if DIFFERENCE.search(text) or not (match := CHANGE.search(text)):
        return None
    if not re.match(
        r"^\W*(?:what|calculate|compute|find|determine|by how much|how much|how many|please|the|net|total)\b", text
    ):
        return None
    return _asked("change", text, [(_without(text, match),)], falling=_is_falling(text))


def _difference(text: str) -> Asked | None:
    if match := EXCESS.search(text):
        if first := match["first"]:
            several = [(first, *parts) for parts in list_readings(match["second"])]
            return _asked("difference", text, [*completed(first, match["second"]), *several], kind="signed")
        rest = match["rest"]
        cuts = re.finditer(r"\b(?:than|compared (?:to|with))\b", rest)
        pairs = [pair for cut in cuts for pair in completed(rest[: cut.start()], rest[cut.end() :])]
        # Than what it was before, not than something else.
        alone = [(rest.replace(" than ", " "),)] if _names_nothing(re.split(r"\bthan\b", rest)[-1]) else []
        return _asked("difference", text, [*pairs, *alone])
    match = DIFFERENCE.search(text)
    if match is None:
        return None
    rest = _without(text, match)
    pairs = [pair for cut in AND.finditer(rest) for pair in completed(rest[: cut.start()], rest[cut.end() :])]
    lists = [parts for parts in list_readings(rest) if len(parts) == 2]
    return _asked("difference", text, [(rest,), *pairs, *lists])


def _names_nothing(text: str) -> bool:
    """Tell whether words after "than" name a period at most."""
    return not set(words(FILLERS.sub(" ", PRIOR.sub(" ", without_periods(text))))) - GENERIC


def _average(text: str) -> Asked | None:
    match = AVERAGE.search(text)
    if match is None:
        return None
    rest = re.sub(r"\bper year\b", " ", _without(text, match))
    return _asked("average", text, [(rest,), *list_readings(rest)])


def _sum(text: str) -> Asked | None:
    match = SUM.search(text)
    if match is None:
        return None
    plain = match.group() == "total"
    # "total assets" is a line item; "the total of", two years or two items make it a sum.
    rest = _without(text, match)
    parts = list_readings(rest)
    options = [(rest,), *parts]
    if plain:
        several = len({period.year for period, _, _ in find_periods(text)}) > 1
        if re.search(r"\brespective\w*\b", text):
            return None
        if not (several or parts):
            # A line item that is called a total, or a column that the table does not add up.
            return _asked("sum", text, [(rest,)], kind="column")
    return _asked("sum", text, options, kind="total" if plain else "")
