"""A computed figure's operands as citations, and its answer's sentences, which all rest on them."""

from __future__ import annotations

from rag_core.language.sentences import sentence_spans
from rag_core.records import AnswerSentence, Citation, Computation

__all__ = ["cite_operands"]


def cite_operands(computation: Computation) -> tuple[tuple[Citation, ...], tuple[AnswerSentence, ...]]:
    """Return a citation for each row that an operand stands in, numbered in order of use, and the answer's sentences.

    A quote is the row or sentence as the document has it; a figure alone would not show what it is.
    """
    spans = list(dict.fromkeys((item.document, item.row_start, item.row_end) for item in computation.operands))
    citations = tuple(
        Citation(number, document, document.page_at(start), start, end, document.text[start:end])
        for number, (document, start, end) in enumerate(spans, start=1)
    )
    numbers = tuple(citation.number for citation in citations)
    text = computation.text
    sentences = tuple(AnswerSentence(start, end, text[start:end], numbers) for start, end in sentence_spans(text))
    return citations, sentences
