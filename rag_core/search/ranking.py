"""How likely a window holds what is asked, by a small model that reads question and window together.

MiniLM with a change of its own (`rag_core/data/ranker.safetensors`, made by `train.ranker`): its first state scores the
window, and 0 is where "nothing here answers" is as likely. A cross-encoder, that is, after Nogueira and Cho 2019
(arXiv:1901.04085), taught on lists of windows.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

import numpy as np

from rag_core.answers.readingmodels import ReadingModel, encoder_model
from rag_core.collecting import first_load
from rag_core.encoder.embedding import encodable

__all__ = ["MOST_QUESTION", "MOST_WINDOW", "RANKER_FILE", "WindowRanker"]

RANKER_FILE = Path(__file__).parents[1] / "data" / "ranker.safetensors"
# Word pieces that are read of a question, and of a window with what stands above it: as many as it was taught with.
MOST_QUESTION, MOST_WINDOW = 96, 192


class WindowRanker:
    """Scores windows with a model that is loaded at first use. Thread-safe."""

    def __init__(self, cache: Path, load: Callable[[], ReadingModel] | None = None) -> None:
        """Load nothing yet; `cache` keeps what is compiled."""
        self._load = load or partial(encoder_model, cache, RANKER_FILE, "RAG_REREAD=0")
        self._lock = threading.Lock()
        self._model: ReadingModel | None = None

    def load(self) -> None:
        """Load the model, once. Raises ModelError where it is absent or is not the one that was trained from."""
        self._loaded()

    def scores(self, question: str, windows: Sequence[str]) -> list[float]:
        """Return for each window its score in nats, higher is better. Raises ModelError."""
        model = self._loaded()
        asked, (first, end) = _ids(model, question, MOST_QUESTION), model.tokenizer.encode("").ids
        pairs = [([first, *asked, end, *_ids(model, window, MOST_WINDOW), end], len(asked) + 2) for window in windows]
        states = model.encoder.states(pairs) if pairs else []
        return [float(np.asarray(state)[0] @ model.weight[0] + model.bias[0]) for state in states]

    def _loaded(self) -> ReadingModel:
        with self._lock:
            if self._model is None:
                with first_load("ranker"):
                    self._model = self._load()
            return self._model


def _ids(model: ReadingModel, text: str, most: int) -> list[int]:
    return list(model.tokenizer.encode(encodable(text), add_special_tokens=False).ids[:most])
