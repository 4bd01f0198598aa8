"""What a system gave for one question, and how right that is."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from rag_core.answers.citing import verify
from rag_core.evaluation.figures import numeric_match
from rag_core.evaluation.questions import EvalQuestion
from rag_core.evaluation.scoring import exact_match, holds, token_f1, word_count
from rag_core.records import Answer

__all__ = ["Given", "Marks", "given_by", "mark"]

# Share of the words of a quote and of the expected evidence that must be the same, in the one or the other.
_SAME_EVIDENCE = 0.8


@dataclass(frozen=True, slots=True)
class Given:
    """What a system gave: its text, whether it declined, and what it cited.

    `verbatim` counts the quotes that stand in their document character for character, `supported` the sentences of
    `sentences` that a passage supports. Times are in seconds.
    """

    text: str
    abstained: bool = False
    quotes: tuple[str, ...] = ()
    verbatim: int = 0
    sentences: int = 0
    supported: int = 0
    first_token_seconds: float = 0.0
    total_seconds: float = 0.0
    reason: str = ""
    formula: str = ""

    def as_dict(self) -> dict[str, Any]:
        """Return the fields for JSON."""
        return asdict(self)

    @classmethod
    def from_dict(cls, row: Mapping[str, Any]) -> Given:
        """Return what `as_dict` gave. Raises TypeError or KeyError for anything else."""
        return cls(**{**row, "quotes": tuple(row["quotes"])})


@dataclass(frozen=True, slots=True)
class Marks:
    """Marks of one question. Shares are in [0, 1]; None where the question or the answer has nothing to mark.

    `numeric` compares figures with scale, sign and percentage, `as_written` lets the scale be missing, which a table's
    header has. `cited_right`: one quote holds the evidence, or all together hold the cells of a computed answer.
    `citation_precision` is the share of quotes that hold some of it, `citation_recall` the share of it that is quoted.
    """

    answerable: bool
    abstained: bool
    words: int
    f1: float | None = None
    exact: bool | None = None
    contained: bool | None = None
    numeric: bool | None = None
    as_written: bool | None = None
    cited_right: bool | None = None
    citation_precision: float | None = None
    citation_recall: float | None = None
    repeated: bool | None = None


def given_by(answer: Answer) -> Given:
    """Return what a pipeline's answer gave."""
    return Given(
        text=answer.text,
        abstained=answer.abstained,
        quotes=tuple(citation.quote for citation in answer.citations),
        verbatim=sum(verify(citation) for citation in answer.citations),
        sentences=len(answer.sentences),
        supported=sum(sentence.supported for sentence in answer.sentences),
        first_token_seconds=answer.timings.get("first_token", answer.timings.get("total", 0.0)),
        total_seconds=answer.timings.get("total", 0.0),
        reason=answer.reason,
        formula=answer.computation.formula if answer.computation is not None else "",
    )


def mark(question: EvalQuestion, given: Given) -> Marks:
    """Return the marks of what was given for `question`."""
    words = word_count(given.text)
    repeated = _repeated(question, given)
    if not question.answerable or not question.answers:
        return Marks(question.answerable, given.abstained, words, repeated=repeated)
    precision, recall, right = _citations(question, given)
    numeric = _numeric(given.text, question.figures, question.answers)
    return Marks(
        answerable=True,
        abstained=given.abstained,
        words=words,
        f1=max(token_f1(given.text, answer) for answer in question.answers),
        exact=any(exact_match(given.text, answer) for answer in question.answers),
        contained=_holds_all(given.text, question.contained),
        numeric=numeric,
        as_written=numeric or _numeric(given.text, question.parts, question.answers),
        cited_right=right,
        citation_precision=precision,
        citation_recall=recall,
        repeated=repeated,
    )


def _numeric(text: str, parts: tuple[str, ...], answers: tuple[str, ...]) -> bool | None:
    """Return whether the figures of all parts, or of any of the answers, are in `text`; None where there are none."""
    found = [match for match in (numeric_match(text, item) for item in parts or answers) if match is not None]
    return (all(found) if parts else any(found)) if found else None


def _repeated(question: EvalQuestion, given: Given) -> bool | None:
    if not question.rejected:
        return None
    return any(exact_match(given.text, answer) for answer in question.rejected)


def _holds_all(text: str, groups: tuple[tuple[str, ...], ...]) -> bool:
    return all(any(holds(text, spelling) for spelling in group) for group in groups)


def _citations(question: EvalQuestion, given: Given) -> tuple[float | None, float | None, bool | None]:
    """Return precision, recall, and whether the cited span is right, of an answer that was not withheld."""
    if given.abstained:
        return None, None, None
    groups = question.cited
    told = question.evidence or question.operands or not question.text
    if not told and not _holds_all(question.text, groups):
        # The answer has to be computed, and no row says from what: no quote can hold it.
        return None, None, None
    if not given.quotes:
        return None, 0.0, False
    if any(_is_evidence(quote, question.evidence) for quote in given.quotes):
        fitting = sum(_is_evidence(quote, question.evidence) or _holds_any(quote, groups) for quote in given.quotes)
        return fitting / len(given.quotes), 1.0, True
    fitting = sum(_holds_any(quote, groups) for quote in given.quotes)
    quoted = "\n".join(given.quotes)
    held = sum(any(holds(quoted, spelling) for spelling in group) for group in groups)
    return fitting / len(given.quotes), held / len(groups), held == len(groups)


def _holds_any(quote: str, groups: tuple[tuple[str, ...], ...]) -> bool:
    return any(holds(quote, spelling) for group in groups for spelling in group)


def _is_evidence(quote: str, evidence: tuple[str, ...]) -> bool:
    """Return whether a quote is one of the expected ones, or nearly: a sentence more or less at either end."""
    return any(
        holds(quote, wanted) or holds(wanted, quote) or token_f1(quote, wanted) >= _SAME_EVIDENCE
        for wanted in evidence
        if wanted
    )
