"""What a question asks to be computed: the operation, of which line items, over which periods.

Only questions that ask for a figure are read; what is not plainly one of the operations is not arithmetic.
"""

from __future__ import annotations

import re

from rag_core.arithmetic.asking import Asked, Subject, asked_for, without
from rag_core.arithmetic.figures import find_figures
from rag_core.arithmetic.listing import list_readings
from rag_core.arithmetic.pairing import completed, part_of
from rag_core.arithmetic.phrases import (
    AND,
    AS_SHARE,
    AVERAGE,
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
    RATIO_AFTER,
    RATIO_KINDS,
    RATIO_OF,
    RISING,
    SUM,
    VERB,
)
from rag_core.arithmetic.rephrasing import rephrased
from rag_core.arithmetic.wording import GENERIC, folded, words
from rag_core.language.periods import find_periods, without_periods

__all__ = ["Asked", "Subject", "read_question"]

_LONGEST = 400
# Growth in money is no rate.
_MONEY = re.compile(
    r"\bin (?:thousand|million|billion|[a-z]{3} (?:thousand|million)|\w*[$€£])|\b(?:amount|in dollars|in euros)\b"
)


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
    return asked_for("count", text, [(rest,)], least=less, limit=limit, kind=match["kind"].split()[-1].rstrip("s"))


def _extreme(text: str) -> Asked | None:
    match = EXTREME.search(text)
    if match is None:
        return None
    most, least = MOST.search(match["rest"]), LEAST.search(match["rest"])
    found = most or least
    if found is None or (most and least):
        return None
    rest = without(match["rest"], found)
    if re.search(rf"\b{PERCENT}\b|\b{DIRECTION}\b|\bthan\b|\b(?:at|by) least\b", rest):
        return None
    kind = match["kind"].split()[-1]
    return asked_for("lowest" if least else "highest", text, [(rest,)], least=least is not None, kind=kind)


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
    return asked_for("ratio" if kind in RATIO_KINDS else "percentage of", text, options, kind="part" if named else "")


def _percent_change(text: str) -> Asked | None:
    if match := CAGR.search(text):
        return asked_for("compound growth", text, [(without(text, match),)])
    if match := POINTS.search(text):
        rest = re.sub(rf"\b(?:{DIRECTION}|{VERB}|by|how many|what)\b", " ", without(text, match))
        return asked_for("change", text, [(rest,)], falling=_is_falling(text), kind="points")
    if match := BY_PERCENT.search(text):
        rest = text[: match.start()] + " " + (match["rest"] or match["rest2"])
        if re.search(r"\b(?:higher|lower|more|less|larger|smaller|greater)\b", rest):
            return None
        rest = re.sub(rf"\b(?:{VERB})\b", " ", rest)
        kind = "percent" if re.search(r"how many|how much", match.group()) else ""
        return asked_for("percentage change", text, [(rest,)], falling=_is_falling(text), kind=kind)
    if (match := PERCENT_CHANGE.search(text)) and not (_MONEY.search(text) and not re.search(PERCENT, text)):
        rest = without(text, match)
        return asked_for("percentage change", text, [(rest,)], falling=_is_falling(text))
    return None


def _is_falling(text: str) -> bool:
    return bool(FALLING.search(text)) and not RISING.search(text)


def _ratio(text: str) -> Asked | None:
    if match := DIVIDED.search(text):
        return asked_for("ratio", text, [(match["first"], match["second"])])
    match = RATIO_OF.search(text) or RATIO_AFTER.search(text)
    if match is None or POINTS.search(text) or DIFFERENCE.match(text):
        # "The difference in the cost ratio" is one of a row that is called a ratio.
        return None
    both = match["both"].replace("-to-", " to ")
    after = match.groupdict().get("after") or ""
    cuts = BETWEEN_RATIO.finditer(both)
    return asked_for(
        "ratio", text, [(both[: cut.start()] + " " + after, both[cut.end() :] + " " + after) for cut in cuts]
    )


def _change(text: str) -> Asked | None:
    if match := BY_AMOUNT.search(text):
        rest = re.sub(rf"\b(?:{VERB})\b", " ", match["rest"])
        return asked_for("change", text, [(rest,)], falling=_is_falling(text))
    if DIFFERENCE.search(text) or not (match := CHANGE.search(text)):
        return None
    if not re.match(
        r"^\W*(?:what|calculate|compute|find|determine|by how much|how much|how many|please|the|net|total)\b", text
    ):
        return None
    return asked_for("change", text, [(without(text, match),)], falling=_is_falling(text))


def _difference(text: str) -> Asked | None:
    if match := EXCESS.search(text):
        if first := match["first"]:
            several = [(first, *parts) for parts in list_readings(match["second"])]
            return asked_for("difference", text, [*completed(first, match["second"]), *several], kind="signed")
        rest = match["rest"]
        cuts = re.finditer(r"\b(?:than|compared (?:to|with))\b", rest)
        pairs = [pair for cut in cuts for pair in completed(rest[: cut.start()], rest[cut.end() :])]
        # Than what it was before, not than something else.
        alone = [(rest.replace(" than ", " "),)] if _names_nothing(re.split(r"\bthan\b", rest)[-1]) else []
        return asked_for("difference", text, [*pairs, *alone])
    match = DIFFERENCE.search(text)
    if match is None:
        return None
    rest = without(text, match)
    pairs = [pair for cut in AND.finditer(rest) for pair in completed(rest[: cut.start()], rest[cut.end() :])]
    lists = [parts for parts in list_readings(rest) if len(parts) == 2]
    return asked_for("difference", text, [(rest,), *pairs, *lists])


def _names_nothing(text: str) -> bool:
    """Tell whether words after "than" name a period at most."""
    return not set(words(FILLERS.sub(" ", PRIOR.sub(" ", without_periods(text))))) - GENERIC


def _average(text: str) -> Asked | None:
    match = AVERAGE.search(text)
    if match is None:
        return None
    rest = re.sub(r"\bper year\b", " ", without(text, match))
    return asked_for("average", text, [(rest,), *list_readings(rest)])


def _sum(text: str) -> Asked | None:
    match = SUM.search(text)
    if match is None:
        return None
    plain = match.group() == "total"
    # "total assets" is a line item; "the total of", two years or two items make it a sum.
    rest = without(text, match)
    parts = list_readings(rest)
    options = [(rest,), *parts]
    if plain:
        several = len({period.year for period, _, _ in find_periods(text)}) > 1
        if re.search(r"\brespective\w*\b", text):
            return None
        if not (several or parts):
            # A line item that is called a total, or a column that the table does not add up.
            return asked_for("sum", text, [(rest,)], kind="column")
    return asked_for("sum", text, options, kind="total" if plain else "")
