"""A question and its hits to a computed figure, or to none: a wrong figure is worse than none."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace
from decimal import Decimal

from rag_core.arithmetic.calculating import numbers_of, result_of
from rag_core.arithmetic.choosing import COLUMN, Choice, choices
from rag_core.arithmetic.definitions import named_measure
from rag_core.arithmetic.grids import read_grids
from rag_core.arithmetic.matching import MARGIN, Pool, gather
from rag_core.arithmetic.measures import compute_measure
from rag_core.arithmetic.operations import Result, calculate
from rag_core.arithmetic.outright import agrees, printed_changes, stated_changes, stated_margin, stated_total
from rag_core.arithmetic.phrases import OPEN_CHANGE
from rag_core.arithmetic.prose import prose_series
from rag_core.arithmetic.prosefacts import prose_facts
from rag_core.arithmetic.questions import Asked, Subject, read_question
from rag_core.arithmetic.remainders import Rest, read_rest, rests, shares, spoken_operand
from rag_core.arithmetic.series import Series, table_series
from rag_core.arithmetic.statements import steps
from rag_core.arithmetic.telling import tell
from rag_core.arithmetic.wording import words
from rag_core.records import Computation, Hit

__all__ = ["compute"]

_MOST_HITS = 8
# A better-fitting line item that lacks the period asked for means that the question is about that one.
_BLOCKED = 0.08
# Where the operands fit less well than this, they are as often others as those that were meant.
_LEAST_SCORE = 0.68
_LEAST_FACTS = 0.86
_OF_FACTS = ("difference", "sum", "average", "ratio", "percentage of")
_ASIDE = re.compile(r"\([^()]*\)")
# What tells a bound or a plan from what came about.
_BOUNDS = frozenset(words("median maximum minimum target budget forecast planned cap ceiling floor"))
_YEARLY = re.compile(r"\byear[ -]o(?:ve|n)r?[ -]year\b|\byoy\b")
_ROUNDING = Decimal("0.01")
# Words of the operation that, where a row's own name has them, make the question one about that row.
_CHANGES = (
    "change",
    "increase",
    "decrease",
    "movement",
    "growth",
    "reduction",
    "decline",
    "fall",
    "rise",
    "drop",
    "cut",
)
_OPERATION_WORDS = {
    "average": ("average", "mean"),
    "change": _CHANGES,
    "percentage change": _CHANGES,
    "difference": ("difference", "excess", "shortfall"),
    "ratio": ("ratio",),
    "percentage of": ("percentage", "percent", "%", "share"),
}


def compute(question: str, hits: Sequence[Hit]) -> Computation | None:
    """Return the figure that `question` asks to be computed from table cells and sentences of `hits`, or None.

    None where the question asks for no computation, or where the rows, the period or the operation are not clear: two
    readings that fit about as well and give different figures are not decided between. `hits` are best first.
    """
    hits = hits[:_MOST_HITS]
    if (rest := read_rest(question)) is not None and (left := _left(rest, hits)) is not None:
        return left
    if (stepped := _stepped(question, hits)) is not None:
        return stepped
    asked = read_question(question)
    if asked is not None and asked.operation == "percentage of" and stated_margin(question, hits):
        return None
    if asked is None and named_measure(question) is None:
        return None
    series = [item for grid in read_grids(hits) for item in table_series(grid)] + prose_series(hits)
    first = asked is None or asked.operation == "ratio"
    measured = compute_measure(question, hits, series) if first else None
    if measured is not None or asked is None:
        return measured
    try:
        found = _of_items(asked, hits, series) or _of_sentence(asked, hits)
        if found is None and asked.operation in _OF_FACTS:
            # What sentences give one by one is told less surely: it has to fit better.
            several = replace(asked, options=tuple(option for option in asked.options if len(option) > 1))
            found = _of_series(several, hits, [*series, *prose_facts(hits)], _LEAST_FACTS)
    except _UnclearError:
        return _of_sentence(asked, hits)
    return found if found is not None or first else compute_measure(question, hits, series)


class _UnclearError(Exception):
    """Operands fit, and are not to be computed from: others fit as well, or the text says the result."""


def _of_items(asked: Asked, hits: Sequence[Hit], series: list[Series]) -> Computation | None:
    """Return what is computed from line items by their whole names, or else by their names without what is in brackets."""
    found = _of_series(asked, hits, series, _LEAST_SCORE)
    # Names cut short are alike in many documents: only the best one's are taken.
    first = [item for item in series if item.document.id == hits[0].document.id]
    plain = [_without_asides(item) for item in first]
    if found is not None or plain == first:
        return found
    return _of_series(asked, hits, plain, _LEAST_SCORE)


def _left(rest: Rest, hits: Sequence[Hit]) -> Computation | None:
    """Return what is left of a whole after its part, both of one sentence."""
    asked = Asked("difference", (), (), text=rest.text, kind="signed")
    return _agreed(asked, [Choice(1.0, (found.whole, found.part)) for found in rests(rest, hits)])


def _stepped(question: str, hits: Sequence[Hit]) -> Computation | None:
    """Return what one statement gives by a step; None where several give different figures."""
    found = steps(question, hits)
    if not found or len({(step.result.value, step.result.percent) for step in found}) > 1:
        return None
    step = found[0]
    sentence = step.hit.document.text[step.start : step.end]
    operands = tuple(
        spoken_operand(step.hit, step.start, step.end, item, sentence[: item[1]][-60:]) for item in step.figures
    )
    asked = Asked("difference", (), (), text=question, kind="signed")
    return tell(asked, Choice(1.0, operands), step.result)


def _of_sentence(asked: Asked, hits: Sequence[Hit]) -> Computation | None:
    """Return the share of a part in its whole, both of one sentence."""
    if asked.operation not in ("percentage of", "ratio"):
        return None
    return _agreed(asked, [Choice(1.0, (found.part, found.whole)) for found in shares(asked, hits)])


def _agreed(asked: Asked, readings: Sequence[Choice]) -> Computation | None:
    """Return the computation of the first of `readings`, None where they differ."""
    results = [result_of(asked, choice) for choice in readings]
    if not results or results[0] is None:
        return None
    if any(result is None or result.value != results[0].value for result in results):
        return None
    return tell(asked, readings[0], results[0])


def _of_series(asked: Asked, hits: Sequence[Hit], series: Sequence[Series], least: float) -> Computation | None:
    """Return what is computed from line items of tables and sentences, where they fit the question by `least`.

    Raises _UnclearError where operands fit and are not to be computed from.
    """
    if not series:
        return None
    pool = gather(series, hits)
    found = [(choice, result_of(asked, choice)) for choice in choices(asked, pool)]
    usable = [(choice, result) for choice, result in found if result is not None]
    if not usable:
        return None
    best, result = usable[0]
    if best.score < least:
        return None
    if any(choice.score > best.score + _BLOCKED for choice, _ in found):
        return None
    if _is_lookup(asked, best, pool) or _is_bound(asked, best) or _is_stated(asked, best, result, hits):
        raise _UnclearError
    for rival, other in usable[1:]:
        if rival.score < best.score - MARGIN:
            break
        if not _agree(_scaled(best, result), _scaled(rival, other)):
            raise _UnclearError
    return tell(asked, best, result, _rate(asked, best, result))


def _rate(asked: Asked, best: Choice, result: Result) -> Result | None:
    """Return the change in percent too where "how much did it grow" asks for neither an amount nor a rate."""
    if asked.operation != "change" or result.percent or not OPEN_CHANGE.search(asked.text) or len(best.operands) != 2:
        return None
    return calculate("percentage change", numbers_of(asked, best.operands), falling=asked.falling)


def _is_bound(asked: Asked, best: Choice) -> bool:
    """Tell whether the question is about a bound or a plan, and none of the operands is one."""
    held = {
        word for series, _ in best.operands for word in (*series.own, *series.column, *series.section, *series.near)
    }
    return bool((_BOUNDS & set(words(asked.text))) - held)


def _without_asides(series: Series) -> Series:
    """Return a series whose row goes by its name alone; what the label has in brackets is said of it, as a heading is."""
    aside = words(" ".join(_ASIDE.findall(series.label)))
    own = words(_ASIDE.sub(" ", series.label))
    if not aside or not own or len(own) >= len(series.own):
        return series
    return replace(series, own=own, section=(*series.section, *aside))


def _is_stated(asked: Asked, best: Choice, result: Result, hits: Sequence[Hit]) -> bool:
    """Tell whether the text says the change itself: then it is read, unless a table gives the same more exactly."""
    if asked.kind == "column" or (asked.operation == "sum" and best.score == COLUMN):
        return stated_total(asked, hits)
    if asked.operation not in ("change", "percentage change", "difference"):
        return False
    scale = 0 if result.percent else best.operands[0][0].unit.scale
    compared = asked.operation != "difference"
    printed = printed_changes(best.operands[0][0], hits, result.percent) if compared else []
    if printed and not any(agrees(result.value, 0, figure) for figure in printed):
        return True
    if (
        compared
        and not result.percent
        and _YEARLY.search(asked.text)
        and printed_changes(best.operands[0][0], hits, True)
    ):
        # "The year-on-year drop" is as often the rate, and that is there to be read.
        return True
    stated = stated_changes(asked, hits)
    spoken = best.operands[0][0].spoken
    return any(spoken or not agrees(result.value, scale, figure) for figure in stated)


def _scaled(choice: Choice, result: Result) -> Decimal:
    return abs(result.value) if result.percent else abs(result.value).scaleb(choice.operands[0][0].unit.scale)


def _agree(first: Decimal, second: Decimal) -> bool:
    """Tell whether two values are the same but for rounding, as where a sentence rounds what a table prints."""
    return abs(first - second) <= _ROUNDING * max(first, second)


def _is_lookup(asked: Asked, best: Choice, pool: Pool) -> bool:
    """Tell whether the document itself has a row of what is asked for, such as one that is called an average."""
    named = {stem for word in _OPERATION_WORDS.get(asked.operation, ()) for stem in words(word)}
    if asked.kind == "signed" and any(
        match.score >= best.score - MARGIN
        for match in pool.ranked(Subject(asked.text, words(asked.text.replace("excess of", " "))))
    ):
        return True
    whole = Subject(asked.text, words(asked.text))
    for match in pool.ranked(whole):
        if match.score < best.score - MARGIN:
            return False
        label = {*match.series.own, *match.series.column}
        if named & label and not any(named & {*series.own, *series.column} for series, _ in best.operands):
            return True
    return False
