"""The order of the first passages once more, by a small model that reads question and passage together.

Search compares question and passage from afar: two vectors, and shared words. The ranking model
(`rag_core.search.ranking`) was taught to tell the window that answers among windows that look as if they did. What it says
is evidence beside the other, not in its place: its score in nats is added to the log-odds of the passage's own score with
a weight, and no more than so much to either side.

Of passages that lie close the window that was found is read first; of those that are then ahead all windows are, and the
best one counts. Windows are read as the index embeds them, under their titles and the header of their table. The passages
take over, in their new order, the scores that they had before, for which see `rag_core.search.reranking`.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Sequence
from typing import Protocol

from rag_core.chunking.windows import PlacedTexts
from rag_core.errors import ModelLoadError
from rag_core.records import Hit, Window
from rag_core.search.reranking import in_order

__all__ = ["Rereader", "Scorer"]

log = logging.getLogger(__name__)
# Log-odds for each nat of the score, and the nats that count to either side.
_WEIGHT = 0.12
_MOST = 8.0
# Log-odds behind the first at which a passage is not read. At 1.2 one question less of each set of `bench.ablation` has its
# passage among the first five, at 2.0 half as many windows more are read for nothing.
_BEHIND = 1.6
# Passages of which all windows are read: in reports, whose passages go from one thing to the next, and in short documents,
# of which each is about one thing.
_WHOLE, _WHOLE_SHORT = 6, 12
# Keeps the log-odds of a score finite.
_TINY = 1e-6


class Scorer(Protocol):
    """Scores windows for a question. May be called from any thread; loads its model at first use."""

    def load(self) -> None:
        """Load the model, once. Raises ModelError."""

    def scores(self, question: str, windows: Sequence[str]) -> list[float]:
        """Return a score for each window in nats, higher is better. Raises ModelError."""


class Rereader:
    """Orders passages by their score and what a model says of their windows. Thread-safe where the model is."""

    def __init__(self, scorer: Scorer) -> None:
        self._scorer = scorer
        self._absent = False

    def load(self) -> None:
        """Have the model loaded now; where it is not to be had nothing is read. Raises ModelError."""
        if self._absent:
            return
        try:
            self._scorer.load()
        except ModelLoadError as error:
            self._absent = True
            log.warning("Passages are ordered without reading them: %s", error)

    def ordered(
        self,
        question: str,
        hits: Sequence[Hit],
        windows: Sequence[Sequence[Window]],
        count: int,
        *,
        short: bool = False,
    ) -> list[Hit]:
        """Return `hits` (best first), those of the first `count` that lie close in a new order. Raises ModelError.

        `windows` has those of each hit's passage, `short` says that no document is a report. Where the model is not to be had
        the hits stay as they are, and no search asks for it again.
        """
        odds = [_log_odds(hit.score) for hit in hits[:count]]
        near = sum(value >= odds[0] - _BEHIND for value in odds)
        if near > 1:
            self.load()
        if near < 2 or self._absent:
            return list(hits)
        documents = {id(hit.document): hit.document for hit in hits[:near]}
        texts = {key: PlacedTexts(document) for key, document in documents.items()}

        def shown(hit: Hit, window: Window) -> str:
            return texts[id(hit.document)].placed(window, hit.headings)

        first = self._scorer.scores(question, [shown(hit, hit.focus) for hit in hits[:near]])
        worth = [value + _WEIGHT * _bounded(score) for value, score in zip(odds, first, strict=False)]
        ahead = _best_first(worth)[: _WHOLE_SHORT if short else _WHOLE]
        others = [(place, window) for place in ahead for window in windows[place] if window != hits[place].focus]
        more = self._scorer.scores(question, [shown(hits[place], window) for place, window in others])
        for (place, _), score in zip(others, more, strict=True):
            worth[place] = max(worth[place], odds[place] + _WEIGHT * _bounded(score))
        return [*in_order(hits[:near], _best_first(worth)), *hits[near:]]


def _best_first(worth: Sequence[float]) -> list[int]:
    return sorted(range(len(worth)), key=lambda place: (-worth[place], place))


def _log_odds(score: float) -> float:
    score = min(max(score, _TINY), 1.0 - _TINY)
    return math.log(score / (1.0 - score))


def _bounded(score: float) -> float:
    return min(max(score, -_MOST), _MOST)
