"""Means of marks over questions, and how they are printed."""

from __future__ import annotations

import statistics
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from typing import Any

from rag_core.evaluation.marking import Given, Marks
from rag_core.evaluation.scoring import word_count

__all__ = ["LABELS", "LONG_WORDS", "Summary", "summarise", "table"]

# An answer of more words is long, unless a long one was asked for.
LONG_WORDS = 60


@dataclass(frozen=True, slots=True)
class Summary:
    """Means in [0, 1] unless said otherwise; None where no question has such a mark.

    `f1` to `as_written` are over the questions that the documents answer, withheld answers counted as wrong. Citation
    figures are over those of them that were answered. `abstention_precision`: of the answers withheld, the share whose
    question has no answer in the documents; `abstention_recall`: of such questions, the share that was withheld.
    `sentences_supported` and `quotes_verbatim` are over all sentences and quotes; `quoted_words` is what there is to read
    of them. Times are medians in seconds over `timed` questions.
    """

    questions: int
    answerable: int
    f1: float | None
    exact: float | None
    contained: float | None
    numeric: float | None
    as_written: float | None
    answered: float | None
    cited_right: float | None
    citation_precision: float | None
    citation_recall: float | None
    sentences_supported: float | None
    quotes_verbatim: float | None
    quoted_words: float | None
    abstention_precision: float | None
    abstention_recall: float | None
    repeated: float | None
    words: float | None
    longest_words: int
    long_answers: int
    timed: int
    first_token_seconds: float | None
    total_seconds: float | None

    def as_dict(self) -> dict[str, Any]:
        """Return the fields for JSON, rounded to four digits."""
        return {key: round(value, 4) if isinstance(value, float) else value for key, value in asdict(self).items()}


LABELS: dict[str, str] = {
    "questions": "questions",
    "answerable": "  of them answerable",
    "f1": "answer F1",
    "exact": "exact match",
    "contained": "expected answer contained",
    "numeric": "figures right, with scale",
    "as_written": "figures right, scale or not",
    "answered": "answerable and answered",
    "cited_right": "cited span right",
    "citation_precision": "citation precision",
    "citation_recall": "citation recall",
    "sentences_supported": "sentences supported",
    "quotes_verbatim": "quotes verbatim",
    "quoted_words": "words quoted an answer",
    "abstention_precision": "abstention precision",
    "abstention_recall": "abstention recall",
    "repeated": "rejected answers repeated",
    "words": "words an answer (mean)",
    "longest_words": "words of the longest",
    "long_answers": f"answers over {LONG_WORDS} words",
    "timed": "questions timed",
    "first_token_seconds": "first words (s, median)",
    "total_seconds": "whole answer (s, median)",
}


def summarise(rows: Sequence[tuple[Marks, Given]]) -> Summary:
    """Return the means over questions; at least one row."""
    marks = [row[0] for row in rows]
    given = [row[1] for row in rows]
    answerable = [item for item in marks if item.answerable]
    withheld = [item for item in marks if item.abstained]
    lacking = [item for item in marks if not item.answerable]
    said = [(item, what) for item, what in rows if not item.abstained]
    timed = [item for item in given if item.total_seconds]
    sentences, quotes = sum(item.sentences for item in given), sum(len(item.quotes) for item in given)
    return Summary(
        questions=len(marks),
        answerable=len(answerable),
        f1=_mean(item.f1 for item in marks),
        exact=_mean(item.exact for item in marks),
        contained=_mean(item.contained for item in marks),
        numeric=_mean(item.numeric for item in marks),
        as_written=_mean(item.as_written for item in marks),
        answered=_mean(not item.abstained for item in answerable),
        cited_right=_mean(item.cited_right for item in marks),
        citation_precision=_mean(item.citation_precision for item in marks),
        citation_recall=_mean(item.citation_recall for item in marks),
        sentences_supported=sum(item.supported for item in given) / sentences if sentences else None,
        quotes_verbatim=sum(item.verbatim for item in given) / quotes if quotes else None,
        quoted_words=_mean(sum(word_count(quote) for quote in what.quotes) for _, what in said if what.quotes),
        abstention_precision=_mean(not item.answerable for item in withheld),
        abstention_recall=_mean(item.abstained for item in lacking),
        repeated=_mean(item.repeated for item in marks),
        words=_mean(item.words for item, _ in said),
        longest_words=max((item.words for item in marks), default=0),
        long_answers=sum(item.words > LONG_WORDS for item in marks),
        timed=len(timed),
        first_token_seconds=statistics.median(item.first_token_seconds for item in timed) if timed else None,
        total_seconds=statistics.median(item.total_seconds for item in timed) if timed else None,
    )


def table(columns: Mapping[str, Summary]) -> str:
    """Return the summaries side by side, one figure a line; lines without any figure are left out."""
    width = max(14, *(len(name) + 2 for name in columns))
    lines = [f"{'':<28}" + "".join(f"{name:>{width}}" for name in columns)]
    for field in fields(Summary):
        values = [getattr(summary, field.name) for summary in columns.values()]
        if any(value is not None for value in values):
            lines.append(f"{LABELS[field.name]:<28}" + "".join(f"{_shown(value):>{width}}" for value in values))
    return "\n".join(lines)


def _shown(value: float | None) -> str:
    if value is None:
        return "-"
    return str(value) if isinstance(value, int) else f"{value:.3f}"


def _mean(values: Iterable[float | bool | None]) -> float | None:
    kept = [float(value) for value in values if value is not None]
    return sum(kept) / len(kept) if kept else None
