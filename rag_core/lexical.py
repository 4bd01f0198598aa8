"""Word matching: BM25 over the passages, with figures read as figures and neighbouring words as phrases.

Scores come from bm25s (BM25 as in Lucene: idf = ln(1 + (N - n + 0.5) / (n + 0.5)), term frequency saturated by
tf / (tf + k1 (1 - b + b L / L_avg)); Robertson and Zaragoza 2009, Kamphuis et al. 2020). Phrases as terms follow the
sequential dependence model (Metzler and Croft 2005). Row labels, finance concepts and statements are terms of their
own beside the words: see `rag_core.marks`. `bench/results/ablation.json` has what each of them brings.
"""

from __future__ import annotations

import math
import threading
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
import numpy.typing as npt

from rag_core.marks import passage_marks, question_marks
from rag_core.wording import asks_only, short_years, stem, words

__all__ = ["ChunkKey", "LexicalIndex", "LexicalMatch", "terms"]

# (document id, chunk number)
ChunkKey = tuple[str, int]

_K1 = 1.2
_B = 0.75
# A few passages say little about how rare a word is in general: the collection is taken to hold this many more, of
# average length, without any of its words. Without it, one single passage would give every word almost no weight.
_PRIOR_PASSAGES = 20
# Weight of what only says how to answer, where other words count 1.
_ASKING = 0.5
# Stands for the words of those passages; no text yields it.
_FILLER = "\0"


def terms(text: str) -> list[str]:
    """Return the terms of `text`: words as written, their stems, pairs of neighbouring stems, and years in full.

    What `rag_core.wording` takes for the same word is one term; function words are left out, before pairs are made.
    """
    found = words(text)
    bare = [stem(word) for word in found]
    pairs = [f"{first} {second}" for first, second in pairwise(bare)]
    return [*found, *(f"{word}~" for word in bare), *pairs, *short_years(text)]


def _only_asks(term: str) -> bool:
    return all(asks_only(stem(word.removesuffix("~"))) for word in term.split(" "))


@dataclass(frozen=True, slots=True)
class LexicalMatch:
    """A passage that shares terms with the question.

    `score` is BM25 of the question's terms and marks, 0 or more. `coverage`, 0 or more, is its share of the most that
    the words alone could score, so it can be compared between questions: words that no document holds count as missed.
    Over 1 come only passages that nearly hold the whole question and have marks beside.
    """

    key: ChunkKey
    score: float
    coverage: float


class LexicalIndex:
    """BM25 over passages. Thread-safe: a search works on the state that was current when it began."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._terms: dict[ChunkKey, list[str]] = {}
        self._built: _Built | None = None

    def add(self, passages: Iterable[tuple[ChunkKey, str]], *, report: bool = False) -> None:
        """Add passages, or replace those of the same key. The next search builds the index anew.

        `report` says that they are of a document long enough to have financial statements among other things.
        """
        made = {key: [*terms(text), *passage_marks(text, report=report)] for key, text in passages}
        with self._lock:
            # One string object a term, whatever the number of passages.
            known: dict[str, str] = {}
            self._terms.update({key: [known.setdefault(term, term) for term in found] for key, found in made.items()})
            self._built = None

    def remove(self, document_id: str) -> None:
        """Forget the passages of a document."""
        with self._lock:
            self._terms = {key: found for key, found in self._terms.items() if key[0] != document_id}
            self._built = None

    def search(self, query: str, count: int, document_ids: Sequence[str] | None = None) -> list[LexicalMatch]:
        """Return at most `count` passages that share a term with `query`, best first."""
        return self._current().search(query, count, None if document_ids is None else frozenset(document_ids))

    def matches(self, query: str, keys: Sequence[ChunkKey]) -> dict[ChunkKey, LexicalMatch]:
        """Return how the passages `keys` match `query`; those that share no term score 0."""
        return self._current().matches(query, keys)

    def _current(self) -> _Built:
        with self._lock:
            if self._built is None:
                self._built = _Built(self._terms)
            return self._built


class _Built:
    """The index over one state of the passages; never changed."""

    def __init__(self, passages: dict[ChunkKey, list[str]]) -> None:
        import bm25s

        self._keys = list(passages)
        self._rows = {key: row for row, key in enumerate(self._keys)}
        self._frequencies: Counter[str] = Counter()
        for found in passages.values():
            self._frequencies.update(set(found))
        length = max(1, round(sum(map(len, passages.values())) / max(1, len(passages))))
        corpus = [*passages.values(), *[[_FILLER] * length for _ in range(_PRIOR_PASSAGES)]]
        vocabulary = {term: number for number, term in enumerate([_FILLER, *self._frequencies])}
        numbered = [[vocabulary[term] for term in found] for found in corpus]
        self._count = len(corpus)
        self._bm25: Any = bm25s.BM25(method="lucene", k1=_K1, b=_B)
        self._bm25.index((numbered, vocabulary), show_progress=False)

    def search(self, query: str, count: int, document_ids: frozenset[str] | None) -> list[LexicalMatch]:
        scores, most = self._scores(query)
        if document_ids is not None:
            scores = scores * np.array([key[0] in document_ids for key in self._keys], dtype=scores.dtype)
        best = np.argsort(-scores, kind="stable")[:count]
        return [self._match(int(row), scores, most) for row in best if scores[row] > 0]

    def matches(self, query: str, keys: Sequence[ChunkKey]) -> dict[ChunkKey, LexicalMatch]:
        scores, most = self._scores(query)
        return {key: self._match(self._rows[key], scores, most) for key in keys if key in self._rows}

    def _match(self, row: int, scores: npt.NDArray[np.float32], most: float) -> LexicalMatch:
        score = float(scores[row])
        return LexicalMatch(self._keys[row], score, score / most if most > 0 else 0.0)

    def _scores(self, query: str) -> tuple[npt.NDArray[np.float32], float]:
        """Return the BM25 score of every passage, float32 (passages,), and the bound that none can pass."""
        asked = {term: _ASKING if _only_asks(term) else 1.0 for term in terms(query)}
        # Marks lift a passage, but one that has none misses nothing: the bound is that of the words.
        most = sum(weight * self._weight(term) for term, weight in asked.items())
        asked.update(question_marks(query, self._frequencies.__contains__))
        scores = np.zeros(len(self._keys), dtype=np.float32)
        for weight in sorted(set(asked.values())):
            known = [term for term, own in asked.items() if own == weight and term in self._frequencies]
            if known:
                scores += weight * self._bm25.get_scores(known)[: len(self._keys)]
        return scores, most

    def _weight(self, term: str) -> float:
        holding = self._frequencies.get(term, 0)
        return math.log(1 + (self._count - holding + 0.5) / (holding + 0.5))
