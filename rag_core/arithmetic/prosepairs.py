"""Sentences that set a figure beside that of the period before, as series of two points: "14.2% (2022: 11.9%)".

Read are these forms only: the earlier figure in brackets after its period; after "compared with", "against", "down from"
and the like, with its period or with words for the one before; "from A to B" and "to B from A" after a verb that tells of
a change. Where the later period is not said, it is the year after the earlier one's.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import pairwise

from rag_core.arithmetic.figures import Figure, find_figures
from rag_core.language.periods import Period, find_periods

__all__ = ["Pair", "sentence_pairs"]

# A sentence with more figures than this is a list or an attack.
_MOST_FIGURES = 24
# Periods are masked by this sign, so that patterns see where they stand.
_MASK = "§"
_WORDS = r"(?:\s+[^\W\d_][\w'’/&-]*)"
_PRIOR = (
    r"(?:(?:the\s+)?(?:previous|prior|preceding|last|comparative)\s+(?:financial\s+|fiscal\s+)?(?:year|period)|"
    r"(?:a|one)\s+year\s+(?:earlier|before|ago|previously)|(?:the\s+)?year\s+before|previously)"
)
_WHEN = (
    r"(?:(?:in|for|at|on|as\s+(?:at|of)|during)\s+)?(?:the\s+)?(?:(?:end\s+of|year|financial\s+year|"
    rf"fiscal)\s+)*(?:{_MASK}+|{_PRIOR})"
)
_BRACKETED = re.compile(
    rf"(?P<tail>{_WORDS}{{0,8}}?)(?:\s*,?\s*{_WHEN})?\s*[(\[]\s*{_WHEN}\s*[:,]?\s*(?:was|were)?\s*", re.IGNORECASE
)
_AGAINST = re.compile(
    rf"(?P<tail>{_WORDS}{{0,6}}?)(?:\s*{_WHEN})?\s*,?\s*(?:as\s+)?(?:compared\s+(?:with|to)|against|versus|vs\.?|after|up\s+from|"
    r"down\s+from)\s+(?:just\s+|only\s+|(?:(?:an?|our|its|the)\s+)?(?:\w+\s+){1,3}of\s+)?",
    re.IGNORECASE,
)
_DATED = re.compile(rf"\s*,?\s*\(?{_WHEN}", re.IGNORECASE)
_TO_FROM = re.compile(rf"(?P<tail>{_WORDS}{{0,6}}?)(?:\s*{_WHEN})?\s*,?\s*from\s+", re.IGNORECASE)
_FROM_TO = re.compile(rf"(?:{_WORDS}{{0,4}}?)(?:\s*{_WHEN})?\s*,?\s*to\s+", re.IGNORECASE)
_MOVED = re.compile(
    r"\b(?:rose|risen|rise|rising|fell|fallen|fall|grew|grown|dropped|(?:increas|decreas|declin|reduc|improv|narrow|widen|rais|"
    r"lift|lower|chang|expand|contracted|climb|slipp?|eas|mov|weaken|strengthen|lengthen|shorten|deteriorat|worsen)\w*|went|"
    r"came|cut|shrank)\b",
    re.IGNORECASE,
)
_ENDS_TO = re.compile(r"\b(?:to|at)\s+(?:just\s+|only\s+|about\s+)?$", re.IGNORECASE)
# Figures that are changes themselves, and ranges.
_ENDS_BY = re.compile(r"\bby\s+(?:just\s+|only\s+|about\s+|some\s+)?$", re.IGNORECASE)
_RANGING = re.compile(r"\b(?:rang\w+|var(?:y|ies|ied|ying))\s+from\s+$", re.IGNORECASE)
_ENDS_FROM = re.compile(r"\bfrom\s+(?:just\s+|only\s+|about\s+)?$", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Pair:
    """Two figures of one thing, with their spans in the sentence and their periods, None where they are not told.

    `label` is what the sentence says that they are of, `clause` all that it says around them.
    """

    label: str
    clause: str
    earlier: tuple[Figure, int, int]
    later: tuple[Figure, int, int]
    before: Period | None
    now: Period | None


def sentence_pairs(sentence: str) -> Iterator[Pair]:
    """Yield the pairs of a sentence, in order; a label reaches back to the pair before it."""
    periods = [item for item in find_periods(sentence) if item[0].year]
    masked = sentence
    for _, start, end in periods:
        masked = masked[:start] + _MASK * (end - start) + masked[end:]
    figures = find_figures(masked)[:_MOST_FIGURES]
    since = 0
    for first, second in pairwise(figures):
        since = max(since, sentence.rfind(";", 0, first[1]) + 1)
        if first[1] < since:
            continue
        pair = _pair(sentence, masked, periods, first, second, since)
        if pair is not None:
            yield pair
            since = _closed(sentence, second[2])


def _closed(sentence: str, end: int) -> int:
    """Return `end`, or where a bracket closes there, the place behind it."""
    found = re.match(r"[^()]{0,40}\)", sentence[end:])
    return end + (found.end() if found else 0)


def _pair(
    sentence: str,
    masked: str,
    periods: list[tuple[Period, int, int]],
    first: tuple[Figure, int, int],
    second: tuple[Figure, int, int],
    since: int,
) -> Pair | None:
    if _ENDS_BY.search(masked[since : first[1]]) or _RANGING.search(masked[since : first[1]]):
        return None
    lead, between, after = masked[since : first[1]], masked[first[2] : second[1]], masked[second[2] :]
    dated = _DATED.match(after)
    ends = second[2] + (dated.end() if dated else 0)
    inside = [item for item in periods if first[2] <= item[1] and item[2] <= ends]
    label = sentence[since : first[1]]
    clause = sentence[since : second[2]] + re.split(r"[,;.]", sentence[second[2] :])[0]
    if found := _BRACKETED.fullmatch(between):
        old = [period for period, _, end in inside if end <= second[1]][-1:]
        return _made(label + found["tail"], clause, second, first, old, _others(periods, old, since, first[1]))
    moved = bool(_MOVED.search(lead))
    if moved and _ENDS_FROM.search(lead) and _FROM_TO.fullmatch(between):
        old = [period for period, start, _ in inside if start < second[1]]
        new = [period for period, start, _ in inside if start >= second[2]]
        new = new or _others(periods, old, since, first[1]) or _others(periods, old, second[2], len(sentence))
        return _made(label, clause, first, second, old, new)
    found = _AGAINST.fullmatch(between)
    if found and not dated and not re.search(r"(?:up|down)\s+from", between):
        return None
    if not found and moved and _ENDS_TO.search(lead):
        found = _TO_FROM.fullmatch(between)
    if not found:
        return None
    old = [period for period, start, _ in inside if start >= second[2]]
    new = [period for period, _, end in inside if end <= second[1]] or _others(periods, old, since, first[1])
    return _made(label + found["tail"], clause, second, first, old, new)


def _others(periods: list[tuple[Period, int, int]], old: list[Period], start: int, end: int) -> list[Period]:
    """Return the periods between `start` and `end` that come after the earlier figure's."""
    return [
        period for period, first, last in periods if start <= first and last <= end and (not old or period > old[0])
    ]


def _made(
    label: str,
    clause: str,
    earlier: tuple[Figure, int, int],
    later: tuple[Figure, int, int],
    old: list[Period],
    new: list[Period],
) -> Pair | None:
    """Return the pair, or None where the figures are not of one unit or it is not plain of which periods they are."""
    if len(old) > 1 or len(set(new)) > 1:
        return None
    first, second = earlier[0], later[0]
    bare = not (first.currency or first.scale or first.percent)
    if bare and (second.scale or second.percent):
        # "From 3.1 to 4.4 million": the unit is said once.
        first = replace(first, scale=second.scale, percent=second.percent, currency=second.currency)
    if (first.scale, first.percent) != (second.scale, second.percent):
        return None
    if first.currency != second.currency:
        return None
    before, now = old[0] if old else None, new[0] if new else None
    if before and now is None:
        now = replace(before, year=before.year + 1)
    elif now and before is None:
        before = replace(now, year=now.year - 1)
    if before and now and not before < now:
        return None
    return Pair(label, clause, (first, earlier[1], earlier[2]), later, before, now)
