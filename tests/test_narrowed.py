"""A search among chosen documents gives the nearest of their windows, whichever way it takes."""

from __future__ import annotations

import zlib
from collections.abc import Iterator, Sequence

import numpy as np
import pytest
from index_killer import SPLITTING, document

from rag_core import RagConfig
from rag_core.chunking.splitting import split_document
from rag_core.indexing import narrowed
from rag_core.indexing.index import DocumentIndex
from rag_core.indexing.keeping import window_keys
from rag_core.indexing.vectors import Neighbour, VectorStore

DIMENSION = 24
GIVEN = [
    document(f"{number:064x}", "".join(f"Line {line} of report {number} is here.\n" for line in range(lines)))
    for number, lines in enumerate((60, 20, 45))
]


class SeededEmbedder:
    """A unit vector for each text, seeded by it."""

    name, dimension, max_tokens, loaded = "seeded", DIMENSION, 254, True

    def load(self, on_progress: object = None) -> None: ...

    def count_tokens(self, texts: Sequence[str]) -> list[int]:
        return [len(text.split()) for text in texts]

    def encode(self, texts: Sequence[str]) -> np.ndarray:
        rows = [np.random.default_rng(zlib.crc32(text.encode())).standard_normal(DIMENSION) for text in texts]
        found = np.array(rows, dtype=np.float32).reshape(-1, DIMENSION)
        return found / np.linalg.norm(found, axis=1, keepdims=True)


@pytest.fixture(scope="module")
def index() -> Iterator[DocumentIndex]:
    made = DocumentIndex(RagConfig(splitting=SPLITTING), SeededEmbedder())
    for item in GIVEN:
        made.add(item, split_document(item, SPLITTING, SeededEmbedder()))
    yield made
    made.close()


QUESTIONS = SeededEmbedder().encode([f"question {number}" for number in range(20)])


def nearest_by_hand(index: DocumentIndex, vector: np.ndarray, count: int, ids: Sequence[str]) -> list[Neighbour]:
    keys = [key for identity in ids for key in window_keys(index.records()[identity])]
    vectors = index.vectors(keys)
    return sorted((Neighbour(key, float(vectors[key] @ vector)) for key in keys), key=lambda near: -near.cosine)[:count]


# Bounds of the module, and for what Chroma is asked then.
WAYS = {
    "one by one": ((10_000, 10_000, 1_000), []),
    "among all": ((0, 0, 1_000), [None]),
    "one by one where asking for so many of all is too wide": ((0, 10_000, 0), []),
    "by Chroma's filter": ((0, 0, 0), ["chosen"]),
}


@pytest.mark.parametrize("way", WAYS)
def test_each_way_finds_the_nearest(index: DocumentIndex, monkeypatch: pytest.MonkeyPatch, way: str) -> None:
    bounds, expected = WAYS[way]
    for name, value in zip(("_FEW", "_MOST", "_WIDEST"), bounds, strict=True):
        monkeypatch.setattr(narrowed, name, value)
    asked: list[str | None] = []
    real = VectorStore.nearest

    def spied(
        store: VectorStore, vector: np.ndarray, count: int, document_ids: Sequence[str] | None = None
    ) -> list[Neighbour]:
        asked.append(document_ids and "chosen")
        return real(store, vector, count, document_ids)

    monkeypatch.setattr(VectorStore, "nearest", spied)
    chosen = [GIVEN[0].id, GIVEN[2].id]
    for vector in QUESTIONS:
        asked.clear()
        found = index.nearest(vector, 5, [*chosen, chosen[0], "unknown"])
        by_hand = nearest_by_hand(index, vector, 5, chosen)
        assert [near.key for near in found] == [near.key for near in by_hand]
        assert [near.cosine for near in found] == pytest.approx([near.cosine for near in by_hand], abs=1e-5)
        assert asked == expected


def test_where_too_few_of_all_are_chosen_ones_they_are_searched_alone(
    index: DocumentIndex, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(narrowed, "_FEW", 0)
    # None to spare, and a question whose nearest windows of all are another document's.
    monkeypatch.setattr(narrowed, "_SPARE", 0.1)
    ids = [GIVEN[1].id]
    for vector in QUESTIONS:
        found = index.nearest(vector, 10, ids)
        assert [near.key for near in found] == [near.key for near in nearest_by_hand(index, vector, 10, ids)]


def test_all_nothing_and_what_is_not_there(index: DocumentIndex) -> None:
    everything = [item.id for item in GIVEN]
    assert index.nearest(QUESTIONS[0], 7, everything) == index.nearest(QUESTIONS[0], 7)
    assert index.nearest(QUESTIONS[0], 7, []) == []
    assert index.nearest(QUESTIONS[0], 7, ["unknown"]) == []
    windows = window_keys(index.records()[GIVEN[1].id])
    assert {near.key for near in index.nearest(QUESTIONS[0], 1_000, [GIVEN[1].id])} == set(windows)
