"""Changes that a sentence states itself: "sales rose 12%", "an increase of EUR 3 million". They need no computing."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from decimal import Decimal

from rag_core.arithmetic.columns import read_columns
from rag_core.arithmetic.figures import Figure, rounded
from rag_core.arithmetic.grids import read_grids
from rag_core.arithmetic.prose import prose_sentences
from rag_core.arithmetic.prosewholes import counted_figures
from rag_core.arithmetic.questions import Asked
from rag_core.arithmetic.series import Series
from rag_core.arithmetic.wording import GENERIC, same_as, words
from rag_core.language.periods import find_periods, without_periods
from rag_core.language.sentences import sentence_spans
from rag_core.records import Hit

__all__ = ["agrees", "is_change", "printed_changes", "stated_changes", "stated_margin", "stated_total"]

_CHANGING = (
    r"(?:(?:increas|decreas|declin|reduc|improv|narrow|widen|expand|contracted|climb|slipp?|shrink|weaken|strengthen|deteriorat|"
    r"worsen|advanc|jump|grow)\w*|rose|risen|ris(?:e|es|ing)|fell|fallen|fall(?:s|ing)?|grew|growth|drop(?:s|ped)?|gain(?:s|ed)?|"
    r"shrank|up|down|change[sd]?|added|lost|lift(?:s|ed)?|cut|raised|lowered)"
)
_ABOUT = (
    r"(?:\s+(?:by|of|about|approximately|around|some|nearly|almost|over|more than|just|only|a|an|further|the|"
    r"organically|slightly))*"
)
_BEFORE = re.compile(rf"\b{_CHANGING}{_ABOUT}\s*\(?\s*$", re.IGNORECASE)
_AFTER = re.compile(
    rf"\s*(?:points?\s+|percentage[ -]points?\s+)?(?:{_CHANGING}\b|higher|lower|more|less|below|above|better|worse|"
    rf"lighter|heavier|ahead|behind)"
    r"(?=\s*(?:[,;.)]|$|\b(?:than|in|at|on|year|compared|versus|against|for|from|to)\b))",
    re.IGNORECASE,
)

# A column that points elsewhere compares nothing.
_REFERENCE = re.compile(r"\b(?:notes?|refs?|pages?)\b", re.IGNORECASE)
_MARGIN = "margin"
_TOTAL = re.compile(r"\b(?:total\w*|sum|aggregat\w*|altogether|in all|together|combined)\b", re.IGNORECASE)


def stated_changes(asked: Asked, hits: Sequence[Hit]) -> list[Figure]:
    """Return the changes that sentences state of what `asked` is about: rates for a percentage change, else amounts."""
    percent = asked.operation in ("percentage change", "compound growth") or asked.kind == "points"
    subjects = [set(option[0].words) - GENERIC for option in asked.options if len(option) == 1]
    named = {period.year for period in asked.periods if period.year}
    return [
        figure
        for sentence in _sentences(hits)
        if _is_about(sentence, subjects, named)
        for figure, start, end in counted_figures(sentence)
        if figure.percent == percent and is_change(sentence, start, end)
    ]


def printed_changes(series: Series, hits: Sequence[Hit], percent: bool) -> list[Figure]:
    """Return the changes, rates where `percent`, that the table itself prints beside the figures of a line item."""
    rows = {point.row_start for point in series.points}
    return [
        cell.figure
        for grid in read_grids(hits)
        if series.table == (grid.document.id, grid.start)
        for row in grid.rows
        if row.start in rows
        for cell, column, head in zip(row.cells, read_columns(row.heads), row.heads, strict=True)
        if cell.figure is not None and column.derived and not _REFERENCE.search(head)
        if (cell.figure.percent or column.percent) == percent
    ]


def is_change(sentence: str, start: int, end: int) -> bool:
    """Tell whether the figure at `[start, end)` of a sentence is by how much something changed, or differs."""
    return bool(_BEFORE.search(sentence[:start]) or _AFTER.match(sentence[end:]))


def stated_total(asked: Asked, hits: Sequence[Hit]) -> bool:
    """Tell whether a sentence gives a total of what `asked` is about."""
    subjects = [set(option[0].words) - GENERIC for option in asked.options if len(option) == 1]
    return any(
        _is_about(sentence, subjects, set()) and _TOTAL.search(sentence) and counted_figures(sentence)
        for sentence in _sentences(hits)
    )


def stated_margin(question: str, hits: Sequence[Hit]) -> bool:
    """Tell whether `question` asks for a margin that a row or a sentence gives."""
    wanted = set(words(without_periods(question))) - GENERIC
    if _MARGIN not in wanted:
        return False
    for hit in hits:
        text = hit.document.text
        for start, end in sentence_spans(text, hit.start, hit.end):
            held = set(words(text[start:end]))
            if _MARGIN in held and all(word in held or same_as(word, held) for word in wanted):
                return True
    return False


def agrees(value: Decimal, scale: int, figure: Figure) -> bool:
    """Tell whether a computed value is what a sentence states, rounded as it rounds; signs do not matter."""
    shifted = abs(value).scaleb(scale - figure.scale)
    return rounded(shifted, figure.places) == rounded(abs(figure.value), figure.places)


def _sentences(hits: Sequence[Hit]) -> Iterator[str]:
    for hit, _, _, start, end in prose_sentences(hits):
        yield from re.split(r";\s", hit.document.text[start:end])


def _is_about(sentence: str, subjects: Sequence[set[str]], named: set[int]) -> bool:
    held = set(words(sentence))
    if not any(subject and all(word in held or same_as(word, held) for word in subject) for subject in subjects):
        return False
    years = {period.year for period, _, _ in find_periods(sentence) if period.year}
    return not named or not years or max(named) in years
