"""What encoders of several kinds share: rows rounded to bytes, a matrix times such rows, and attention among a text's rows.

After a change here remove the `__pycache__` of this folder: numba looks only at the file that calls.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import njit

from rag_core.encoder.dots import ROWS, quantise, tile
from rag_core.encoder.pairs import narrow, pairs_8, weave
from rag_core.encoder.shapes import GROUP
from rag_core.encoder.shares import weigh
from rag_core.engines.products import F32, ONE, OPTIONS

__all__ = ["attend", "multiply", "room_for_bytes", "room_to_attend", "round_rows"]

_LOG2_E = F32(1.4426950408889634)


@njit(**OPTIONS)  # type: ignore[untyped-decorator]
def round_rows(x: Any, count: int, out: Any, scales: Any) -> None:
    """Round the first `count` rows to bytes, see `rag_core.encoder.dots.quantise`."""
    for row in range(count):
        quantise(x[row].ctypes.data, out[row].ctypes.data, scales[row].ctypes.data, scales.shape[1])


@njit(**OPTIONS)  # type: ignore[untyped-decorator]
def multiply(
    first: int, last: int, weights: Any, factors: Any, bias: Any, x: Any, scales: Any, count: int, out: Any
) -> None:
    """out[row, 32 (t - first):] = tile t of a matrix times x[row] for t from `first` to `last`; rows padded to ROWS."""
    for number in range(first, last):
        data, factor, add = weights[number].ctypes.data, factors[number].ctypes.data, bias.ctypes.data + number * 128
        to = out.ctypes.data + (number - first) * 128
        for row in range(0, count, ROWS):
            tile(
                data, factor, x[row].ctypes.data, x.strides[0], scales[row].ctypes.data, scales.strides[0], add,
                to + row * out.strides[0], out.strides[0], scales.shape[1],
            )  # fmt: skip


@njit(**OPTIONS)  # type: ignore[untyped-decorator]
def _gather(
    joint: Any, start: int, count: int, at: int, key_at: int, value_at: int, query: Any, key: Any, value: Any, line: Any,
    blank: Any,
) -> None:  # fmt: skip
    """Write a head's numbers of the `count` rows from `start` as pairs, laid out for products."""
    size = len(blank)
    # Scores are then in powers of two, as `weigh` reads them.
    factor = F32(_LOG2_E / np.sqrt(F32(size)))
    for row in range(count):
        own = joint[start + row].ctypes.data
        narrow(own + at * 4, factor, query[row].ctypes.data, size // 16)
        narrow(own + key_at * 4, ONE, line.ctypes.data, size // 16)
        place, lane = key[row // 32], row % 32
        for k in range(size // 2):
            place[k, lane] = line[k]
    for row in range(0, count, 2):
        first = joint[start + row, value_at:].ctypes.data
        second = first + joint.strides[0] if row + 1 < count else blank.ctypes.data
        for part in range(size // 32):
            weave(first + 128 * part, second + 128 * part, value[part, row // 2].ctypes.data, 2)


@njit(**OPTIONS)  # type: ignore[untyped-decorator]
def attend(
    joint: Any, start: int, count: int, heads: int, key_heads: int, out: Any, query: Any, key: Any, value: Any, scores: Any,
    shares: Any, totals: Any, line: Any, blank: Any,
) -> None:  # fmt: skip
    """Attention among the `count` rows from `start`; `joint` holds queries, keys and values side by side.

    So many of the `heads` share each of the `key_heads` (Ainslie et al. 2023, arXiv:2305.13245).
    Rows of `out` behind the last may be written to: at most 7.
    """
    width = out.shape[1]
    size = width // heads
    places = (count + 31) // 32
    for head in range(heads):
        at = head * size
        key_at = width + head * key_heads // heads * size
        _gather(joint, start, count, at, key_at, key_at + key_heads * size, query, key, value, line, blank)
        # Eight rows from scores to sums at a time: their scores stay in the cache nearest to the core.
        for row in range(0, count, 8):
            for place in range(places):
                pairs_8(
                    key[place].ctypes.data, query[row].ctypes.data, query.strides[0], scores.ctypes.data + place * 128,
                    scores.strides[0], size // 2,
                )  # fmt: skip
            for near in range(8):
                weight = weigh(scores[near].ctypes.data, count, shares[near].ctypes.data)
                totals[near] = ONE / weight
            for part in range(size // 32):
                to = out[start + row].ctypes.data + (at + 32 * part) * 4
                pairs_8(
                    value[part].ctypes.data, shares.ctypes.data, shares.strides[0], to, out.strides[0],
                    (count + 1) // 2,
                )  # fmt: skip
            for near in range(8):
                for k in range(at, at + size):
                    out[start + row + near, k] *= totals[near]


@njit(**OPTIONS)  # type: ignore[untyped-decorator]
def room_for_bytes(rows: int, width: int) -> Any:
    """Return what `round_rows` writes: bytes (rows, width), and the scales of their groups."""
    return np.zeros((rows, width), np.uint8), np.zeros((rows, width // GROUP, 2), np.float32)


@njit(**OPTIONS)  # type: ignore[untyped-decorator]
def room_to_attend(longest: int, size: int) -> Any:
    """Return what `attend` works in, in its order from `query` on, for texts of at most `longest` tokens."""
    tall, blocks = (longest + 7) // 8 * 8, (longest + 31) // 32
    # Scores and shares with the 16 numbers behind the last that `weigh` may touch.
    query, scores = np.zeros((tall, size // 2), np.int32), np.zeros((8, blocks * 32 + 16), np.float32)
    key, value = np.zeros((blocks, size // 2, 32), np.int32), np.zeros((size // 32, blocks * 16, 32), np.int32)
    shares, totals = np.zeros((8, blocks * 16 + 8), np.int32), np.zeros(8, np.float32)
    line, blank = np.zeros(size // 2, np.int32), np.zeros(size, np.float32)
    return query, key, value, scores, shares, totals, line, blank
