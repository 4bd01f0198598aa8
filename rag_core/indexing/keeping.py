"""Where a persisted index keeps its documents and vectors: in a folder that several processes may share.

A document is added in this order: vectors, then its record, which is the commit mark. Whatever a killed
process left between the two is taken away when the next one opens the vectors. A removal goes the other way round:
first the record, then the vectors are written anew without the document's, because Chroma leaves deleted ones in its
files: overwritten in place, they and their keys stay in its log and in the graph's files until the next thousandth
change, and in free pages of its database until that is written anew. Where a server holds the vectors, the folder keeps
the records, and the order is the same.
"""

from __future__ import annotations

import shutil
import threading
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext, suppress
from pathlib import Path
from typing import Protocol

from rag_core.encoder.embedding import Vectors
from rag_core.errors import IndexStateError
from rag_core.indexing.chroma_server import ChromaServer
from rag_core.indexing.places import FolderPlace, ServerPlace, VectorPlace
from rag_core.indexing.storage import IndexFolder, IndexState, Record, folder_name
from rag_core.indexing.vectors import VectorStore, WindowKey, rewrite

__all__ = ["FolderKeeper", "Keeper", "window_keys"]


def window_keys(record: Record) -> list[WindowKey]:
    """Return the keys of all windows of a document."""
    return [
        WindowKey(record.document.id, chunk.number, number)
        for chunk in record.chunks
        for number in range(len(chunk.windows))
    ]


class Keeper(Protocol):
    """What `DocumentIndex` needs kept. Writing methods are called inside `writing()` only."""

    def refresh(self, known: Mapping[str, Record]) -> dict[str, Record] | None:
        """Return the committed records by id, None where they are still the `known` ones."""

    def writing(self) -> AbstractContextManager[None]:
        """Be the only one that writes."""

    def write_vectors(self, keys: Sequence[WindowKey], vectors: Vectors) -> Iterator[int]:
        """Write vectors, yielding how many are written."""

    def commit(self, record: Record) -> None:
        """Make a document whole, after its vectors."""

    def uncommit(self, document_id: str) -> None:
        """Make a document gone, before its vectors."""

    def drop_vectors(self, dropped: Sequence[WindowKey], kept: Sequence[Record]) -> None:
        """Delete the vectors `dropped`, so that only those of `kept` are there."""

    def forget_elsewhere(self, document_ids: Sequence[str]) -> None:
        """Delete what other embedders or splitters keep of these documents in the same place."""

    def searching(self) -> AbstractContextManager[VectorStore | None]:
        """Give the vectors for one search; None where there are none yet."""

    def close(self) -> None:
        """Give back memory and files."""


