"""What is answered: citations, figures computed, the answer, and the events in which it comes.

Every span is a half-open range of characters [start, end) of `Document.text`; every page number is 1-based.
"""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal
from typing import Literal

from rag_core.records.documents import Document, Hit

__all__ = [
    "Answer",
    "AnswerEvent",
    "AnswerSentence",
    "Citation",
    "CitationsEvent",
    "Computation",
    "DoneEvent",
    "FinishReason",
    "Operand",
    "Operation",
    "TextEvent",
    "TokenCounts",
]

FinishReason = Literal["stop", "length", "cancelled", "abstained"]
Operation = Literal[
    "change",
    "percentage change",
    "compound growth",
    "difference",
    "sum",
    "average",
    "ratio",
    "percentage of",
    "product",
    "complement",
    "count",
    "highest",
    "lowest",
]


@dataclass(frozen=True, slots=True)
class Citation:
    """An exact span of a document: `quote` equals `document.text[start:end]`, verified before it is shown.

    `number` is 1-based and is what the answer's chips show; `score` in [0, 1] says how much of the sentence it covers.
    """

    number: int
    document: Document
    page: int
    start: int
    end: int
    quote: str
    score: float = 1.0


@dataclass(frozen=True, slots=True)
class AnswerSentence:
    """A sentence of the answer (a span of `Answer.text`) with the numbers of the citations that support it."""

    start: int
    end: int
    text: str
    citations: tuple[int, ...] = ()

    @property
    def supported(self) -> bool:
        """Whether any passage supports it."""
        return bool(self.citations)


@dataclass(frozen=True, slots=True)
class Operand:
    """A figure that a computation takes from a document: `text` is how it is printed, `value` that as a number.

    `value` is before the scale that `unit` names ("$ million"). `[start, end)` is the span of the figure, and
    `[row_start, row_end)` that of the table row or sentence it stands in, which is what is cited.
    """

    label: str
    period: str
    value: Decimal
    text: str
    unit: str
    document: Document
    page: int
    start: int
    end: int
    row_start: int
    row_end: int


@dataclass(frozen=True, slots=True)
class Computation:
    """A figure computed from cells, in exact decimals: `text` answers in short, `formula` shows how.

    `value` is rounded as it is shown, before the scale that `unit` names and `scale` gives as a power of ten (6 for
    millions); percentages are in percent.
    """

    operation: Operation
    formula: str
    value: Decimal
    unit: str
    operands: tuple[Operand, ...]
    text: str
    scale: int = 0


@dataclass(frozen=True, slots=True)
class TokenCounts:
    """Tokens of the generator: `prompt` in, `completion` out, and `cached` of the prompt that were not computed again."""

    prompt: int = 0
    completion: int = 0
    cached: int = 0


@dataclass(frozen=True, slots=True)
class Answer:
    """What was asked and answered. `query` is what was searched: the question with its history resolved.

    `timings` are seconds by stage: search, first_token, total. `dropped_passages` counts hits that the token budget
    left out of the prompt (the lowest ranked); `dropped_turns` likewise the oldest turns of the history. `computation`
    is set where the answer is a figure computed from cited cells; then no model was asked.
    """

    question: str
    query: str
    text: str
    citations: tuple[Citation, ...]
    sentences: tuple[AnswerSentence, ...]
    abstained: bool
    hits: tuple[Hit, ...]
    finish_reason: FinishReason
    model: str
    timings: dict[str, float]
    tokens: TokenCounts
    dropped_passages: int = 0
    dropped_turns: int = 0
    reason: str = ""
    computation: Computation | None = None


@dataclass(frozen=True, slots=True)
class TextEvent:
    """The next piece of the answer's text; empty between the parts of a long prompt, where a stream can be closed too."""

    text: str
    kind: Literal["text"] = "text"


@dataclass(frozen=True, slots=True)
class CitationsEvent:
    """All citations, once, after the last piece of text."""

    citations: tuple[Citation, ...]
    sentences: tuple[AnswerSentence, ...]
    kind: Literal["citations"] = "citations"


@dataclass(frozen=True, slots=True)
class DoneEvent:
    """The end: the whole answer."""

    answer: Answer
    kind: Literal["done"] = "done"


AnswerEvent = TextEvent | CitationsEvent | DoneEvent
