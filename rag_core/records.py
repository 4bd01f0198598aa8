"""The values that pass between the stages: frozen, plain, and free of behaviour beyond what they derive from themselves.

Every span is a half-open range of characters [start, end) of `Document.text`; every page number is 1-based.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Literal

__all__ = [
    "Answer",
    "AnswerEvent",
    "AnswerSentence",
    "Chunk",
    "Citation",
    "CitationsEvent",
    "Computation",
    "Document",
    "DoneEvent",
    "FinishReason",
    "Heading",
    "Hit",
    "Message",
    "Operand",
    "Operation",
    "Page",
    "Progress",
    "ProgressCallback",
    "Table",
    "TextEvent",
    "TokenCounts",
    "Window",
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
    "count",
    "highest",
    "lowest",
]


@dataclass(frozen=True, slots=True)
class Progress:
    """One step of a longer job: `done` of `total` units of `stage`; `total` is 0 while it is unknown."""

    stage: Literal["reading", "splitting", "embedding", "saving", "downloading", "converting", "loading"]
    done: int = 0
    total: int = 0
    detail: str = ""


ProgressCallback = Callable[[Progress], None]


@dataclass(frozen=True, slots=True)
class Page:
    """One page (PDF), sheet (xlsx) or the whole (all other formats): `number` is 1-based, the span is of the text."""

    number: int
    start: int
    end: int
    label: str = ""


@dataclass(frozen=True, slots=True)
class Heading:
    """A heading in the text: `level` 1 (outermost) to 6, `title` its words, the span where it stands."""

    level: int
    title: str
    start: int
    end: int


@dataclass(frozen=True, slots=True)
class Table:
    """A table in the text, one row a line with cells joined by ` | `; `header` is the span of its header row, if any."""

    start: int
    end: int
    header_start: int = 0
    header_end: int = 0


@dataclass(frozen=True, slots=True)
class Document:
    """A file that was read: its text, and where pages, headings and tables stand in it.

    `id` is a SHA-256 of the file's bytes and its type, so the same content has the same id under any name.
    """

    id: str
    name: str
    media_type: str
    byte_count: int
    text: str = field(repr=False)
    pages: tuple[Page, ...] = field(default=(), repr=False)
    headings: tuple[Heading, ...] = field(default=(), repr=False)
    tables: tuple[Table, ...] = field(default=(), repr=False)
    warnings: tuple[str, ...] = ()
    chunk_count: int = 0
    window_count: int = 0

    @property
    def page_count(self) -> int:
        """Number of pages."""
        return len(self.pages)

    @property
    def character_count(self) -> int:
        """Length of the text in characters."""
        return len(self.text)

    def page_at(self, position: int) -> int:
        """Return the 1-based number of the page that holds the character at `position`."""
        low, high = 0, len(self.pages) - 1
        while low < high:
            middle = (low + high + 1) // 2
            if self.pages[middle].start <= position:
                low = middle
            else:
                high = middle - 1
        return self.pages[low].number if self.pages else 1


@dataclass(frozen=True, slots=True)
class Window:
    """The part of a chunk that is embedded: short enough that the embedder reads all of it."""

    start: int
    end: int


@dataclass(frozen=True, slots=True)
class Chunk:
    """A passage for the prompt, and the windows under which it is found.

    `headings` are the titles it stands under, outermost first. `text` equals `document.text[start:end]`.
    """

    document_id: str
    number: int
    start: int
    end: int
    page: int
    text: str
    headings: tuple[str, ...] = ()
    windows: tuple[Window, ...] = ()


@dataclass(frozen=True, slots=True)
class Hit:
    """A passage found for a question. `score` is in [0, 1], higher is better; `text` equals `document.text[start:end]`.

    `focus` is the span of the window that matched best, inside [start, end).
    `dense_score` is the cosine in [-1, 1] of that window with the question, `lexical_score` the BM25 score (0 or more).
    """

    document: Document
    page: int
    start: int
    end: int
    text: str = field(repr=False)
    score: float
    focus: Window
    headings: tuple[str, ...] = ()
    dense_score: float = 0.0
    lexical_score: float = 0.0


@dataclass(frozen=True, slots=True)
class Message:
    """One turn of a conversation, in the roles that chat templates know."""

    role: Literal["system", "user", "assistant"]
    content: str


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
