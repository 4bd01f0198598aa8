"""Word matching: BM25 over the passages, with figures read as figures and neighbouring words as phrases.

Scores are BM25 as in Lucene: idf = ln(1 + (N - n + 0.5) / (n + 0.5)), term frequency saturated by
tf / (tf + k1 (1 - b + b L / L_avg)) (Robertson and Zaragoza 2009, Kamphuis et al. 2020). They depend on the passages
that are there alone, never on how they came: see `rag_core.words.postings`. Phrases as terms follow the sequential dependence
model (Metzler and Croft 2005). Row labels, finance concepts and statements are terms of their
own beside the words: see `rag_core.words.marks`. `bench/results/ablation.json` has what each of them brings.
"""

from __future__ import annotations

import math
import threading
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import numpy.typing as npt

from rag_core.words.marks import passage_marks, question_marks
from rag_core.words.postings import ChunkKey, Postings, Segment, segment_of
from rag_core.words.wording import asks_only, short_years, stem, words

__all__ = ["ChunkKey", "LexicalIndex", "LexicalMatch", "segmented", "terms"]

_K1 = 1.2
_B = 0.75
# A few passages say little about how rare a word is in general: the collection is taken to hold this many more, of
# average length, without any of its words. Without it, one single passage would give every word almost no weight.
_PRIOR_PASSAGES = 20
# Weight of what only says how to answer, where other words count 1.
_ASKING = 0.5


def terms(text: str) -> list[str]:
    """Return the terms of `text`: words as written, their stems, pairs of neighbouring stems, and years in full.

    What `rag_core.words.wording` takes for the same word is one term; function words are left out, before pairs are made.
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


def segmented(passages: Iterable[tuple[ChunkKey, str]], *, report: bool = False) -> Segment:
    """Return the terms and marks of passages, ready to be added: the work of an addition, which needs no index."""
    return segment_of({key: [*terms(text), *passage_marks(text, report=report)] for key, text in passages})


class LexicalIndex:
    """BM25 over passages. Thread-safe: a search works on the state that was current when it began, and waits for none.

    An addition or a removal costs time in proportion to it; now and then its thread also merges what came before.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._merging = threading.Lock()
        self._state = _State(Postings())

    def add(self, passages: Iterable[tuple[ChunkKey, str]], *, report: bool = False) -> None:
        """Add passages, or replace those of the same key; where scores are equal, what was added first comes first.

        `report` says that they are of a document long enough to have financial statements among other things.
        """
        self.put(segmented(passages, report=report))

    def put(self, segment: Segment) -> None:
        """Add what `segmented` made of passages."""
        if segment.keys:
            self._change(lambda postings: postings.added(segment))
            self._merge()

    def remove(self, document_id: str) -> None:
        """Forget the passages of a document."""
        self._change(lambda postings: postings.removed(document_id))
        self._merge()

    def _change(self, changed: Callable[[Postings], Postings]) -> None:
        with self._lock:
            self._state = _State(changed(self._state.postings))

    def _merge(self) -> None:
        """Merge what is due, held by no lock that a search or an addition takes; one thread at a time does it for all."""
        while self._merging.acquire(blocking=False):
            try:
                before = self._state.postings
                which = before.due()
                if which is None:
                    return
                segment = before.merged(which)
                self._change(lambda now: now.exchanged(before, which, segment))  # noqa: B023 - called at once
            finally:
                self._merging.release()

    def search(self, query: str, count: int, document_ids: Sequence[str] | None = None) -> list[LexicalMatch]:
        """Return at most `count` passages that share a term with `query`, best first."""
        return self._state.search(query, count, None if document_ids is None else frozenset(document_ids))

    def matches(self, query: str, keys: Sequence[ChunkKey]) -> dict[ChunkKey, LexicalMatch]:
        """Return how the passages `keys` match `query`; those that share no term score 0."""
        return self._state.matches(query, keys)


class _State:
    """The index over one state of the passages; never changed, but that it remembers the last question's scores."""

    def __init__(self, postings: Postings) -> None:
        self.postings = postings
        self._count = postings.count + _PRIOR_PASSAGES
        length = max(1, round(postings.length / max(1, postings.count)))
        self._average = (postings.length + _PRIOR_PASSAGES * length) / self._count
        self._last: tuple[str, npt.NDArray[np.float32], float] | None = None

    def search(self, query: str, count: int, document_ids: frozenset[str] | None) -> list[LexicalMatch]:
        """See `LexicalIndex.search`."""
        scores, most = self._scored(query)
        if document_ids is not None:
            scores = scores * self.postings.of_documents(document_ids)
        return [self._match(place, scores, most) for place in _best(scores, count)]

    def matches(self, query: str, keys: Sequence[ChunkKey]) -> dict[ChunkKey, LexicalMatch]:
        """See `LexicalIndex.matches`."""
        scores, most = self._scored(query)
        places = [(key, self.postings.place(key)) for key in keys]
        return {key: self._match(place, scores, most) for key, place in places if place is not None}

    def _match(self, place: int, scores: npt.NDArray[np.float32], most: float) -> LexicalMatch:
        score = float(scores[place])
        return LexicalMatch(self.postings.key(place), score, score / most if most > 0 else 0.0)

    def _scored(self, query: str) -> tuple[npt.NDArray[np.float32], float]:
        """Return `_scores`, which one question asks for twice."""
        held = self._last
        if held is None or held[0] != query:
            held = self._last = (query, *self._scores(query))
        return held[1:]

    def _scores(self, query: str) -> tuple[npt.NDArray[np.float32], float]:
        """Return the BM25 score of every place of the postings, float32, and the bound that none can pass."""
        asked = {term: _ASKING if _only_asks(term) else 1.0 for term in terms(query)}
        # Marks lift a passage, but one that has none misses nothing: the bound is that of the words.
        weights = {term: weight * self._weight(term) for term, weight in asked.items()}
        most = sum(weights.values())
        marks = question_marks(query, self._known)
        weights.update((mark, weight * self._weight(mark)) for mark, weight in marks.items())
        return self.postings.saturated(weights, _K1, _B, self._average), most

    def _known(self, term: str) -> bool:
        return self.postings.holding(term) > 0

    def _weight(self, term: str) -> float:
        holding = self.postings.holding(term)
        return math.log(1 + (self._count - holding + 0.5) / (holding + 0.5))


def _best(scores: npt.NDArray[np.float32], count: int) -> list[int]:
    """Return at most `count` places of scores over 0, best first; equal ones in their order."""
    found = np.flatnonzero(scores > 0)
    if len(found) > count > 0:
        least = np.partition(scores[found], len(found) - count)[len(found) - count]
        found = np.flatnonzero(scores >= least)
    places: list[int] = found[np.argsort(-scores[found], kind="stable")][:count].tolist()
    return places
