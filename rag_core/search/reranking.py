"""The order of the best passages by a cross-encoder, which reads question and passage together. Off by default.

A cross-encoder is named by `config.retrieval.reranker` (a Hub id or a folder); no weights of one come with this
package. It decides the order alone: its scores are on a scale of its own, under which a threshold for "nothing relevant
was found" would mean something else, so the passages take over, in their new order, the scores that they had before.
"""

from __future__ import annotations

import math
import threading
from collections.abc import Sequence
from dataclasses import replace
from typing import Any, Protocol, runtime_checkable

import numpy as np

from rag_core.config import RagConfig
from rag_core.errors import ModelError, ModelLoadError, OutOfMemoryError
from rag_core.records import Hit

__all__ = ["LocalReranker", "Reranker", "create_reranker", "in_order", "reranked"]

_BATCH = 16


@runtime_checkable
class Reranker(Protocol):
    """Scores passages for a question. May be called from any thread; loads its model at first use."""

    def scores(self, question: str, passages: Sequence[str]) -> list[float]:
        """Return a score for each passage, higher is better, on a scale of its own. Raises ModelError."""


def create_reranker(config: RagConfig) -> Reranker | None:
    """Return the reranker that `config.retrieval.reranker` names, None where it names none. Loads nothing."""
    return LocalReranker(config.retrieval.reranker, config.embedding.device) if config.retrieval.reranker else None


def reranked(question: str, hits: Sequence[Hit], reranker: Reranker) -> list[Hit]:
    """Return `hits` (best first) in the reranker's order; their scores stay where they are. Raises ModelError."""
    if len(hits) < 2:
        return list(hits)
    scores = reranker.scores(question, [_shown(hit) for hit in hits])
    if len(scores) != len(hits) or not all(math.isfinite(score) for score in scores):
        raise ModelError("The reranker gave no usable scores; name another one in RAG_RERANKER, or none")
    order = sorted(range(len(hits)), key=lambda place: (-scores[place], place))
    return in_order(hits, order)


def in_order(hits: Sequence[Hit], order: Sequence[int]) -> list[Hit]:
    """Return the hits at the places of `order`; their scores stay where they are."""
    return [replace(hits[place], score=hit.score) for place, hit in zip(order, hits, strict=True)]


def _shown(hit: Hit) -> str:
    """Return what the reranker reads of a passage: its titles and the text from where it matches best.

    A cross-encoder reads some 512 tokens and drops the rest; the part that was found has to be among them.
    """
    start = hit.focus.start - hit.start if hit.end - hit.start > 2_000 else 0
    return "\n".join([*hit.headings, hit.text[start:]])


class LocalReranker:
    """A cross-encoder that `sentence_transformers` loads, from a folder or by a Hub id."""

    def __init__(self, model: str, device: str = "auto") -> None:
        self.name = model
        self._device = None if device == "auto" else device
        self._model: Any = None
        self._lock = threading.Lock()

    def scores(self, question: str, passages: Sequence[str]) -> list[float]:
        """Return a score for each passage, higher is better. Raises ModelError."""
        with self._lock:
            if self._model is None:
                self._model = self._load()
            found = self._model.predict(
                [(question, passage) for passage in passages], batch_size=_BATCH, show_progress_bar=False
            )
        values = np.asarray(found, dtype=np.float64)
        if values.ndim != 1:
            raise ModelError(f"{self.name} gives several scores a passage; RAG_RERANKER takes a model that gives one")
        return [float(value) for value in values]

    def _load(self) -> Any:
        try:
            from sentence_transformers import CrossEncoder

            return CrossEncoder(self.name, device=self._device)
        except MemoryError as error:
            raise OutOfMemoryError(f"There is no memory for the reranker {self.name}; free some") from error
        except Exception as error:  # The Hub, safetensors and transformers each raise their own kinds.
            raise ModelLoadError(
                f"The reranker {self.name} does not load ({type(error).__name__}: {error}); "
                "set RAG_RERANKER to a cross-encoder's Hub id or folder, or to nothing"
            ) from error
