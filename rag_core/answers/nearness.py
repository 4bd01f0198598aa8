"""How near two words are in meaning: one for the same word in any form, less for a related one, nothing for others.

A passage says "died" where a question says "killed". Word vectors of the embedder tell; names and figures are never
taken for one another.
"""

from __future__ import annotations

import threading
from collections.abc import Iterable, Sequence

import numpy as np
import numpy.typing as npt

from rag_core.encoder.embedding import Embedder, Vectors

__all__ = ["WordNearness"]

Array = npt.NDArray[np.float32]

# Cosines of MiniLM between single words: unrelated ones of one field reach 0.5 ("bank", "river"), synonyms 0.6 to 0.8.
_UNRELATED, _SAME = 0.52, 0.95
# Antonyms stand near one another too, so a related word never counts as the word itself.
_MOST = 0.7
_MOST_CACHED = 20_000


class WordNearness:
    """Compares words by the vectors of an embedder; those that were seen are kept. Thread-safe."""

    def __init__(self, embedder: Embedder) -> None:
        self._embedder = embedder
        self._vectors: dict[str, Vectors] = {}
        self._lock = threading.Lock()

    def nearness(self, asked: Sequence[str], words: Sequence[str]) -> Array:
        """Return how near each of `asked` is to each of `words`, float32 (len(asked), len(words)) in [0, 0.7].

        Words are in small letters, as written. Raises ModelError.
        """
        if not asked or not words:
            return np.zeros((len(asked), len(words)), dtype=np.float32)
        rows, columns = self._encoded(asked), self._encoded(words)
        cosines = rows @ columns.T
        scaled = np.clip((cosines - _UNRELATED) / (_SAME - _UNRELATED), 0.0, 1.0) * _MOST
        return scaled.astype(np.float32)

    def sentences(self, question: str, texts: Sequence[str]) -> Array:
        """Return the cosine of `question` with each of `texts`, float32 (len(texts),). Raises ModelError."""
        vectors = self._embedder.encode([question, *texts])
        found: Array = vectors[1:] @ vectors[0]
        return found

    def _encoded(self, words: Iterable[str]) -> Vectors:
        words = list(words)
        with self._lock:
            missing = [word for word in dict.fromkeys(words) if word not in self._vectors]
        if missing:
            made = self._embedder.encode(missing)
            with self._lock:
                if len(self._vectors) + len(missing) > _MOST_CACHED:
                    self._vectors.clear()
                self._vectors.update(zip(missing, made, strict=True))
        with self._lock:
            kept = [self._vectors.get(word) for word in words]
        # Another thread may have cleared the cache meanwhile.
        if any(vector is None for vector in kept):
            return self._embedder.encode(words)
        return np.stack([vector for vector in kept if vector is not None])
