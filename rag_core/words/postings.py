"""Which passages hold which terms, in segments that are never changed: added to without building anything anew.

Every addition is a segment of its own. Segments that together are as large as the one before them are merged with it,
so a posting is copied a logarithmic number of times and there are few segments at any time (the merging of log-structured
indexes: O'Neil et al. 1996; Lucene works likewise). What was removed is masked, and dropped where its segment is merged
or a share of it is masked. Counts that a score needs are taken over the passages that are left, so it does not depend on
the segments: bit for bit the score of an index made in one go.

Terms are kept as 64-bit hashes, keyed anew in every process, so no word is in memory twice and none of a removed document.
Of a million terms two are taken for one with a probability of 3e-8.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from itertools import accumulate, chain, takewhile
from typing import Any

import numpy as np
import numpy.typing as npt

__all__ = ["ChunkKey", "Postings", "Segment", "segment_of"]

# (document id, chunk number)
ChunkKey = tuple[str, int]
_Flags = npt.NDArray[np.bool_]
_Scores = npt.NDArray[np.float32]

# Share of removed passages from which a segment is written anew without them.
_REMOVED_SHARE = 0.25


@dataclass(frozen=True, slots=True, eq=False)
class Segment:
    """Passages and their terms; never changed.

    `keys` and `lengths` (terms with repetitions) are by passage. The postings of `terms[i]`, which ascend, stand from
    `starts[i]` to `starts[i + 1]`: `rows`, ascending, say which passage, and `counts` how often it has the term there.
    """

    keys: tuple[ChunkKey, ...]
    lengths: npt.NDArray[np.int64]
    terms: npt.NDArray[np.int64]
    starts: npt.NDArray[np.int64]
    rows: npt.NDArray[np.int32]
    counts: npt.NDArray[np.float32]

    def span(self, term: int) -> slice:
        """Return where the postings of a term stand; an empty slice where it has none."""
        place = int(self.terms.searchsorted(term))
        if place == len(self.terms) or self.terms[place] != term:
            return slice(0, 0)
        return slice(int(self.starts[place]), int(self.starts[place + 1]))


def segment_of(passages: Mapping[ChunkKey, Sequence[str]]) -> Segment:
    """Return the segment of passages given as their terms."""
    lengths = np.fromiter(map(len, passages.values()), np.int64, len(passages))
    hashes = np.fromiter(map(hash, chain.from_iterable(passages.values())), np.int64, int(lengths.sum()))
    order = np.argsort(hashes, kind="stable")
    hashes, rows = hashes[order], np.repeat(np.arange(len(passages), dtype=np.int32), lengths)[order]
    # Stable, so a term's passages ascend, and repetitions in one passage stand side by side.
    first = np.flatnonzero(_changes(hashes) | _changes(rows))
    new = np.flatnonzero(_changes(hashes[first]))
    counts = np.diff(first, append=len(hashes)).astype(np.float32)
    starts = np.append(new, len(first))
    return Segment(tuple(passages), lengths, hashes[first][new], starts, rows[first], counts)


def _changes(values: npt.NDArray[Any]) -> _Flags:
    """Return at which places a value differs from the one before; the first does."""
    found = np.ones(len(values), dtype=np.bool_)
    np.not_equal(values[1:], values[:-1], out=found[1:])
    return found


@dataclass(frozen=True, slots=True, eq=False)
class _Part:
    """A segment, and which of its passages are `left`: bool (passages,), of which there are `count`."""

    segment: Segment
    left: _Flags
    count: int
    places: dict[ChunkKey, int]
    documents: dict[str, list[int]]

    @classmethod
    def whole(cls, segment: Segment) -> _Part:
        """Return a part with every passage left."""
        places = {key: row for row, key in enumerate(segment.keys)}
        documents: dict[str, list[int]] = {}
        for (document_id, _), row in places.items():
            documents.setdefault(document_id, []).append(row)
        return cls(segment, np.ones(len(places), dtype=np.bool_), len(places), places, documents)

    def row(self, key: ChunkKey) -> int | None:
        """Return the row of a passage that is left."""
        row = self.places.get(key)
        return row if row is not None and self.left[row] else None

    def without(self, rows: Sequence[int]) -> _Part:
        """Return the part with those passages masked too."""
        if not rows:
            return self
        left = self.left.copy()
        left[rows] = False
        return _Part(self.segment, left, int(left.sum()), self.places, self.documents)

    def holding(self, term: int) -> tuple[npt.NDArray[np.int32], npt.NDArray[np.float32]]:
        """Return the rows of the passages left that hold a term, and how often each holds it."""
        span = self.segment.span(term)
        rows, counts = self.segment.rows[span], self.segment.counts[span]
        if self.count == len(self.left):
            return rows, counts
        kept = self.left[rows]
        return rows[kept], counts[kept]


class Postings:
    """All passages as they are at one time. Never changed: an addition or a removal gives another one."""

    def __init__(self, parts: Sequence[_Part] = ()) -> None:
        self._parts = tuple(part for part in parts if part.count)
        self._offsets = list(accumulate((len(part.left) for part in self._parts), initial=0))
        self.count = sum(part.count for part in self._parts)
        """Passages that are left."""
        self.length = sum(int(part.segment.lengths[part.left].sum()) for part in self._parts)
        """Terms of them all, with repetitions."""

    # Change ----------------------------------------------------------------------------------------------------------

    def added(self, segment: Segment) -> Postings:
        """Return these with a segment more; passages of the same key are replaced."""
        older = [
            part.without([row for key in segment.keys if (row := part.row(key)) is not None]) for part in self._parts
        ]
        return Postings([*older, _Part.whole(segment)])

    def removed(self, document_id: str) -> Postings:
        """Return these without the passages of a document."""
        return Postings([part.without(part.documents.get(document_id, ())) for part in self._parts])

    def due(self) -> slice | None:
        """Return which neighbouring parts should be written as one; None where all is well."""
        for number, part in enumerate(self._parts):
            if part.count < (1 - _REMOVED_SHARE) * len(part.left):
                return slice(number, number + 1)
        first, behind = len(self._parts), 0
        for number in reversed(range(len(self._parts))):
            if 0 < self._parts[number].count <= behind:
                first = number
            behind += self._parts[number].count
        return slice(first, len(self._parts)) if first < len(self._parts) else None

    def merged(self, which: slice) -> Segment:
        """Return one segment of the passages left in those parts; takes time in proportion to their postings."""
        return _merged([_pruned(part) for part in self._parts[which]])

    def exchanged(self, before: Postings, which: slice, segment: Segment) -> Postings:
        """Return these with `segment` in place of those parts of `before`, a state of which these have come about.

        What was removed or replaced since then is masked in `segment` too. No other parts may have been exchanged since.
        """
        old = {id(part.segment) for part in before._parts[which]}
        held = [part for part in self._parts if id(part.segment) in old]
        whole = _Part.whole(segment)
        gone = [row for key, row in whole.places.items() if all(part.row(key) is None for part in held)]
        ahead = list(takewhile(lambda part: id(part.segment) not in old, self._parts))
        behind = [part for part in self._parts[len(ahead) :] if id(part.segment) not in old]
        return Postings([*ahead, whole.without(gone), *behind])

    # Reading ---------------------------------------------------------------------------------------------------------

    def holding(self, term: str) -> int:
        """Return how many passages hold a term."""
        number = hash(term)
        return sum(len(part.holding(number)[0]) for part in self._parts)

    def saturated(self, weights: Mapping[str, float], k1: float, b: float, average: float) -> _Scores:
        """Return for each passage the sum over terms of weight * tf / (tf + k1 (1 - b + b length / average)).

        float32 (places,): one for each place of `key` and `place`; 0 where a passage was removed.
        """
        scores = np.zeros(self._offsets[-1], dtype=np.float32)
        hashed = [(hash(term), np.float32(weight)) for term, weight in weights.items()]
        for part, offset in zip(self._parts, self._offsets, strict=False):
            norms = (k1 * (1 - b + b * part.segment.lengths / average)).astype(np.float32)
            sums = scores[offset : offset + len(norms)]
            for number, weight in hashed:
                rows, counts = part.holding(number)
                if len(rows):
                    sums[rows] += weight * (counts / (counts + norms[rows]))
        return scores

    def of_documents(self, document_ids: Collection[str]) -> _Flags:
        """Return which places belong to one of the documents: bool (places,)."""
        found = np.zeros(self._offsets[-1], dtype=np.bool_)
        for part, offset in zip(self._parts, self._offsets, strict=False):
            for document_id in document_ids:
                rows = part.documents.get(document_id)
                if rows:
                    found[offset:][rows] = True
        return found

    def key(self, place: int) -> ChunkKey:
        """Return the key of the passage at a place."""
        number = bisect_right(self._offsets, place) - 1
        return self._parts[number].segment.keys[place - self._offsets[number]]

    def place(self, key: ChunkKey) -> int | None:
        """Return the place of a passage, None where there is none of that key."""
        for part, offset in zip(self._parts, self._offsets, strict=False):
            row = part.row(key)
            if row is not None:
                return offset + row
        return None


def _pruned(part: _Part) -> Segment:
    """Return the segment without what was removed."""
    whole = part.segment
    if part.count == len(part.left):
        return whole
    numbers = np.cumsum(part.left, dtype=np.int32) - 1
    kept = part.left[whole.rows]
    before = np.concatenate([[0], np.cumsum(kept, dtype=np.int64)])
    ends = before[whole.starts]
    used = np.flatnonzero(np.diff(ends))
    return Segment(
        tuple(key for key, left in zip(whole.keys, part.left.tolist(), strict=True) if left),
        whole.lengths[part.left],
        whole.terms[used],
        np.append(ends[used], ends[-1]),
        numbers[whole.rows[kept]],
        whole.counts[kept],
    )


def _merged(parts: Sequence[Segment]) -> Segment:
    """Return one segment of several: a term's postings of each part, one part after the other."""
    if len(parts) == 1:
        return parts[0]
    # Sorted runs: the stable sort merges them in linear time, where `numpy.unique` would hash them all.
    terms = np.sort(np.concatenate([part.terms for part in parts]), kind="stable")
    terms = terms[_changes(terms)]
    places = [terms.searchsorted(part.terms) for part in parts]
    sizes = np.zeros(len(terms), dtype=np.int64)
    for part, place in zip(parts, places, strict=True):
        sizes[place] += np.diff(part.starts)
    starts = np.concatenate([[0], np.cumsum(sizes)])
    rows, counts = np.empty(starts[-1], dtype=np.int32), np.empty(starts[-1], dtype=np.float32)
    free, offset = starts[:-1].copy(), 0
    for part, place in zip(parts, places, strict=True):
        size = np.diff(part.starts)
        target = np.repeat(free[place] - part.starts[:-1], size) + np.arange(len(part.rows))
        rows[target] = part.rows + np.int32(offset)
        counts[target] = part.counts
        free[place] += size
        offset += len(part.keys)
    keys = tuple(chain.from_iterable(part.keys for part in parts))
    return Segment(keys, np.concatenate([part.lengths for part in parts]), terms, starts, rows, counts)
