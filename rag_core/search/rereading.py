"""The order of the first passages once more, with what a reading model finds in each of them.

Search compares question and passage from afar: two vectors, and shared words. The model that marks answers
(`rag_core.answers.reader`) reads both together, and its margin says by how much the best words of a passage beat "not
in this passage". That is evidence beside the other, not in its place: added to the log-odds of a passage's score with a
small weight, and no more than so much to either side, since it was taught to be sure of look-up questions and has no
say on what has to be computed.

Only the window that was found is read: 126 word pieces cost a third of the whole passage, and tell more. The passages
take over, in their new order, the scores that they had before, for which see `rag_core.search.reranking`.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Sequence
from typing import Protocol

from rag_core.errors import ModelLoadError
from rag_core.records import Hit
from rag_core.search.reranking import in_order

__all__ = ["PassageReader", "Rereader"]

log = logging.getLogger(__name__)
# Log-odds for each nat of the margin, and the nats that count to either side.
_WEIGHT = 0.03
_MOST = 10.0
# Log-odds by which another passage must be ahead to take the first place: in near ties the search decides.
_CLEARLY = 0.05
# Log-odds behind the first at which a passage is not read: what is added, 0.3 to either side, can make up 0.6 at most.
_BEHIND = 1.0
# Keeps the log-odds of a score finite.
_TINY = 1e-6


class _Read(Protocol):
    @property
    def margin(self) -> float: ...


class PassageReader(Protocol):
    """Reads passages for a question. May be called from any thread; loads its model at first use."""

    def load(self) -> None:
        """Load the model, once. Raises ModelError."""

    def read(self, question: str, texts: Sequence[str]) -> Sequence[_Read]:
        """Return for each text the `margin`, in nats, by which its best words beat "no answer". Raises ModelError."""


class Rereader:
    """Orders passages by their score and what a reader finds in them. Thread-safe where the reader is."""

    def __init__(self, reader: PassageReader) -> None:
        self._reader = reader
        self._absent = False

    def load(self) -> None:
        """Have the reader load its model now; where it is not to be had nothing is read. Raises ModelError."""
        if self._absent:
            return
        try:
            self._reader.load()
        except ModelLoadError as error:
            self._absent = True
            log.warning("Passages are ordered without reading them: %s", error)

    def ordered(self, question: str, hits: Sequence[Hit], count: int) -> list[Hit]:
        """Return `hits` (best first), those of the first `count` that lie close in a new order. Raises ModelError.

        Where the reader's model is not to be had they stay as they are, and no search asks for it again.
        """
        odds = [_log_odds(hit.score) for hit in hits[:count]]
        near = sum(value >= odds[0] - _BEHIND for value in odds)
        if near > 1:
            self.load()
        if near < 2 or self._absent:
            return list(hits)
        found = self._reader.read(question, [_window(hit) for hit in hits[:near]])
        worth = [value + _WEIGHT * _bounded(read.margin) for value, read in zip(odds, found, strict=False)]
        worth[0] += _CLEARLY
        order = sorted(range(near), key=lambda place: (-worth[place], place))
        return [*in_order(hits[:near], order), *hits[near:]]


def _window(hit: Hit) -> str:
    return hit.document.text[hit.focus.start : hit.focus.end]


def _log_odds(score: float) -> float:
    score = min(max(score, _TINY), 1.0 - _TINY)
    return math.log(score / (1.0 - score))


def _bounded(margin: float) -> float:
    return min(max(margin, -_MOST), _MOST)
