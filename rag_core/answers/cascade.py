"""Two readers in turn: a quick one reads every passage, a better one those in which it found most.

The better one, ten times as large, would take half a second for all of them. What either marks is weighed by both: they
err on different questions. On the analysts' questions that gains 0.007 of F1 over the better one alone, on company reports
nothing, and loses 0.006 on paragraphs. Where the better one cannot be had the quick one's word stands.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Sequence

from rag_core.answers.reader import Marked, ReadSpan, SpanReader, apart
from rag_core.answers.readingmodels import ReadingModel
from rag_core.collecting import first_load
from rag_core.errors import ModelLoadError

__all__ = ["CascadeReader"]

log = logging.getLogger(__name__)
# Texts that are read again, and the nats behind the best at which one is not: the quick reader is seldom so wrong.
_MOST_CLOSE, _BEHIND = 2, 8.0
# How much the quick reader's margin counts beside the better one's, and from which overlap on two spans are the same.
_QUICK_SHARE, _SAME = 0.2, 0.3


class CascadeReader:
    """A `Reader` over two models. Thread-safe."""

    def __init__(self, quick: SpanReader, load: Callable[[], ReadingModel | None]) -> None:
        """Load nothing yet. `load` returns the better model, None where it is not to be had."""
        self._quick, self._load = quick, load
        self._lock = threading.Lock()
        self._close: SpanReader | None = None
        self._tried = False

    @property
    def closely(self) -> bool:
        """Whether the better model is loaded."""
        return self._close is not None

    def load(self) -> None:
        """Load both models, once; a better one that does not load is the same as none. Raises ModelError."""
        self._quick.load()
        with self._lock:
            if self._tried:
                return
            try:
                with first_load("close reader"):
                    model = self._load()
            except ModelLoadError as error:
                log.warning("Passages are read by the quick reader alone: %s", error)
                model = None
            if model is not None:
                self._close = SpanReader(lambda: model, "close reader")
            self._tried = True

    def mark(self, question: str, texts: Sequence[str], count: int) -> list[Marked]:
        """Return what is marked in each text, at most `count` spans; none in what was not read again.

        The margins are of both readers together, the plans the better one's. Where there is no memory to read again, the
        spans are the quick one's. Raises ModelError.
        """
        self.load()
        quick = self._quick.mark(question, texts, count)
        if self._close is None:
            return quick
        margins = [each.spans[0].margin if each.spans else -float("inf") for each in quick]
        order = sorted(range(len(texts)), key=lambda text: -margins[text])[:_MOST_CLOSE]
        chosen = [text for text in order if quick[text].spans and margins[text] >= margins[order[0]] - _BEHIND]
        try:
            again = self._close.mark(question, [texts[text] for text in chosen], count)
        except MemoryError:
            log.warning("There is no memory to read passages again; the quick reader's word stands")
            return quick
        found = [Marked([]) for _ in texts]
        for text, close in zip(chosen, again, strict=True):
            found[text] = Marked(_weighed(close.spans, quick[text].spans)[:count], close.plan, close.held)
        return found


def _weighed(close: Sequence[ReadSpan], quick: Sequence[ReadSpan]) -> list[ReadSpan]:
    """Return what either reader marked in a text, with the margin of both, best first, without what overlaps."""
    if not close:
        return []
    whole = 1.0 + _QUICK_SHARE
    both = [
        ReadSpan(
            span.start,
            span.end,
            (_margin_of(span, close) + _QUICK_SHARE * _margin_of(span, quick)) / whole,
            (close[0].margin, quick[0].margin),
        )
        for span in (*close, *quick)
    ]
    return apart(both)


def _margin_of(span: ReadSpan, spans: Sequence[ReadSpan]) -> float:
    """Return the margin of the best of `spans` that is about the same, that of the worst of all where none is."""
    same = [other.margin for other in spans if _overlap(span, other) >= _SAME]
    return max(same) if same else min(other.margin for other in spans)


def _overlap(one: ReadSpan, other: ReadSpan) -> float:
    """Return the share in [0, 1] of the characters of both that they have in common."""
    common = min(one.end, other.end) - max(one.start, other.start)
    return max(0, common) / (max(one.end, other.end) - min(one.start, other.start))