class FolderKeeper:
    """Keeps everything in a folder; see the module for the order of steps."""

    def __init__(self, root: Path, embedder: str, splitter: str, server: ChromaServer | None = None) -> None:
        """Open or make in `root` the folder of this embedder and splitter. Raises IndexStateError.

        With `server`, the folder keeps the records and the server the vectors.
        """
        self._root = root
        self._folder = IndexFolder(root / folder_name(embedder, splitter, server.url if server else ""))
        self._place: VectorPlace = ServerPlace(server) if server else FolderPlace(self._folder)
        self._embedder, self._splitter = embedder, splitter
        self._lock = threading.RLock()
        self._store: VectorStore | None = None
        self._store_name = ""
        self._store_generation = ""
        self._records_generation = ""
        self._records_stale = True
        self._check(self._folder.state())

    def _check(self, state: IndexState | None) -> None:
        wanted = {"embedder": self._embedder, "splitter": self._splitter}
        for part, now in wanted.items():
            made = getattr(state, part) if state else now
            if made != now:
                raise IndexStateError(
                    f"The index in {self._folder.root} was made with the {part} {made}, not {now}; "
                    "delete the folder and add the files again, or name another folder (RAG_INDEX_DIR)"
                )

    def refresh(self, known: Mapping[str, Record]) -> dict[str, Record] | None:
        """Return the committed records by id, None where no process changed any since the last call."""
        with self._lock:
            generation = self._folder.generation()
            if generation == self._records_generation and not self._records_stale:
                return None
            self._check(self._folder.state())
            found = {}
            for document_id in self._folder.record_ids():
                record = known.get(document_id) or self._read(document_id)
                if record is not None:
                    found[document_id] = record
            self._records_generation, self._records_stale = generation, False
            return found

    def _read(self, document_id: str) -> Record | None:
        try:
            return self._folder.read(document_id)
        except IndexStateError as error:
            # Another process may have removed it since the folder was listed.
            if isinstance(error.__cause__, FileNotFoundError):
                return None
            raise

    @contextmanager
    def writing(self) -> Iterator[None]:
        """Be the only process that writes. Raises IndexStateError after a minute of waiting."""
        with self._folder.writing():
            yield

    def write_vectors(self, keys: Sequence[WindowKey], vectors: Vectors) -> Iterator[int]:
        """Write vectors, yielding how many are written; between two batches others may search."""
        if self._folder.state() is None:
            name = self._folder.new_vectors_name()
            state = IndexState(self._embedder, vectors.shape[1], self._splitter, name)
            self._folder.write_state(self._place.marked(state))
        store = self._prepared(writing=True)
        batches = store.add(keys, vectors) if store else iter(())
        while True:
            with self._locked(exclusive=True):
                done = next(batches, None)
                if done is None and store:
                    store.blank_unused()
            if done is None:
                return
            yield done

    def commit(self, record: Record) -> None:
        """Write the commit mark."""
        self._folder.write(record)
        self._changed()

    def uncommit(self, document_id: str) -> None:
        """Delete the commit mark."""
        self._folder.delete(document_id)
        self._changed()

    def _changed(self) -> None:
        """Tell other processes; what is open here is up to date already."""
        with self._lock:
            generation = self._folder.next_generation()
            self._records_generation = generation
            if self._store is not None:
                self._store_generation = generation

    def drop_vectors(self, dropped: Sequence[WindowKey], kept: Sequence[Record]) -> None:
        """Write the vectors of `kept` anew and delete the old folder: no trace of the others stays.

        On a server, which owns its files, they are overwritten and deleted instead.
        """
        state, store = self._folder.state(), self._prepared(writing=True)
        if state is None or store is None:
            return
        if self._place.shared:
            wanted = {key for record in kept for key in window_keys(record)}
            store.erase(dropped or [key for key in store.keys() if key not in wanted])  # noqa: SIM118 - no dictionary
            return
        name = self._folder.new_vectors_name()
        fresh = rewrite(store, self._folder.root / name, [key for record in kept for key in window_keys(record)])
        with self._locked(exclusive=True):
            self._folder.write_state(IndexState(state.embedder, state.dimension, state.splitter, name))
            self._store, self._store_name = fresh, name
            store.close()
            shutil.rmtree(self._folder.root / state.vectors, ignore_errors=True)
            self._changed()

    def forget_elsewhere(self, document_ids: Sequence[str]) -> None:
        """Delete these documents from the folders of other embedders and splitters too: removed means gone."""
        for path in sorted(self._root.glob("index-*")):
            folder = IndexFolder(path) if path.is_dir() and path != self._folder.root else None
            state = folder.state() if folder else None
            held = set(document_ids).intersection(folder.record_ids()) if folder else set()
            if state is None or not held:
                continue
            other = FolderKeeper(self._root, state.embedder, state.splitter, self._place.server_of(state))
            with other.writing():
                for document_id in held:
                    other.uncommit(document_id)
                # The text is gone with the record. Of a server that is away, the vectors go when it is next used.
                with suppress(IndexStateError) if state.server else nullcontext():
                    other.drop_vectors([], list((other.refresh({}) or {}).values()))
            other.close()

    @contextmanager
    def searching(self) -> Iterator[VectorStore | None]:
        """Give the vectors, opened anew where another process changed them, and keep them as they are meanwhile."""
        if self._place.shared:
            yield self._prepared(writing=False)
            return
        with self._lock:
            while True:
                store = self._prepared(writing=False)
                with self._folder.vectors_locked(exclusive=False):
                    if store is None or self._is_current(self._folder.state()):
                        yield store
                        return

    @contextmanager
    def _locked(self, exclusive: bool) -> Iterator[None]:
        """Keep other threads and processes off the vectors; a server sees to that itself."""
        if self._place.shared:
            yield
            return
        with self._lock, self._folder.vectors_locked(exclusive):
            yield

    def close(self) -> None:
        """Give back memory and files."""
        with self._lock:
            store, self._store = self._store, None
            if store is not None:
                store.close()

    def _is_current(self, state: IndexState | None) -> bool:
        if state is None or self._store is None or self._store_name != state.vectors:
            return False
        # What others wrote to a server is there to be read; files have to be opened anew.
        return self._place.shared or self._store_generation == self._folder.generation()

    def _prepared(self, writing: bool) -> VectorStore | None:
        """Return the current store, None where none was made yet; sweeps the folder at the first use.

        Called with neither lock on the vectors held, because a sweep takes them.
        """
        with self._lock:
            state = self._folder.state()
            if state is None or self._is_current(state):
                return self._store
            first = self._store is None
            self.close()
            # Exclusive, because Chroma writes files when it is opened.
            with self._locked(exclusive=True):
                generation, state = self._folder.generation(), self._folder.state() or state
                self._store = self._place.open(state)
                self._store.blank_unused()
                self._store_name, self._store_generation = state.vectors, generation
            if first:
                self._sweep(writing)
            return self._store

    def _sweep(self, writing: bool) -> None:
        """Delete what an interrupted process left; while another one writes, its half-done work is left alone."""
        if not writing:
            with self._folder.writing(wait=False) as held:
                if held:
                    self._sweep(writing=True)
            return
        if self._store is None:
            return
        self._folder.delete_temporary()
        self._place.delete_others(self._folder.state(), self._store_name)
        present = Counter(key.document_id for key in self._store.keys())  # noqa: SIM118 - not a dictionary
        whole: list[Record] = []
        lost = False
        for document_id in self._folder.record_ids():
            record = self._read(document_id)
            if record is not None and present.pop(document_id, 0) == record.document.window_count:
                whole.append(record)
            else:
                # Vectors are written before their record: that some are missing means that the disk lost them.
                self.uncommit(document_id)
                lost = self._records_stale = True
        if present or lost:
            self.drop_vectors([], whole)
