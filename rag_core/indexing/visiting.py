"""Where an index keeps the vectors of one visitor: in memory or on a server, gone when it is closed."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext

from rag_core.encoder.embedding import Vectors
from rag_core.indexing.storage import Record
from rag_core.indexing.vectors import VectorStore, WindowKey

__all__ = ["MemoryKeeper"]


class MemoryKeeper:
    """Keeps vectors in the process or on a server; the records are those that the index holds itself."""

    def __init__(self, make_store: Callable[[], VectorStore] = lambda: VectorStore(None)) -> None:
        """Remember how to make the store, at the first addition: in memory, or a private one on a server."""
        self._make_store = make_store
        self._lock = threading.RLock()
        self._store: VectorStore | None = None

    def refresh(self, known: Mapping[str, Record]) -> dict[str, Record] | None:
        """Nobody else can change them."""
        return None

    def writing(self) -> AbstractContextManager[None]:
        """The index lets one thread write at a time already."""
        return nullcontext()

    def write_vectors(self, keys: Sequence[WindowKey], vectors: Vectors) -> Iterator[int]:
        """Write vectors, yielding how many are written."""
        with self._lock:
            store = self._store = self._store or self._make_store()
        yield from store.add(keys, vectors)

    def commit(self, record: Record) -> None:
        """Nothing to write."""

    def uncommit(self, document_id: str) -> None:
        """Nothing to delete."""

    def drop_vectors(self, dropped: Sequence[WindowKey], kept: Sequence[Record]) -> None:
        """Delete vectors; with the last document the whole store goes."""
        with self._lock:
            if not kept:
                self.close()
            elif self._store is not None:
                self._store.delete(dropped)

    def forget_elsewhere(self, document_ids: Sequence[str]) -> None:
        """Memory has one place only."""

    @contextmanager
    def searching(self) -> Iterator[VectorStore | None]:
        """Give the vectors, and keep them there meanwhile."""
        with self._lock:
            yield self._store

    def close(self) -> None:
        """Give the memory back."""
        with self._lock:
            store, self._store = self._store, None
            if store is not None:
                store.close()
