"""The vectors of all windows, in Chroma through `langchain_chroma`: in memory, in a folder, or on a server.

Chroma holds vectors and keys, never text: what is deleted from a SQLite file or a graph file stays in their free pages
until they are written anew, and a document that was removed must be gone. In memory, every store is a Chroma system
of its own, because the shared one gives no memory back before the last of its clients is closed.
"""

from __future__ import annotations

import logging
import os
import secrets
import shutil
import struct
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar

import numpy as np

from rag_core.collecting import first_load
from rag_core.encoder.embedding import Vectors
from rag_core.errors import IndexStateError
from rag_core.indexing.chroma import open_client, retried, translated
from rag_core.indexing.chroma_server import RemoteCollection

if TYPE_CHECKING:
    from chromadb.api.collection_configuration import CreateHNSWConfiguration
    from langchain_chroma import Chroma

__all__ = ["Neighbour", "VectorStore", "WindowKey", "rewrite"]

T = TypeVar("T")

log = logging.getLogger(__name__)
_COLLECTION = "windows"
# Vectors handed to Chroma at once: about 50 ms, for which a search may have to wait.
_BATCH = 256
# Width of the graph search. Of 5,169 windows of financial text it finds 0.999 of the nearest 50 (0.987 at width 100).
_SEARCH_WIDTH = 200
# More in one request Chroma refuses.
_MOST_KEYS = 5_000
# Vectors between two writings of the graph to disk; more than a visitor can have.
_NEVER = 2**31 - 1


class WindowKey(NamedTuple):
    """Which window a vector belongs to: of which document, in which chunk, and which of its windows.

    A tuple, because a search makes and hashes thousands of them: a dataclass costs it several milliseconds.
    """

    document_id: str
    chunk: int
    window: int

    def __str__(self) -> str:
        return f"{self.document_id}:{self.chunk}:{self.window}"

    @classmethod
    def parse(cls, text: str) -> WindowKey:
        """Return the key that `str()` wrote. Raises ValueError."""
        document_id, chunk, window = text.rsplit(":", 2)
        return cls(document_id, int(chunk), int(window))


@dataclass(frozen=True, slots=True)
class Neighbour:
    """A window near to a question: `cosine` is in [-1, 1]."""

    key: WindowKey
    cosine: float


