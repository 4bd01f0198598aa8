"""Vectors kept beside the store: the same as the store's, bounded, gone with their document."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from rag_core.indexing.nearby import VectorCache
from rag_core.indexing.vectors import WindowKey

ROWS = np.random.default_rng(3).standard_normal((12, 8)).astype(np.float32)
# Four passages of three windows each, of two documents.
STORED = {
    WindowKey(document, chunk, window): ROWS[number * 3 + window]
    for number, (document, chunk) in enumerate([("a", 0), ("a", 1), ("b", 0), ("b", 1)])
    for window in range(3)
}


class Store:
    def __init__(self) -> None:
        self.asked: list[WindowKey] = []

    def fetch(self, keys: Sequence[WindowKey]) -> dict[WindowKey, np.ndarray]:
        self.asked += keys
        return {key: STORED[key] for key in keys if key in STORED}


def windows_of(document_id: str, chunk: int) -> int:
    return 3 if (document_id, chunk) in {(key.document_id, key.chunk) for key in STORED} else 0


def test_what_was_fetched_is_not_fetched_again() -> None:
    cache, store = VectorCache(), Store()
    wanted = [WindowKey("a", 0, 1), WindowKey("b", 1, 2)]
    for _ in range(2):
        found = cache.get(wanted, windows_of, store.fetch)
        assert all(np.array_equal(found[key], STORED[key]) for key in wanted)
    # Whole passages, once each.
    assert sorted(store.asked) == [
        key for key in sorted(STORED) if (key.document_id, key.chunk) in {("a", 0), ("b", 1)}
    ]


def test_what_was_put_is_never_fetched_and_what_is_not_there_is_not_found() -> None:
    cache, store = VectorCache(), Store()
    cache.put(STORED)
    asked = [*STORED, WindowKey("a", 0, 3), WindowKey("a", 9, 0), WindowKey("c", 0, 0)]
    assert set(cache.get(asked, windows_of, store.fetch)) == set(STORED)
    assert store.asked == []


def test_the_oldest_goes_when_there_is_no_room() -> None:
    cache, store = VectorCache(most_bytes=2 * 3 * 8 * 4), Store()
    for passage in (("a", 0), ("a", 1), ("a", 0), ("b", 0)):
        cache.get([WindowKey(*passage, 0)], windows_of, store.fetch)
    store.asked.clear()
    cache.get([WindowKey("a", 0, 0), WindowKey("b", 0, 0)], windows_of, store.fetch)
    assert store.asked == []
    cache.get([WindowKey("a", 1, 0)], windows_of, store.fetch)
    assert len(store.asked) == 3


def test_a_removed_document_is_gone_even_if_a_search_put_it_back() -> None:
    cache, store = VectorCache(), Store()
    cache.put(STORED)
    cache.keep_only({"b"})
    cache.put({key: row for key, row in STORED.items() if key.document_id == "a"})
    found = cache.get(list(STORED), lambda document, _: 3 if document == "b" else 0, store.fetch)
    assert {key.document_id for key in found} == {"b"}


def test_a_passage_that_is_half_there_is_not_kept() -> None:
    cache = VectorCache()
    part = {WindowKey("a", 0, 0): ROWS[0]}
    assert set(cache.get([WindowKey("a", 0, 0)], windows_of, lambda _: part)) == set(part)
    store = Store()
    cache.get([WindowKey("a", 0, 0)], windows_of, store.fetch)
    assert len(store.asked) == 3
