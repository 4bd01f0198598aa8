"""What search at size is measured with: vectors that cost nothing, and the plain recipe's store."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any

import numpy as np

from rag_core.encoder.embedding import Embedder

__all__ = ["GivenEmbedder", "GivenEmbeddings", "PlainStore"]

PLAIN_CHARACTERS = 512
CENTRES = 200


class GivenEmbedder:
    """Counts tokens as the real embedder does, and gives vectors that cost nothing."""

    name, dimension, max_tokens, loaded = "given", 384, 254, True

    def __init__(self, real: Embedder | None) -> None:
        self._real = real
        self._draw = np.random.default_rng(5)
        self._centres = self._draw.standard_normal((CENTRES, self.dimension)).astype(np.float32)

    def load(self, on_progress: object = None) -> None: ...

    def count_tokens(self, texts: Sequence[str]) -> list[int]:
        return self._real.count_tokens(texts) if self._real else [len(text) // 4 + 1 for text in texts]

    def encode(self, texts: Sequence[str]) -> np.ndarray:
        noise = self._draw.standard_normal((len(texts), self.dimension)).astype(np.float32)
        rows = self._centres[self._draw.integers(0, CENTRES, len(texts))] + 0.8 * noise
        return rows / np.linalg.norm(rows, axis=1, keepdims=True)


class GivenEmbeddings:
    """The given vectors as LangChain wants them."""

    def __init__(self, given: GivenEmbedder) -> None:
        self._given = given

    def embed_documents(self, texts: list[str]) -> list[list[float]]:
        return self._given.encode(texts).tolist()  # type: ignore[no-any-return]

    def embed_query(self, text: str) -> list[float]:
        return self._given.encode([text])[0].tolist()  # type: ignore[no-any-return]


class PlainStore:
    """512-character chunks in Chroma through LangChain, with every setting at its usual value."""

    def __init__(self, embeddings: Any) -> None:
        from langchain_chroma import Chroma
        from langchain_text_splitters import RecursiveCharacterTextSplitter

        self._splitter = RecursiveCharacterTextSplitter(chunk_size=PLAIN_CHARACTERS, chunk_overlap=0)
        self._store: Any = Chroma(collection_name=f"plain-{time.monotonic_ns()}", embedding_function=embeddings)

    def add(self, texts: Sequence[str]) -> int:
        """Split and store texts; return the number of chunks."""
        chunks = self._splitter.create_documents(list(texts))
        for start in range(0, len(chunks), 4_096):
            self._store.add_documents(chunks[start : start + 4_096])
        return len(chunks)

    def search(self, question: str) -> Any:
        return self._store.similarity_search(question, k=4)

    def close(self) -> None:
        self._store.delete_collection()
