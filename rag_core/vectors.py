"""The vectors of all windows, in Chroma through `langchain_chroma`: in memory, or in a folder.

Chroma holds vectors and keys, never text: what is deleted from a SQLite file or a graph file stays in their free pages
until they are written anew, and a document that was removed must be gone. In memory, every store is a Chroma system
of its own, because the shared one gives no memory back before the last of its clients is closed.
"""

from __future__ import annotations

import os
import secrets
import shutil
import struct
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from rag_core.embedding import Vectors
from rag_core.errors import IndexStateError

if TYPE_CHECKING:
    from chromadb.api import ClientAPI
    from langchain_chroma import Chroma

__all__ = ["Neighbour", "VectorStore", "WindowKey", "rewrite"]

_COLLECTION = "windows"
# Vectors handed to Chroma at once: about 50 ms, for which a search may have to wait.
_BATCH = 256
# Width of the graph search. Of 5,169 windows of financial text it finds 0.999 of the nearest 50 (0.987 at width 100).
_SEARCH_WIDTH = 200


@dataclass(frozen=True, slots=True, order=True)
class WindowKey:
    """Which window a vector belongs to: of which document, in which chunk, and which of its windows."""

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
    """Unit vectors by window. All methods may be called from any thread; one at a time works in Chroma."""

    def __init__(self, folder: Path | None) -> None:
        """Open the store in `folder`, which is made where it is missing; None keeps it in memory.

        Raises IndexStateError where Chroma cannot use the folder.
        """
        self._folder = folder
        self._lock = threading.Lock()
        self._given = _GivenVectors()
        with _translated(folder):
            self._client = _open_client(folder)
            self._store: Chroma | None = self._open_store()

    def _open_store(self) -> Chroma:
        from langchain_chroma import Chroma

        return Chroma(
            client=self._client,
            # A name that nobody can guess, should one system ever hold two collections.
            collection_name=_COLLECTION if self._folder else f"{_COLLECTION}-{secrets.token_hex(16)}",
            embedding_function=_adapter(self._given),
            collection_configuration={"hnsw": {"space": "cosine", "ef_search": _SEARCH_WIDTH}},
        )

    def add(self, keys: Sequence[WindowKey], vectors: Vectors) -> Iterator[int]:
        """Write `vectors` (n, dimension) under `keys`, yielding how many are written after each batch.

        Raises IndexStateError. Closing the iterator leaves what is written: the caller removes it.
        """
        for start in range(0, len(keys), _BATCH):
            part = keys[start : start + _BATCH]
            texts = [str(key) for key in part]
            with self._lock, _translated(self._folder):
                self._given.vectors = vectors[start : start + _BATCH]
                self._opened().add_texts(texts, [{"document_id": key.document_id} for key in part], texts)
            yield start + len(part)

    def nearest(self, vector: Vectors, count: int, document_ids: Sequence[str] | None = None) -> list[Neighbour]:
        """Return at most `count` windows nearest to the unit `vector` (dimension,), nearest first."""
        where: dict[str, Any] | None = None
        if document_ids is not None:
            where = {"document_id": {"$in": list(document_ids)}}
        with self._lock, _translated(self._folder):
            found = self._opened().similarity_search_by_vector_with_relevance_scores(vector.tolist(), count, where)
        # Chroma's cosine distance is 1 - cosine.
        return [Neighbour(WindowKey.parse(entry.page_content), 1.0 - float(distance)) for entry, distance in found]

    def vectors(self, keys: Sequence[WindowKey]) -> dict[WindowKey, Vectors]:
        """Return the vectors of those `keys` that are there."""
        if not keys:
            return {}
        with self._lock, _translated(self._folder):
            found = self._opened().get(ids=[str(key) for key in keys], include=["embeddings"])
        rows = np.asarray(found["embeddings"], dtype=np.float32)
        return {WindowKey.parse(text): row for text, row in zip(found["ids"], rows, strict=True)}

    def keys(self) -> list[WindowKey]:
        """Return the keys of all vectors, in no order."""
        with self._lock, _translated(self._folder):
            return [WindowKey.parse(text) for text in self._opened().get(include=[])["ids"]]

    def delete(self, keys: Sequence[WindowKey]) -> None:
        """Take the vectors of `keys` out of every search; in a folder, traces stay until it is written anew."""
        for start in range(0, len(keys), 5_000):
            with self._lock, _translated(self._folder):
                self._opened().delete([str(key) for key in keys[start : start + 5_000]])

    def blank_unused(self) -> None:
        """Write zeros where the files of the graph hold no vector; in a folder that nobody else changes meanwhile.

        The library writes whole buffers as it got them from the process: what is beyond the last vector is memory that
        was used before, and may hold text of a document that was removed.
        """
        if self._folder is not None:
            with self._lock, _translated(self._folder):
                # The files are written at the first search after opening or adding, and then not again before the next.
                found = self._opened().get(limit=1, include=["embeddings"])
                if found["ids"]:
                    self._opened().similarity_search_by_vector(np.asarray(found["embeddings"][0]).tolist(), 1)
                for path in self._folder.glob("*/header.bin"):
                    _blank_beyond(path)

    def close(self) -> None:
        """Give back memory and files; a store in memory is gone. May be called twice."""
        with self._lock:
            if self._store is not None:
                self._store = None
                self._client.close()  # type: ignore[attr-defined]

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


def _open_client(folder: Path | None) -> ClientAPI:
    import chromadb
    from chromadb.config import Settings

    settings = Settings(anonymized_telemetry=False, allow_reset=False)
    if folder is None:
        return _private_client(settings)
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    return chromadb.PersistentClient(str(folder), settings=settings)


def _private_client(settings: Any) -> ClientAPI:
    """Return a client of a system of its own; `chromadb.EphemeralClient` shares one among all in the process."""
    from chromadb.api import ServerAPI
    from chromadb.api.client import Client
    from chromadb.config import DEFAULT_DATABASE, DEFAULT_TENANT, System

    api: Any = ServerAPI

    class PrivateClient(Client):
        """Owns its system: closing it gives the memory back."""

        def __init__(self, system: System) -> None:
            self._own_system: System | None = system
            self._server = system.instance(api)
            self.tenant, self.database = DEFAULT_TENANT, DEFAULT_DATABASE

        def close(self) -> None:
            """Stop the system, once."""
            system, self._own_system = self._own_system, None
            if system is not None:
                del self._server
                system.stop()

    system = System(settings)
    system.instance(api)
    system.start()
    return PrivateClient(system)


@contextmanager
def _translated(folder: Path | None) -> Iterator[None]:
    """Turn Chroma's, SQLite's and the file system's errors into ours."""
    try:
        yield
    except IndexStateError:
        raise
    except Exception as error:  # chromadb raises its own, ValueError, RuntimeError and the driver's errors.
        place = f"in {folder.parent}" if folder else "in memory"
        text = str(error).splitlines()[0][:200] if str(error) else ""
        advice = "free some disk or memory and try again" if "full" in text else "delete it and add the files again"
        if "readonly" in text or "read-only" in text or isinstance(error, PermissionError):
            advice = "make it writable, or name another folder (RAG_INDEX_DIR)"
        raise IndexStateError(f"The index {place} cannot be used ({type(error).__name__}: {text}); {advice}") from error
