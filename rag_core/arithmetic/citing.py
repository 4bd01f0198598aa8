"""A computed figure's operands as citations, and its answer's sentences, which all rest on them.

Where a period is the answer, the line that names the periods is cited, too.
"""

from __future__ import annotations

from collections.abc import Iterable

from rag_core.language.sentences import sentence_spans, years
from rag_core.records import AnswerSentence, Citation, Computation, Document

__all__ = ["cite_operands", "period_heading"]

_OF_PERIODS = ("count", "highest", "lowest")


def cite_operands(computation: Computation) -> tuple[tuple[Citation, ...], tuple[AnswerSentence, ...]]:
    """Return a citation for each row that an operand stands in, numbered in order of use, and the answer's sentences.

    A quote is the row or sentence as the document has it; a figure alone would not show what it is.
    """
    spans = list(dict.fromkeys((item.document, item.row_start, item.row_end) for item in computation.operands))
    if computation.operation in _OF_PERIODS and len({row[0] for row in spans}) == 1:
        document, first, _ = spans[0]
        named = {year for item in computation.operands for year in years(item.period)}
        spans = [*((document, *span) for span in period_heading(document, first, named)), *spans]
    citations = tuple(
        Citation(number, document, document.page_at(start), start, end, document.text[start:end])
        for number, (document, start, end) in enumerate(spans, start=1)
    )
    numbers = tuple(citation.number for citation in citations)
    text = computation.text
    sentences = tuple(AnswerSentence(start, end, text[start:end], numbers) for start, end in sentence_spans(text))
    return citations, sentences


def period_heading(document: Document, row_start: int, named: Iterable[str]) -> list[tuple[int, int]]:
    """Return the span of the line of a table that names these years, above the row at `row_start`; [] where there is none."""
    text, end, wanted = document.text, row_start, set(named)
    while wanted and end > 0:
        start = text.rfind("\n", 0, end - 1) + 1
        line = text[start:end].rstrip()
        if "|" not in line:
            break
        if all(year in line for year in wanted):
            return [(start + len(line) - len(line.lstrip(" |")), start + len(line.rstrip(" |")))]
        end = start
    return []
