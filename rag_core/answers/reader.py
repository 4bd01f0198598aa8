"""Reading: the words of a passage that answer a question, and by how much they beat "not in this passage".

A model's head over the tokens of question and passage, read together, marks start and end of the answer (Devlin et al.
2019, arXiv:1810.04805, section 4.3). What it answers stands in the passage word for word, and the first token's score,
which stands for "no answer", is what the best span has to beat. For the models see `rag_core.answers.readingmodels`.
"""

from __future__ import annotations

import re
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Protocol

import numpy as np
import numpy.typing as npt

from rag_core.answers.planning import figure_spans
from rag_core.answers.readingmodels import ReadingModel, encoder_model
from rag_core.arithmetic.plans import Plan
from rag_core.collecting import first_load
from rag_core.config import RagConfig
from rag_core.encoder.embedding import encodable

if TYPE_CHECKING:
    from tokenizers import Encoding

__all__ = ["Marked", "ReadSpan", "Reader", "SpanReader", "apart"]

# Tokens that two windows of a text share, and the most of a question.
_OVERLAP, _MOST_QUESTION = 96, 96
# Tokens of the longest answer.
_MOST_ANSWER = 80
_WORD = re.compile(r"[$€£¥]?\w+(?:[.,:'’&/-]\w+)*%?")
# Words that turn what follows into its opposite: an answer that begins behind one begins with it.
_AGAINST = re.compile(
    r"\b(?:not|never|no longer|neither|nor|without|unable|failed|refused|declined|\w{2,6}n['’]t) $", re.IGNORECASE
)
_OUTER = " \t\r\n,;:.!?|\"'“”‘’–—"


@dataclass(frozen=True, slots=True)
class ReadSpan:
    """The characters [start, end) of a text that answer best.

    `margin` is by how many nats the span beats "not in this text" (sum of both scores less the first token's): above 0
    the text is more likely to hold the answer than not, and it orders the texts of one question. `both` are the margins of
    the best spans that a better reader and the quick one found in the text, None where only one reader read it.
    """

    start: int
    end: int
    margin: float
    both: tuple[float, float] | None = None


_NOTHING = ReadSpan(0, 0, -float("inf"))


@dataclass(frozen=True, slots=True)
class Marked:
    """What was marked in one text: spans that do not overlap, best first, and where one plans the plan of a calculation.

    `held` is by how many nats the text is likelier to hold the answer than not, said or to be computed.
    """

    spans: list[ReadSpan]
    plan: Plan | None = None
    held: float = 0.0


class Reader(Protocol):
    """What marks answers in passages."""

    def load(self) -> None:
        """Load what it reads with, once. Raises ModelError."""

    def mark(self, question: str, texts: Sequence[str], count: int) -> list[Marked]:
        """Return what is marked in each text, at most `count` spans. Raises ModelError."""


