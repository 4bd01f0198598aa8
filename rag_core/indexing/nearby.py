"""Vectors of passages that were looked at, kept beside the store: reading them from Chroma is most of a search's time."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence

import numpy as np

from rag_core.encoder.embedding import Vectors
from rag_core.indexing.vectors import WindowKey

__all__ = ["VectorCache"]

# 83,000 windows of MiniLM. A document of 20 pages has about 120.
_BYTES = 128 * 1024 * 1024
_Passage = tuple[str, int]
_WindowsOf = Callable[[str, int], int]
_Fetch = Callable[[Sequence[WindowKey]], dict[WindowKey, Vectors]]


class VectorCache:
    """The vectors of whole passages, those used longest ago given up first. Thread-safe."""

    def __init__(self, most_bytes: int = _BYTES) -> None:
        self._most = most_bytes
        self._held = 0
        self._lock = threading.Lock()
        self._rows: OrderedDict[_Passage, Vectors] = OrderedDict()

    def put(self, vectors: Mapping[WindowKey, Vectors]) -> None:
        """Remember the vectors of whole passages: all windows of each, from 0 on."""
        self._hold(_stacked(vectors))

    def _hold(self, passages: Mapping[_Passage, Vectors]) -> None:
        with self._lock:
            for passage, rows in passages.items():
                self._drop(passage)
                self._rows[passage] = rows
                self._held += rows.nbytes
            while self._held > self._most:
                self._drop(next(iter(self._rows)))

    def get(self, keys: Sequence[WindowKey], windows_of: _WindowsOf, fetch: _Fetch) -> dict[WindowKey, Vectors]:
        """Return the vectors of those `keys` that are there; whole passages are fetched where they are not held.

        `windows_of(document_id, chunk)` says how many windows a passage has, 0 where there is none of that key.
        """
        held, part = self._passages(dict.fromkeys((key.document_id, key.chunk) for key in keys), windows_of, fetch)
        found = {}
        for key in keys:
            rows = held.get((key.document_id, key.chunk))
            row = part.get(key) if rows is None else rows[key.window] if key.window < len(rows) else None
            if row is not None:
                found[key] = row
        return found

    def passages(self, passages: Iterable[_Passage], windows_of: _WindowsOf, fetch: _Fetch) -> dict[_Passage, Vectors]:
        """Return the vectors (windows, dimension) of those passages that are there whole; else as `get`."""
        return self._passages(passages, windows_of, fetch)[0]

    def _passages(
        self, asked: Iterable[_Passage], windows_of: _WindowsOf, fetch: _Fetch
    ) -> tuple[dict[_Passage, Vectors], dict[WindowKey, Vectors]]:
        """Return the vectors of whole passages, and what could be had where not all could."""
        # What was removed is gone at once, whatever a search under way may have put back.
        wanted = {passage: count for passage in asked if (count := windows_of(*passage))}
        held: dict[_Passage, Vectors] = {}
        with self._lock:
            for passage in wanted:
                rows = self._rows.get(passage)
                if rows is not None:
                    self._rows.move_to_end(passage)
                    held[passage] = rows
        missing = [
            WindowKey(*passage, window)
            for passage, count in wanted.items()
            if passage not in held
            for window in range(count)
        ]
        fetched = fetch(missing) if missing else {}
        if len(fetched) < len(missing):
            return held, fetched
        whole = _stacked(fetched)
        self._hold(whole)
        return held | whole, {}

    def keep_only(self, document_ids: Collection[str]) -> None:
        """Forget the vectors of all other documents."""
        with self._lock:
            for passage in [passage for passage in self._rows if passage[0] not in document_ids]:
                self._drop(passage)

    def _drop(self, passage: _Passage) -> None:
        rows = self._rows.pop(passage, None)
        if rows is not None:
            self._held -= rows.nbytes


def _stacked(vectors: Mapping[WindowKey, Vectors]) -> dict[_Passage, Vectors]:
    """Return the vectors by passage, (windows, dimension) each, of all windows of each passage."""
    passages: dict[_Passage, list[Vectors]] = {}
    for key in sorted(vectors):
        passages.setdefault((key.document_id, key.chunk), []).append(vectors[key])
    return {passage: np.stack(rows) for passage, rows in passages.items()}