class VectorStore:
    """Unit vectors by window. All methods may be called from any thread; on this machine one at a time works in Chroma."""

    def __init__(self, folder: Path | None, remote: RemoteCollection | None = None) -> None:
        """Open the store in `folder`, which is made where it is missing, or on a server; else it is in memory.

        Raises IndexStateError where Chroma cannot use the folder or the server.
        """
        self._folder = folder
        self._remote = remote
        self._lock = threading.Lock()
        self._searched = False
        self._given = _GivenVectors()
        with self._translated(), first_load("store"):
            self._client = remote.client if remote else open_client(folder)
            self._store: Chroma | None = retried(self._open_store) if remote else self._open_store()

    def _open_store(self) -> Chroma:
        from langchain_chroma import Chroma

        hnsw: CreateHNSWConfiguration = {"space": "cosine", "ef_search": _SEARCH_WIDTH}
        # A name that nobody can guess, should one system ever hold two collections.
        name = _COLLECTION if self._folder else f"{_COLLECTION}-{secrets.token_hex(16)}"
        if self._remote:
            name = self._remote.name
            if self._remote.private:
                # A visitor's graph is never written to the server's disk, where it would outlive its collection.
                hnsw["sync_threshold"] = _NEVER
        return Chroma(
            client=self._client,
            collection_name=name,
            embedding_function=_adapter(self._given),
            collection_configuration={"hnsw": hnsw},
        )

    def add(self, keys: Sequence[WindowKey], vectors: Vectors) -> Iterator[int]:
        """Write `vectors` (n, dimension) under `keys`, yielding how many are written after each batch.

        Raises IndexStateError. Closing the iterator leaves what is written: the caller removes it.
        """
        if len(keys) and not self._searched:
            # Chroma builds the whole graph anew at the first change after the first search, so that comes while it is small.
            self.nearest(vectors[0], 1)
        for start in range(0, len(keys), _BATCH):
            part = keys[start : start + _BATCH]
            self._given.vectors = vectors[start : start + _BATCH]
            self._add(part)
            yield start + len(part)

    def _add(self, keys: Sequence[WindowKey]) -> None:
        ids, metadatas = [str(key) for key in keys], [{"document_id": key.document_id} for key in keys]
        # No texts: Chroma would index every three signs of them.
        self._do(lambda store: store.add_texts([""] * len(ids), metadatas, ids))

    def nearest(self, vector: Vectors, count: int, document_ids: Sequence[str] | None = None) -> list[Neighbour]:
        """Return at most `count` windows nearest to the unit `vector` (dimension,), nearest first."""
        where: dict[str, Any] | None = None
        if document_ids is not None:
            where = {"document_id": {"$in": list(document_ids)}}
        # Keys and distances alone: LangChain's search also has Chroma read the texts and metadata, four times the work.
        found = self._do(
            lambda store: store._collection.query(
                query_embeddings=[vector.tolist()], n_results=count, where=where, include=["distances"]
            )
        )
        self._searched = True
        # Chroma's cosine distance is 1 - cosine.
        near = zip(found["ids"][0], (found["distances"] or [[]])[0], strict=True)
        return [Neighbour(WindowKey.parse(key), 1.0 - float(distance)) for key, distance in near]

    def vectors(self, keys: Sequence[WindowKey]) -> dict[WindowKey, Vectors]:
        """Return the vectors of those `keys` that are there."""
        if not keys:
            return {}
        ids = [str(key) for key in keys]
        found = self._do(lambda store: store.get(ids=ids, include=["embeddings"]))
        rows = np.asarray(found["embeddings"], dtype=np.float32)
        return {WindowKey.parse(text): row for text, row in zip(found["ids"], rows, strict=True)}

    def keys(self) -> list[WindowKey]:
        """Return the keys of all vectors, in no order."""
        return [WindowKey.parse(text) for text in self._do(lambda store: store.get(include=[]))["ids"]]

    def delete(self, keys: Sequence[WindowKey]) -> None:
        """Take the vectors of `keys` out of every search; in a folder, traces stay until it is written anew."""
        for start in range(0, len(keys), _MOST_KEYS):
            self._delete([str(key) for key in keys[start : start + _MOST_KEYS]])

    def _delete(self, ids: list[str]) -> None:
        self._do(lambda store: store.delete(ids))

    def erase(self, keys: Sequence[WindowKey]) -> None:
        """Overwrite the vectors of `keys`, then delete them: a graph only marks as deleted what it was told to delete."""
        present = self.vectors(keys)
        blank = np.zeros((_BATCH, max((len(row) for row in present.values()), default=1)), dtype=np.float32)
        blank[:, 0] = 1.0
        for start in range(0, len(present), _BATCH):
            part = list(present)[start : start + _BATCH]
            for _ in self.add(part, blank[: len(part)]):
                pass
        self.delete(list(present))

    def blank_unused(self) -> None:
        """Write zeros where the files of the graph hold no vector; in a folder that nobody else changes meanwhile.

        The library writes whole buffers as it got them from the process: what is beyond the last vector is memory that
        was used before, and may hold text of a document that was removed.
        """
        if self._folder is not None:
            with self._lock, self._translated():
                # The files are written at the first search after opening or adding, and then not again before the next.
                found = self._opened().get(limit=1, include=["embeddings"])
                if found["ids"]:
                    self._opened().similarity_search_by_vector(np.asarray(found["embeddings"][0]).tolist(), 1)
                for path in self._folder.glob("*/header.bin"):
                    _blank_beyond(path)

    def close(self) -> None:
        """Give back memory and files; a store in memory, or one visitor's on a server, is gone. May be called twice."""
        with self._lock:
            store, self._store = self._store, None
        if store is None:
            return
        if self._remote is None:
            self._client.close()  # type: ignore[attr-defined]
        elif self._remote.private:
            try:
                self._remote.drop()
            except Exception as error:  # It is tried again at the next renewal of the lease.
                log.warning("A collection on %s is not deleted yet: %s", self._remote.place, error)

    def _do(self, work: Callable[[Chroma], T]) -> T:
        """Return what `work` makes of the store; on a server, tried again while the connection fails."""
        with self._turn(), self._translated():
            return retried(lambda: work(self._opened())) if self._remote else work(self._opened())

    def _turn(self) -> AbstractContextManager[object]:
        return nullcontext() if self._remote else self._lock

    def _translated(self) -> AbstractContextManager[None]:
        if self._remote:
            return translated(f"on the server {self._remote.place}", server=True)
        return translated(f"in {self._folder.parent}" if self._folder else "in memory")

    def _opened(self) -> Chroma:
        if self._store is None:
            raise IndexStateError("The index is closed; open it again")
        return self._store


def rewrite(store: VectorStore, folder: Path, keep: Sequence[WindowKey]) -> VectorStore:
    """Return a new store in `folder` with the vectors of `keep` alone; on IndexStateError the folder is gone again."""
    try:
        fresh = VectorStore(folder)
        for start in range(0, len(keep), 2_048):
            found = store.vectors(keep[start : start + 2_048])
            if found:
                for _ in fresh.add(list(found), np.stack(list(found.values()))):
                    pass
        fresh.blank_unused()
    except BaseException:
        shutil.rmtree(folder, ignore_errors=True)
        raise
    return fresh


# The header of hnswlib's files: version, then offset, capacity, count and size of the elements, and more of the graph.
_HEADER = struct.Struct("<i6QiI3QdQ")


# Bytes of one element in the file of the vectors' norms.
_NORM_BYTES = 4


def _blank_beyond(header: Path) -> None:
    """Zero the elements beyond the count in `header` in the files beside it; files of another build are left alone."""
    content = header.read_bytes()
    if len(content) != _HEADER.size:
        return
    version, _, capacity, count, size, *_ = _HEADER.unpack(content)
    for name, width in (("data_level0.bin", size), ("length.bin", _NORM_BYTES)):
        path = header.with_name(name)
        length = path.stat().st_size if path.is_file() else 0
        if version == 1 and length == capacity * width and count < capacity:
            with path.open("r+b") as file:
                file.seek(count * width)
                file.write(bytes(length - count * width))
                file.flush()
                os.fsync(file.fileno())


class _GivenVectors:
    """What the next call of LangChain's `embed_documents` returns: computed by us, in batches, with progress."""

    vectors: Vectors = np.empty((0, 0), dtype=np.float32)


def _adapter(given: _GivenVectors) -> Any:
    from langchain_core.embeddings import Embeddings

    class Adapter(Embeddings):
        """Hands precomputed vectors to LangChain."""

        def embed_documents(self, texts: list[str]) -> list[list[float]]:
            rows: list[list[float]] = given.vectors.tolist()
            if len(rows) != len(texts):
                raise ValueError("There is not one vector a text")
            return rows

        def embed_query(self, text: str) -> list[float]:
            raise NotImplementedError("Search by vector")

    return Adapter()
