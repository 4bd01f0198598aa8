"""The windows of chosen documents that are nearest to a question: Chroma's own filter reads its metadata row by row.

At 100,000 windows that takes 50 to 160 ms of CPU, where a search among all takes 1 ms. So few windows are compared one by
one, exactly; where many of all are chosen, enough of all are asked for and the others left out.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Sequence
from itertools import accumulate

import numpy as np

from rag_core.encoder.embedding import Vectors
from rag_core.indexing.storage import Record
from rag_core.indexing.vectors import Neighbour, WindowKey

__all__ = ["nearest_among"]

# Windows that are compared one by one in any case, and at most.
_FEW = 1_024
_MOST = 10_000
# Windows of all documents that are asked for at most: 10 ms. And how many more than would do, were documents all alike.
_WIDEST = 2_000
_SPARE = 2.0
_Vectors = Callable[[Sequence[tuple[str, int]]], dict[tuple[str, int], Vectors]]


def nearest_among(
    vector: Vectors,
    count: int,
    chosen: Sequence[Record],
    total: int,
    search: Callable[[int, Sequence[str] | None], list[Neighbour]],
    vectors: _Vectors,
) -> list[Neighbour]:
    """Return at most `count` windows of the `chosen` documents nearest to the unit `vector` (dimension,), nearest first.

    `total` is how many windows there are. `search(count, document_ids)` gives the nearest windows of these documents, or
    of all; `vectors` the unit vectors (windows, dimension) of passages, each given as document id and chunk number.
    """
    windows = sum(record.document.window_count for record in chosen)
    if windows <= _FEW:
        return _compared(vector, count, chosen, vectors)
    ids = {record.document.id for record in chosen}
    wide = round(_SPARE * count * max(total, windows) / windows)
    if wide <= _WIDEST:
        found = [near for near in search(wide, None) if near.key.document_id in ids]
        if len(found) >= count:
            return found[:count]
    return _compared(vector, count, chosen, vectors) if windows <= _MOST else search(count, list(ids))


def _compared(vector: Vectors, count: int, chosen: Sequence[Record], vectors: _Vectors) -> list[Neighbour]:
    found = vectors([(record.document.id, chunk.number) for record in chosen for chunk in record.chunks])
    if not found:
        return []
    passages, rows = list(found), list(found.values())
    cosines = np.concatenate(rows) @ vector
    starts = list(accumulate(map(len, rows), initial=0))
    best = []
    for place in np.argsort(-cosines, kind="stable")[:count].tolist():
        number = bisect_right(starts, place) - 1
        best.append(Neighbour(WindowKey(*passages[number], place - starts[number]), float(cosines[place])))
    return best
