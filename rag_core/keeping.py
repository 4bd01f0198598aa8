"""Where an index keeps its documents and vectors: in memory, or in a folder that several processes may share.

In a folder, a document is added in this order: vectors, then its record, which is the commit mark. Whatever a killed
process left between the two is taken away when the next one opens the vectors. A removal goes the other way round:
first the record, then the vectors are written anew without the document's, because Chroma leaves deleted ones in its
files.
"""

from __future__ import annotations

import shutil
import threading
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from pathlib import Path
from typing import Protocol

from rag_core.embedding import Vectors
from rag_core.errors import IndexStateError
from rag_core.storage import IndexFolder, IndexState, Record, folder_name
from rag_core.vectors import VectorStore, WindowKey, rewrite

__all__ = ["FolderKeeper", "Keeper", "MemoryKeeper", "window_keys"]


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


class MemoryKeeper:
    """Keeps vectors in the process; the records are those that the index holds itself."""

    def __init__(self) -> None:
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
            store = self._store = self._store or VectorStore(None)
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


class FolderKeeper:
    """Keeps everything in a folder; see the module for the order of steps."""

    def __init__(self, root: Path, embedder: str, splitter: str) -> None:
        """Open or make in `root` the folder of this embedder and splitter. Raises IndexStateError."""
        self._root = root
        self._folder = IndexFolder(root / folder_name(embedder, splitter))
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
            self._folder.write_state(IndexState(self._embedder, vectors.shape[1], self._splitter, name))
        store = self._prepared(writing=True)
        batches = store.add(keys, vectors) if store else iter(())
        while True:
            with self._lock, self._folder.vectors_locked(exclusive=True):
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
        """Write the vectors of `kept` anew and delete the old folder: no trace of the others stays."""
        state, store = self._folder.state(), self._prepared(writing=True)
        if state is None or store is None:
            return
        name = self._folder.new_vectors_name()
        fresh = rewrite(store, self._folder.root / name, [key for record in kept for key in window_keys(record)])
        with self._lock, self._folder.vectors_locked(exclusive=True):
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
            other = FolderKeeper(self._root, state.embedder, state.splitter)
            with other.writing():
                for document_id in held:
                    other.uncommit(document_id)
                other.drop_vectors([], list((other.refresh({}) or {}).values()))
            other.close()

    @contextmanager
    def searching(self) -> Iterator[VectorStore | None]:
        """Give the vectors, opened anew where another process changed them, and keep them as they are meanwhile."""
        with self._lock:
            while True:
                store = self._prepared(writing=False)
                with self._folder.vectors_locked(exclusive=False):
                    if store is None or self._is_current(self._folder.state()):
                        yield store
                        return

    def close(self) -> None:
        """Give back memory and files."""
        with self._lock:
            store, self._store = self._store, None
            if store is not None:
                store.close()

    def _is_current(self, state: IndexState | None) -> bool:
        made = (self._store_name, self._store_generation)
        return state is not None and self._store is not None and made == (state.vectors, self._folder.generation())

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
            with self._folder.vectors_locked(exclusive=True):
                generation, state = self._folder.generation(), self._folder.state() or state
                self._store = VectorStore(self._folder.root / state.vectors)
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
        for path in self._folder.other_vectors(self._store_name):
            shutil.rmtree(path, ignore_errors=True)
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
