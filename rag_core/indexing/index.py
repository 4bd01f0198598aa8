"""The documents of one owner, searchable by meaning and by words, in memory or persisted in a folder."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Literal

import numpy as np

from rag_core.chunking.splitting import SPLITTER_VERSION
from rag_core.chunking.windows import WindowTexts
from rag_core.config import RagConfig
from rag_core.encoder.embedding import Embedder, Vectors
from rag_core.errors import DocumentNotFoundError, DocumentTooLargeError, IndexStateError
from rag_core.indexing.chroma_server import connected
from rag_core.indexing.keeping import FolderKeeper, Keeper, window_keys
from rag_core.indexing.narrowed import nearest_among
from rag_core.indexing.nearby import VectorCache
from rag_core.indexing.storage import Record
from rag_core.indexing.vectors import Neighbour, VectorStore, WindowKey
from rag_core.indexing.visiting import MemoryKeeper
from rag_core.indexing.worded import is_report, matched_texts
from rag_core.records import Chunk, Document, Progress, ProgressCallback
from rag_core.words.lexical import LexicalIndex, segmented
from rag_core.words.postings import Segment

__all__ = ["DocumentIndex", "is_report"]

# About how many windows are embedded between two reports of progress, after each of which the caller may cancel.
_EMBED_STEP = 128


class DocumentIndex:
    """Documents with their chunks and vectors. Thread-safe: searches go on while another thread adds.

    With `config.index.directory` the index persists there, and processes may share it; else it is in memory, private,
    and gone with `close()`. With `config.index.server` a Chroma server holds the vectors; text and records stay here.
    """

    def __init__(self, config: RagConfig, embedder: Embedder) -> None:
        """Open the index; loads neither models nor vectors. Raises IndexStateError."""
        self._config = config
        self._embedder = embedder
        self._keeper = _keeper(config, embedder)
        self._writing = threading.RLock()
        self._state = threading.RLock()
        self._wording = threading.Lock()
        self._records: dict[str, Record] = {}
        self._lexical = LexicalIndex()
        self._near = VectorCache()
        # Documents whose words the lexical index holds; the others join at the next search.
        self._worded: set[str] = set()
        self._closed = False
        self._current()

    # Documents -------------------------------------------------------------------------------------------------------

    def add(self, document: Document, chunks: Sequence[Chunk], on_progress: ProgressCallback | None = None) -> Document:
        """Embed and add `document`, and return it with its counts; one that is there already comes back as it is.

        All or nothing: where anything fails, or `on_progress` raises, nothing of the document stays.
        Raises DocumentTooLargeError over `config.limits.documents`, ModelError or IndexStateError.
        """
        with self._writing, self._keeper.writing():
            records = self._current()
            if document.id in records:
                return records[document.id].document
            if len(records) >= self._config.limits.documents:
                raise DocumentTooLargeError(
                    f"There are {len(records)} documents already, the most that are kept; remove one first"
                )
            counted = replace(
                document, chunk_count=len(chunks), window_count=sum(len(chunk.windows) for chunk in chunks)
            )
            sequence = 1 + max((record.sequence for record in records.values()), default=0)
            record = Record(counted, tuple(chunks), sequence)
            # Words are read while the vectors are computed, which holds no interpreter lock.
            with ThreadPoolExecutor(1, f"{threading.current_thread().name}-words") as beside:
                worded = beside.submit(segmented, matched_texts(record), report=is_report(record))
                vectors = self._embedded(record, on_progress)
                segment = worded.result()
            self._save(record, vectors, segment, records, on_progress)
            return counted

    def _embedded(self, record: Record, on_progress: ProgressCallback | None) -> Vectors:
        """Return the vectors of all windows, float32 (windows, dimension), in the order of `window_keys`."""
        texts = WindowTexts(record.document, self._config.splitting, self._embedder)
        spans = [(window.start, window.end) for chunk in record.chunks for window in chunk.windows]
        rows = []
        # About equal steps: threads that share a small rest wait for each other.
        step = -(-len(spans) // max(1, round(len(spans) / _EMBED_STEP)))
        for start in range(0, len(spans), step or 1):
            self._report(on_progress, "embedding", start, len(spans))
            rows.append(self._embedder.encode([texts.embedded(*span) for span in spans[start : start + step]]))
        self._report(on_progress, "embedding", len(spans), len(spans))
        return np.concatenate(rows) if rows else np.empty((0, self._embedder.dimension), dtype=np.float32)

    def _save(
        self,
        record: Record,
        vectors: Vectors,
        segment: Segment,
        records: dict[str, Record],
        on_progress: ProgressCallback | None,
    ) -> None:
        keys = window_keys(record)
        try:
            self._report(on_progress, "saving", 0, len(keys))
            for done in self._keeper.write_vectors(keys, vectors):
                self._report(on_progress, "saving", done, len(keys))
            self._keeper.commit(record)
        except BaseException:
            self._keeper.uncommit(record.document.id)
            self._keeper.drop_vectors(keys, list(records.values()))
            raise
        self._lexical.put(segment)
        self._near.put(dict(zip(keys, vectors, strict=True)))
        with self._state:
            self._records = {**self._records, record.document.id: record}
            self._worded.add(record.document.id)

    def _report(
        self, on_progress: ProgressCallback | None, stage: Literal["embedding", "saving"], done: int, total: int
    ) -> None:
        """Report progress; a closed index ends the addition here, as an exception of the caller's own does."""
        self._check_open()
        if on_progress:
            on_progress(Progress(stage, done, total))

    def remove(self, document_id: str) -> None:
        """Delete a document: its record, text and vectors. Raises DocumentNotFoundError or IndexStateError."""
        with self._writing, self._keeper.writing():
            self._drop([self._record(document_id)])
        self._keeper.forget_elsewhere([document_id])

    def clear(self) -> None:
        """Delete all documents. Raises IndexStateError."""
        with self._writing, self._keeper.writing():
            dropped = list(self._current().values())
            self._drop(dropped)
        self._keeper.forget_elsewhere([record.document.id for record in dropped])

    def _drop(self, dropped: Sequence[Record]) -> None:
        gone = {record.document.id for record in dropped}
        for document_id in gone:
            self._keeper.uncommit(document_id)
        with self._state:
            self._records = {key: record for key, record in self._records.items() if key not in gone}
            self._near.keep_only(self._records)
            self._forget_words(gone)
            kept = list(self._records.values())
        self._keeper.drop_vectors([key for record in dropped for key in window_keys(record)], kept)

    def has(self, document_id: str) -> bool:
        """Return whether the whole document is there."""
        return document_id in self._current()

    def get(self, document_id: str) -> Document:
        """Return a document. Raises DocumentNotFoundError."""
        return self._record(document_id).document

    def documents(self) -> list[Document]:
        """Return all documents, in the order in which they were added."""
        return [record.document for record in sorted(self._current().values(), key=lambda record: record.sequence)]

    def chunks(self, document_id: str) -> tuple[Chunk, ...]:
        """Return a document's chunks, in reading order. Raises DocumentNotFoundError."""
        return self._record(document_id).chunks

    # Searching -------------------------------------------------------------------------------------------------------

    def records(self) -> dict[str, Record]:
        """Return all documents with their chunks by id: one state, which later changes leave alone."""
        return dict(self._current())

    def nearest(self, vector: Vectors, count: int, document_ids: Sequence[str] | None = None) -> list[Neighbour]:
        """Return at most `count` windows nearest to the unit `vector` (dimension,), nearest first."""
        records = self._current()

        def search(most: int, only: Sequence[str] | None) -> list[Neighbour]:
            with self._keeper.searching() as store:
                return store.nearest(vector, most, only) if store else []

        chosen = [records[key] for key in dict.fromkeys(document_ids or ()) if key in records]
        if document_ids is None or len(chosen) == len(records):
            return search(count, None)
        total = sum(record.document.window_count for record in records.values())
        return nearest_among(
            vector, count, chosen, total, search,
            lambda passages: self._near.passages(passages, self._windows_of(), self._fetched),
        )  # fmt: skip

    def vectors(self, keys: Sequence[WindowKey]) -> dict[WindowKey, Vectors]:
        """Return the unit vectors of those windows that are there."""
        return self._near.get(keys, self._windows_of(), self._fetched)

    def _windows_of(self) -> Callable[[str, int], int]:
        """Return what says how many windows a passage has now."""
        records = self._current()

        def windows_of(document_id: str, chunk: int) -> int:
            record = records.get(document_id)
            return len(record.chunks[chunk].windows) if record and chunk < len(record.chunks) else 0

        return windows_of

    def _fetched(self, keys: Sequence[WindowKey]) -> dict[WindowKey, Vectors]:
        with self._keeper.searching() as store:
            return store.vectors(keys) if store else {}

    def lexical(self) -> LexicalIndex:
        """Return the word index over all documents, up to date."""
        lexical = self._lexical
        if self._unworded():
            # Words are read outside of `_state`: only searches that need them wait for them.
            with self._wording:
                for record in self._unworded():
                    lexical.add(matched_texts(record), report=is_report(record))
                    with self._state:
                        if record.document.id in self._records:
                            self._worded.add(record.document.id)
                        else:
                            lexical.remove(record.document.id)
        return lexical

    def _unworded(self) -> list[Record]:
        """Return the documents whose words are not in the word index yet, oldest first; forget those that are gone."""
        with self._state:
            records = self._current()
            self._forget_words(self._worded - set(records))
            missing = [records[document_id] for document_id in records.keys() - self._worded]
        return sorted(missing, key=lambda record: record.sequence)

    def close(self) -> None:
        """Give back memory and files; an index in memory is gone. May be called twice."""
        # An addition that is under way ends at its next report.
        self._closed = True
        with self._writing, self._state:
            self._records = {}
            self._near.keep_only(())
            self._lexical = LexicalIndex()
            self._worded = set()
            self._keeper.close()

    def _current(self) -> dict[str, Record]:
        """Return the records, read anew where another process changed them; the dictionary is never changed."""
        self._check_open()
        with self._state:
            found = self._keeper.refresh(self._records)
            if found is not None:
                self._records = found
                self._near.keep_only(found)
            return self._records

    def _check_open(self) -> None:
        if self._closed:
            raise IndexStateError("The index is closed; open it again")

    def _record(self, document_id: str) -> Record:
        record = self._current().get(document_id)
        if record is None:
            raise DocumentNotFoundError(
                f"There is no document {_short(document_id)}; it was removed, or its id is another"
            )
        return record

    def _forget_words(self, document_ids: set[str]) -> None:
        for document_id in document_ids & self._worded:
            self._lexical.remove(document_id)
        self._worded -= document_ids


def _keeper(config: RagConfig, embedder: Embedder) -> Keeper:
    settings = config.index
    server = connected(settings.server, settings.server_key) if settings.server else None
    if settings.directory is not None:
        return FolderKeeper(settings.directory.expanduser(), embedder.name, _splitter_key(config), server)
    if server is None:
        return MemoryKeeper()
    return MemoryKeeper(lambda: VectorStore(None, server.private_collection()))


def _splitter_key(config: RagConfig) -> str:
    """Return what decides how a document is cut: the version, and the sizes."""
    sizes = config.splitting
    parts = (sizes.passage_tokens, sizes.passage_overlap_tokens, sizes.window_tokens, sizes.window_overlap_tokens)
    return "-".join(map(str, (SPLITTER_VERSION, *parts)))


def _short(document_id: str) -> str:
    """Return an id for a message: quoted, without control characters, of bounded length."""
    return repr(str(document_id)[:64])
