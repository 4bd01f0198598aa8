"""Question to ranked passages: nearness of meaning and shared words, weighed by how far the words can be trusted.

Both sides are put on absolute scales: the cosine of the question with a passage's best window, and the share of the
question's words (weighted by rarity) that the passage covers. Where some passage covers much of the question, it is
asked in the documents' own words, and words tell passages apart better than meaning does; where none does, it is asked
in other words, and meaning has to decide. So the cosine's weight falls with the best coverage that was found.
Normalising each list by its own best, or fusing ranks, gives up just that: how good the best is.

Sentences that only say how to answer are left out of the question first. In a report, what it wants is also spelt out
as financial statements name it before it is embedded. The first passages are then read (`rag_core.search.rereading`).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from rag_core.config import RagConfig
from rag_core.encoder.embedding import Embedder, Vectors
from rag_core.errors import ConfigError, DocumentNotFoundError
from rag_core.indexing.index import DocumentIndex, is_report
from rag_core.indexing.storage import Record
from rag_core.indexing.vectors import WindowKey
from rag_core.records import Chunk, Hit, Window
from rag_core.search.asking import asked_part
from rag_core.search.reranking import Reranker, reranked
from rag_core.search.rereading import Rereader
from rag_core.words.lexical import ChunkKey, LexicalMatch
from rag_core.words.vocabulary import spelt_out
from rag_core.words.wording import names_period

__all__ = ["Retriever", "as_a_whole", "relevance"]

# Best coverage at which both sides count alike, and how fast the cosine's weight falls around it; the cosine that texts
# of one field have by chance; the logistic's slope and middle. See `relevance`.
_EVEN = 0.14
_FALL = 2.0
# Share of the cosine's weight that is left where a period is given: embedded rows of figures look alike.
_PERIOD_SHARE = 0.5
_CHANCE = 0.25
_SLOPE = 8.0
_MIDDLE = 0.37
# The cosine's weight at least, where the question was spelt out: it is then near to the statement itself.
_SPELT_WEIGHT = 0.3
# In a short document a passage is about one thing: this part of its cosine is the mean of its windows, which lies that
# much under the best window's.
_WHOLE = 0.3
_SPREAD = 0.06
# Windows asked for each passage that is wanted as a candidate: several windows of one passage may be among the nearest.
_WINDOWS_PER_CANDIDATE = 2


def relevance(
    cosine: float, coverage: float, best_coverage: float, *, period: bool = False, spelt: bool = False
) -> float:
    """Return the score in [0, 1] of a passage: how likely it holds what the question asks for.

    `cosine` in [-1, 1] and `coverage` (0 or more) are those of the passage and of its words, `best_coverage` the
    highest coverage of any passage for the same question. `period` says that the question gives a year or quarter,
    `spelt` that it was spelt out. The weights were chosen on five sets of questions at once, those of `bench.retrieval`
    but for the held-out one. `_EVEN` of 0.16 would gain 0.004 MRR on paraphrases and on the first analyst's questions, and
    lose 0.002 on questions in the texts' own words and 0.008 on the held-out ones. Before the embedder learned finance
    questions, leaving out `_PERIOD_SHARE` cost the texts' own questions 0.009 and the held-out ones 0.07, leaving out
    `_SPELT_WEIGHT` those of the first analyst 0.02.
    """
    weight = (_PERIOD_SHARE if period else 1.0) / (1.0 + (best_coverage / _EVEN) ** _FALL)
    weight = max(weight, _SPELT_WEIGHT) if spelt else weight
    mixed = weight * (cosine - _CHANCE) + (1.0 - weight) * coverage
    return 1.0 / (1.0 + math.exp(-_SLOPE * (mixed - _MIDDLE)))


@dataclass(frozen=True, slots=True)
class _Candidate:
    record: Record
    chunk: Chunk
    focus: Window
    cosine: float
    nearness: float
    match: LexicalMatch | None

    @property
    def coverage(self) -> float:
        return self.match.coverage if self.match else 0.0

    def hit(self, score: float) -> Hit:
        chunk = self.chunk
        return Hit(
            document=self.record.document,
            page=chunk.page,
            start=chunk.start,
            end=chunk.end,
            text=chunk.text,
            score=score,
            focus=self.focus,
            headings=chunk.headings,
            dense_score=self.cosine,
            lexical_score=self.match.score if self.match else 0.0,
        )


def as_a_whole(cosines: Sequence[float]) -> float:
    """Return how near a passage is as a whole, on the scale of one window's cosine; `cosines` of its windows, not empty.

    Over excerpts, paraphrases were found better with any share of the mean from 0.1 to 0.5, questions in the texts' own
    words neither better nor worse; in reports, whose passages go from one thing to the next, both were found worse.
    """
    return (1.0 - _WHOLE) * max(cosines) + _WHOLE * (sum(cosines) / len(cosines) + _SPREAD)


class Retriever:
    """Searches an index. Holds nothing of its own, so it is cheap to make and may be used by any thread."""

    def __init__(
        self,
        index: DocumentIndex,
        embedder: Embedder,
        config: RagConfig,
        reranker: Reranker | None = None,
        rereader: Rereader | None = None,
    ) -> None:
        self._index = index
        self._embedder = embedder
        self._config = config.retrieval
        self._reranker = reranker
        self._rereader = rereader

    def search(self, query: str, k: int | None = None, document_ids: Sequence[str] | None = None) -> list[Hit]:
        """Return the `k` best passages (`config.retrieval.k` when None), best first; fewer where there are fewer.

        `document_ids` narrows the search. Raises ConfigError for a `k` under 1, DocumentNotFoundError for an id that
        is not there, ModelError or IndexStateError.
        """
        k = self._config.k if k is None else k
        if k < 1:
            raise ConfigError(f"k is {k}; at least 1 passage must be asked for")
        records = self._index.records()
        if document_ids is not None:
            missing = [document_id for document_id in document_ids if document_id not in records]
            if missing:
                raise DocumentNotFoundError(
                    f"There is no document {missing[0][:64]!r}; it was removed, or its id is another"
                )
            document_ids = list(dict.fromkeys(document_ids))
        if not records or document_ids == []:
            return []
        searched = list(records.values()) if document_ids is None else [records[key] for key in document_ids]
        asked = asked_part(query)
        reports = any(is_report(record) for record in searched)
        wording = spelt_out(asked) if reports else asked
        candidates = self._candidates(asked, wording, max(k, self._config.candidates), document_ids, records)
        best = max((item.coverage for item in candidates), default=0.0)
        period, spelt = names_period(asked), wording != asked
        scored = [
            (relevance(item.nearness, item.coverage, best, period=period, spelt=spelt), item) for item in candidates
        ]
        # Ties are broken by the cosine, then by the order in the documents, so that a search repeats itself exactly.
        scored.sort(key=lambda pair: (-pair[0], -pair[1].cosine, pair[1].record.sequence, pair[1].chunk.number))
        if self._reranker:
            hits = [item.hit(score) for score, item in scored[: max(k, self._config.rerank_candidates)]]
            return reranked(query, hits, self._reranker)[:k]
        first = scored[: max(k, self._config.reread)]
        hits = [item.hit(score) for score, item in first]
        if self._rereader:
            windows = [item.chunk.windows for _, item in first]
            hits = self._rereader.ordered(asked, hits, windows, self._config.reread, short=not reports)
        return hits[:k]

    def _candidates(
        self, query: str, wording: str, count: int, document_ids: Sequence[str] | None, records: dict[str, Record]
    ) -> list[_Candidate]:
        """Return the passages that either side proposes, each scored by both sides; `wording` is what is embedded."""
        vector = self._embedder.encode([wording])[0]
        near = self._index.nearest(vector, count * _WINDOWS_PER_CANDIDATE, document_ids)
        lexical = self._index.lexical()
        worded = lexical.search(query, count, document_ids)
        keys: dict[ChunkKey, None] = dict.fromkeys((item.key.document_id, item.key.chunk) for item in near)
        keys.update(dict.fromkeys(match.key for match in worded))
        # What was added or removed since the search began is left out.
        present = [key for key in keys if key[0] in records and key[1] < len(records[key[0]].chunks)]
        matches = lexical.matches(query, present)
        cosines = self._cosines(vector, present, records, {item.key: item.cosine for item in near})
        found = []
        for key in present:
            record = records[key[0]]
            chunk = record.chunks[key[1]]
            scored = [(cosines.get(WindowKey(*key, number)), number) for number in range(len(chunk.windows))]
            best = max(((cosine, -number) for cosine, number in scored if cosine is not None), default=None)
            if best is not None:
                focus = chunk.windows[-best[1]]
                nearness = (
                    best[0] if is_report(record) else as_a_whole([cosine for cosine, _ in scored if cosine is not None])
                )
                found.append(_Candidate(record, chunk, focus, best[0], nearness, matches.get(key)))
        return found

    def _cosines(
        self, vector: Vectors, keys: Sequence[ChunkKey], records: dict[str, Record], known: dict[WindowKey, float]
    ) -> dict[WindowKey, float]:
        """Return the cosine of every window of the passages `keys`, computed where the search did not give it."""
        wanted = [
            WindowKey(*key, number) for key in keys for number in range(len(records[key[0]].chunks[key[1]].windows))
        ]
        rows = self._index.vectors([key for key in wanted if key not in known])
        cosines = dict(known)
        cosines.update((key, float(np.dot(row, vector))) for key, row in rows.items())
        return cosines