class SpanReader:
    """Reads with a model that is loaded at first use. Thread-safe."""

    def __init__(self, load: Callable[[], ReadingModel] | None = None, name: str = "reader") -> None:
        """Load nothing yet: `load` is called once, when there is something to read; by default it loads the encoder."""
        self._load = load or partial(encoder_model, RagConfig().cache_directory)
        self._name = name
        self._lock = threading.Lock()
        self._model: ReadingModel | None = None

    @property
    def loaded(self) -> bool:
        """Whether the weights are in memory."""
        return self._model is not None

    def load(self) -> None:
        """Load the model, once. Raises ModelError where it is absent or is not the one that was trained from."""
        self._loaded()

    def read(self, question: str, texts: Sequence[str]) -> list[ReadSpan]:
        """Return the best span of each text, in their order; an empty text gives an empty span. Raises ModelError."""
        marked = self.mark(question, texts, 1)
        return [each.spans[0] if each.spans else _NOTHING for each in marked]

    def mark(self, question: str, texts: Sequence[str], count: int) -> list[Marked]:
        """Return what is marked in each text, at most `count` spans. Raises ModelError."""
        model = self._loaded()
        tokenizer = model.tokenizer
        asked = tokenizer.encode(encodable(question)).ids[:-1][:_MOST_QUESTION]
        windows: list[tuple[int, list[int], list[tuple[int, int]]]] = []
        for number, text in enumerate(texts):
            read = tokenizer.encode(encodable(text), add_special_tokens=False)
            windows += [(number, *window) for window in _windows(read, model.window - len(asked) - 2)]
        end = tokenizer.encode("").ids[-1]
        pairs = [([*asked, end, *ids, end], len(asked) + 1) for _, ids, _ in windows]
        found: list[list[ReadSpan]] = [[] for _ in texts]
        plans: list[list[Plan]] = [[] for _ in texts]
        figures = [figure_spans(text) if model.planner else [] for text in texts]
        for (number, ids, offsets), read_states in zip(
            windows, model.encoder.states(pairs) if pairs else [], strict=True
        ):
            states = np.asarray(read_states)
            scores = states @ model.weight.T + model.bias
            for first, last, margin in _best(scores, len(asked) + 1, len(ids), count):
                start, stop = _whole(texts[number], offsets[first][0], offsets[last][1])
                if stop > start:
                    found[number].append(ReadSpan(start, stop, margin))
            if model.planner:
                plans[number].append(
                    model.planner.plan(states, len(asked) + 1, texts[number], figures[number], offsets)
                )
        best = [max(several, key=lambda plan: plan.probability, default=None) for several in plans]
        held = [max((plan.held for plan in several), default=0.0) for several in plans]
        return [Marked(apart(spans)[:count], plan, own) for spans, plan, own in zip(found, best, held, strict=True)]

    def _loaded(self) -> ReadingModel:
        with self._lock:
            if self._model is None:
                with first_load(self._name):
                    self._model = self._load()
            return self._model


def _windows(read: Encoding, room: int) -> list[tuple[list[int], list[tuple[int, int]]]]:
    """Return ids and character offsets of a text in overlapping parts of at most `room` word pieces."""
    ids, offsets = read.ids, read.offsets
    starts = range(0, max(1, len(ids) - _OVERLAP), room - _OVERLAP)
    return [(ids[start : start + room], offsets[start : start + room]) for start in starts] if ids else []


def apart(spans: list[ReadSpan]) -> list[ReadSpan]:
    """Return the spans best first, without those that overlap a better one: windows overlap, and readers agree."""
    kept: list[ReadSpan] = []
    for span in sorted(spans, key=lambda item: -item.margin):
        if not any(span.start < other.end and other.start < span.end for other in kept):
            kept.append(span)
    return kept


def _best(scores: npt.NDArray[np.float32], first: int, count: int, most: int) -> list[tuple[int, int, float]]:
    """Return first and last token of the `most` best spans apart among `count` tokens from `first` on, with their margins.

    `scores` is float32 (tokens, 2): how well each token starts and ends an answer. Margins are in nats.
    """
    starts, ends = scores[first : first + count, 0], scores[first : first + count, 1]
    table = starts[:, None] + ends[None, :]
    allowed = np.triu(np.ones_like(table, dtype=bool)) & ~np.triu(np.ones_like(table, dtype=bool), _MOST_ANSWER)
    table[~allowed] = -np.inf
    nothing, found = float(scores[0].sum()), []
    for _ in range(most):
        start, end = divmod(int(table.argmax()), count)
        if not np.isfinite(table[start, end]):
            break
        found.append((start, end, float(table[start, end]) - nothing))
        table[: end + 1, start:] = -np.inf
    return found


def _whole(text: str, start: int, end: int) -> tuple[int, int]:
    """Widen [start, end) to whole words and figures, and leave out the marks around them."""
    from_here = max(0, start - 40)
    for match in _WORD.finditer(text[from_here : end + 40]):
        low, high = match.start() + from_here, match.end() + from_here
        if low < start < high:
            start = low
        if low < end < high:
            end = high
    while start < end and text[start] in _OUTER:
        start += 1
    while end > start and text[end - 1] in _OUTER:
        end -= 1
    if against := _AGAINST.search(text, max(0, start - 12), start):
        start = against.start()
    inner = text[start:end]
    if inner[:1] == "(" and ")" not in inner:
        start += 1
    if inner[-1:] == ")" and "(" not in inner:
        end -= 1
    if (opened := inner.rfind("(")) > 0 and ")" not in inner[opened:]:
        # What is cut off in the middle of a bracket ends before it.
        end = start + len(inner[:opened].rstrip(_OUTER))
    return start, end
