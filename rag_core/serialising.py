"""Records as plain dictionaries for JSON: the command line's `--json` and the app's endpoints say the same thing."""

from __future__ import annotations

from typing import Any

from rag_core.records import Answer, Citation, Computation, Document, Hit

__all__ = ["answer_dict", "citation_dict", "computation_dict", "document_dict", "hit_dict"]


def document_dict(document: Document) -> dict[str, Any]:
    """Return what describes a document, without its text."""
    return {
        "id": document.id,
        "name": document.name,
        "media_type": document.media_type,
        "bytes": document.byte_count,
        "pages": document.page_count,
        "characters": document.character_count,
        "chunks": document.chunk_count,
        "windows": document.window_count,
        "warnings": list(document.warnings),
    }


def hit_dict(hit: Hit) -> dict[str, Any]:
    """Return a hit; `start` and `end` are characters of the document's text, `page` is 1-based, `score` in [0, 1]."""
    return {
        "document": _reference(hit.document),
        "page": hit.page,
        "start": hit.start,
        "end": hit.end,
        "score": round(hit.score, 4),
        "headings": list(hit.headings),
        "text": hit.text,
    }


def citation_dict(citation: Citation) -> dict[str, Any]:
    """Return a citation; `quote` is verbatim what the document has from `start` to `end`."""
    return {
        "number": citation.number,
        "document": _reference(citation.document),
        "page": citation.page,
        "start": citation.start,
        "end": citation.end,
        "quote": citation.quote,
        "score": citation.score,
    }


def computation_dict(computation: Computation) -> dict[str, Any]:
    """Return a computation; figures are decimal strings, exact, before the scale that `unit` names."""
    return {
        "operation": computation.operation,
        "formula": computation.formula,
        "value": str(computation.value),
        "unit": computation.unit,
        "scale": computation.scale,
        "text": computation.text,
        "operands": [
            {
                "label": operand.label,
                "period": operand.period,
                "value": str(operand.value),
                "text": operand.text,
                "unit": operand.unit,
                "document": _reference(operand.document),
                "page": operand.page,
                "start": operand.start,
                "end": operand.end,
                "row_start": operand.row_start,
                "row_end": operand.row_end,
            }
            for operand in computation.operands
        ],
    }


def answer_dict(answer: Answer) -> dict[str, Any]:
    """Return every field of an answer; `timings` are seconds."""
    return {
        "question": answer.question,
        "query": answer.query,
        "text": answer.text,
        "abstained": answer.abstained,
        "reason": answer.reason,
        "citations": [citation_dict(citation) for citation in answer.citations],
        "sentences": [
            {
                "start": sentence.start,
                "end": sentence.end,
                "text": sentence.text,
                "supported": sentence.supported,
                "citations": list(sentence.citations),
            }
            for sentence in answer.sentences
        ],
        "hits": [hit_dict(hit) for hit in answer.hits],
        "finish_reason": answer.finish_reason,
        "model": answer.model,
        "timings": {stage: round(seconds, 4) for stage, seconds in answer.timings.items()},
        "tokens": {
            "prompt": answer.tokens.prompt,
            "completion": answer.tokens.completion,
            "cached": answer.tokens.cached,
        },
        "dropped_passages": answer.dropped_passages,
        "dropped_turns": answer.dropped_turns,
        "computation": computation_dict(answer.computation) if answer.computation else None,
    }


def _reference(document: Document) -> dict[str, str]:
    return {"id": document.id, "name": document.name}
