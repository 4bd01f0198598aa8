"""Two readers in turn: a quick one reads every passage, a better one those in which it found most.

The better one, ten times as large, would take half a second for all of them; where it cannot be had the quick one's word
stands.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Sequence
from dataclasses import replace

from rag_core.answers.reader import ReadSpan, SpanReader
from rag_core.answers.readingmodels import ReadingModel
from rag_core.errors import ModelLoadError

__all__ = ["CascadeReader"]

log = logging.getLogger(__name__)
# Texts that are read again, and the nats behind the best at which one is not: the quick reader is seldom so wrong.
_MOST_CLOSE, _BEHIND = 2, 8.0


class CascadeReader:
    """A `SpanReader` over two models. Thread-safe."""

    def __init__(self, quick: SpanReader, load: Callable[[], ReadingModel | None]) -> None:
        """Load nothing yet. `load` returns the better model, None where it is not to be had."""
        self._quick, self._load = quick, load
        self._lock = threading.Lock()
        self._close: SpanReader | None = None
        self._tried = False

    @property
    def close(self) -> bool:
        """Whether what it says comes from the better model. Known once it is loaded."""
        return self._close is not None

    def load(self) -> None:
        """Load both models, once; one that does not load is the same as none. Raises ModelError for the quick one."""
        with self._lock:
            if self._tried:
                return
            try:
                model = self._load()
            except ModelLoadError as error:
                log.warning("Passages are read by the quick reader alone: %s", error)
                model = None
            if model is not None:
                self._close = SpanReader(lambda: model, "close reader")
                self._close.load()
            self._tried = True
        self._quick.load()

    def candidates(self, question: str, texts: Sequence[str], count: int) -> list[list[ReadSpan]]:
        """Return for each text at most `count` spans that do not overlap, best first; none for what was not read again.

        The quick reader's margin is the `other` of each. Raises ModelError.
        """
        self.load()
        if self._close is None:
            return self._quick.candidates(question, texts, count)
        margins = [span.margin for span in self._quick.read(question, texts)]
        order = sorted(range(len(texts)), key=lambda text: -margins[text])[:_MOST_CLOSE]
        chosen = [text for text in order if margins[text] >= margins[order[0]] - _BEHIND]
        found: list[list[ReadSpan]] = [[] for _ in texts]
        again = self._close.candidates(question, [texts[text] for text in chosen], count)
        for text, spans in zip(chosen, again, strict=True):
            found[text] = [replace(span, other=margins[text]) for span in spans]
        return found
