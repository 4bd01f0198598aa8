"""The forward pass of a Llama-type model, compiled for this machine's vector units when it is first called.

Decoding reads every weight once a token, so its speed is that of memory: weights stay as small as their file has them
(`products`). Keys and values are kept as the same kind of matrices, so that attention is two more of the same products.

Threads share the work of a phase by taking pieces from a counter; nobody waits for a thread, only for pieces that are
under way. A busy machine therefore slows this down by what it takes away and no more.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import njit

from rag_core.engines.counters import give_way, peek, take
from rag_core.engines.products import (
    F32,
    ONE,
    OPTIONS,
    ZERO,
    block_sums,
    exp,
    matrix_tile,
    normalise,
    rows_tile,
    softmax,
    unpack,
)

__all__ = ["PHASES", "TOKENS", "embed", "forward"]

# Phases of a layer: each is a pair of shared counters.
PHASES = 5
# Tokens whose attention is one piece of work.
TOKENS = 8
# Columns of the table of matrices, one row a layer; each entry is (form, data, scale, offset).
_Q, _K, _V, _OUT, _GATE, _UP, _DOWN = range(7)


@njit(**OPTIONS)  # type: ignore[untyped-decorator]
def _attend(
    first: int, last: int, start: int, kept: int, sharing: int, keys: Any, values: Any, queries: Any, out: Any,
    asked: Any, scores: Any, extra: Any,
) -> None:  # fmt: skip
    """Attention of tokens `first` to `last` for the heads that share the keys and values number `kept`.

    `keys` is [position / 32, size, 32] and `values` [size / 32, position, 32]; `asked` and `scores` are this thread's.
    """
    size = keys.shape[1]
    factor = F32(ONE / np.sqrt(F32(size)))
    count = (last - first) * sharing
    rows = (count + 3) // 4 * 4
    for row in range(count):
        at = (kept * sharing + row % sharing) * size
        for k in range(size):
            asked[row, k] = queries[first + row // sharing, at + k] * factor
    tiles = (start + last + 31) // 32
    for tile in range(tiles):
        to = scores.ctypes.data + tile * 128
        rows_tile(keys[tile].ctypes.data, asked, rows, size // 32, to, scores.strides[0])
    for row in range(rows):
        # Rows of padding must hold numbers too, since nothing times a non-number is not nothing.
        softmax(scores[row], start + first + min(row, count - 1) // sharing + 1, tiles * 32)
    for tile in range(size // 32):
        rows_tile(values[tile].ctypes.data, scores, rows, tiles, extra.ctypes.data, extra.strides[0])
        for row in range(count):
            at = (kept * sharing + row % sharing) * size + tile * 32
            for k in range(32):
                out[first + row // sharing, at + k] = extra[row, k]


@njit(**OPTIONS)  # type: ignore[untyped-decorator]
def _finish(done: int, pieces: int) -> None:
    """Wait until all pieces of a phase are done; after a while, without keeping a core from whoever does them."""
    spins = 0
    while peek(done) < pieces:
        spins += 1
        if spins > 2_000:
            give_way()


@njit(**OPTIONS)  # type: ignore[untyped-decorator]
def _project(
    entry: Any, counters: Any, phase: int, rows: int, x: Any, sums: Any, out: Any, extra: Any, unpacked: Any
) -> None:
    """out += matrix times x, the tiles shared with other threads."""
    address, done = counters[phase].ctypes.data, counters[phase].ctypes.data + 8
    tiles = out.shape[1] // 32
    while True:
        tile = take(address, 1)
        if tile >= tiles:
            break
        matrix_tile(entry, tile, x, sums, rows, extra.ctypes.data, extra.strides[0], unpacked)
        for row in range(rows):
            for k in range(32):
                out[row, tile * 32 + k] += extra[row, k]
        take(done, 1)
    _finish(done, tiles)


@njit(**OPTIONS)  # type: ignore[untyped-decorator]
def _rotate(row: Any, turns: Any, first: int) -> None:
    """Rotary embedding (Su et al. 2021, arXiv:2104.09864) of 16 pairs of neighbours, the first of them pair `first`."""
    for pair in range(16):
        cos, sin = turns[first + pair, 0], turns[first + pair, 1]
        a, b = row[2 * pair], row[2 * pair + 1]
        row[2 * pair], row[2 * pair + 1] = a * cos - b * sin, a * sin + b * cos


@njit(**OPTIONS)  # type: ignore[untyped-decorator]
def _queries_keys_values(
    table: Any, counters: Any, phase: int, rows: int, real: int, start: int, x: Any, sums: Any, turns: Any,
    keys: Any, values: Any, queries: Any, extra: Any, unpacked: Any,
) -> None:  # fmt: skip
    """Project, rotate, and put keys and values where they are kept."""
    size = keys.shape[2]
    q_tiles, k_tiles = queries.shape[1] // 32, keys.shape[0] * size // 32
    tiles = q_tiles + 2 * k_tiles
    address, done = counters[phase].ctypes.data, counters[phase].ctypes.data + 8
    while True:
        tile = take(address, 1)
        if tile >= tiles:
            break
        part = 0 if tile < q_tiles else 1 if tile < q_tiles + k_tiles else 2
        own = tile if part == 0 else tile - q_tiles if part == 1 else tile - q_tiles - k_tiles
        matrix_tile(table[part], own, x, sums, rows, extra.ctypes.data, extra.strides[0], unpacked)
        head, first = own * 32 // size, own * 32 % size
        for row in range(real):
            position = start + row
            if part < 2:
                _rotate(extra[row], turns[position], first // 2)
            for k in range(32):
                if part == 0:
                    queries[row, own * 32 + k] = extra[row, k]
                elif part == 1:
                    keys[head, position // 32, first + k, position % 32] = extra[row, k]
                else:
                    values[head, first // 32, position, k] = extra[row, k]
        take(done, 1)
    _finish(done, tiles)


@njit(**OPTIONS)  # type: ignore[untyped-decorator]
def _attention(
    counters: Any, phase: int, real: int, start: int, keys: Any, values: Any, queries: Any, out: Any,
    asked: Any, scores: Any, extra: Any,
) -> None:  # fmt: skip
    shared = keys.shape[0]
    sharing = queries.shape[1] // (shared * keys.shape[2])
    groups = (real + TOKENS - 1) // TOKENS
    address, done = counters[phase].ctypes.data, counters[phase].ctypes.data + 8
    while True:
        piece = take(address, 1)
        if piece >= groups * shared:
            break
        # Later tokens look back further: the longest pieces first, so that threads end together.
        group, kept = groups - 1 - piece // shared, piece % shared
        last = min(real, group * TOKENS + TOKENS)
        _attend(
            group * TOKENS, last, start, kept, sharing, keys[kept], values[kept], queries, out, asked, scores, extra
        )
        take(done, 1)
    _finish(done, groups * shared)


@njit(**OPTIONS)  # type: ignore[untyped-decorator]
def _gated(
    table: Any, counters: Any, phase: int, rows: int, x: Any, sums: Any, out: Any, extra: Any, other: Any,
    unpacked: Any,
) -> None:  # fmt: skip
    """out = silu(gate x) * (up x) (Shazeer 2020, arXiv:2002.05202)."""
    address, done = counters[phase].ctypes.data, counters[phase].ctypes.data + 8
    tiles = out.shape[1] // 32
    while True:
        tile = take(address, 1)
        if tile >= tiles:
            break
        matrix_tile(table[_GATE], tile, x, sums, rows, extra.ctypes.data, extra.strides[0], unpacked)
        matrix_tile(table[_UP], tile, x, sums, rows, other.ctypes.data, other.strides[0], unpacked)
        for row in range(rows):
            for k in range(32):
                gate = extra[row, k]
                small = exp(-abs(gate))
                share = (ONE if gate >= ZERO else small) / (ONE + small)
                out[row, tile * 32 + k] = gate * share * other[row, k]
        take(done, 1)
    _finish(done, tiles)


@njit(**OPTIONS)  # type: ignore[untyped-decorator]
def _head(entry: Any, counters: Any, phase: int, rows: int, x: Any, sums: Any, logits: Any, unpacked: Any) -> None:
    """logits = matrix times x, sixteen tiles at a time."""
    address, done = counters[phase].ctypes.data, counters[phase].ctypes.data + 8
    tiles = logits.shape[1] // 32
    pieces = (tiles + 15) // 16
    while True:
        piece = take(address, 1)
        if piece >= pieces:
            break
        for tile in range(piece * 16, min(tiles, piece * 16 + 16)):
            to = logits.ctypes.data + tile * 128
            matrix_tile(entry, tile, x, sums, rows, to, logits.strides[0], unpacked)
        take(done, 1)
    _finish(done, pieces)


@njit(**OPTIONS)  # type: ignore[untyped-decorator]
def forward(
    epsilon: Any, table: Any, norms: Any, head: Any, last_norm: Any, counters: Any, rows: int, real: int,
    start: int, wanted: int, turns: Any, keys: Any, values: Any, x: Any, queries: Any, attended: Any, hidden: Any,
    logits: Any, normed: Any, sums: Any, wide_sums: Any, asked: Any, scores: Any, extra: Any, other: Any, unpacked: Any,
) -> None:  # fmt: skip
    """Take part in one forward pass; whoever calls this with the same counters (zeros at first) shares the work.

    `x` (rows, hidden) is the embedding on entry; of `rows`, padded as for a tile, `real` count, at positions `start` on.
    `logits` (rows, vocabulary) is filled where `wanted`; else the pass ends with the last layer's keys and values. From
    `normed` on, arrays are this thread's own.
    """
    layers = len(table)
    out_sums, feed_sums = wide_sums[:, : attended.shape[1] // 32], wide_sums[:, : hidden.shape[1] // 32]
    for layer in range(layers):
        at = layer * PHASES
        normalise(x, norms[layer, 0], epsilon, normed, sums)
        _queries_keys_values(
            table[layer], counters, at, rows, real, start, normed, sums, turns, keys[layer], values[layer], queries,
            extra, unpacked,
        )  # fmt: skip
        if layer == layers - 1 and not wanted:
            return
        _attention(counters, at + 1, real, start, keys[layer], values[layer], queries, attended, asked, scores, extra)
        block_sums(attended, out_sums)
        _project(table[layer, _OUT], counters, at + 2, rows, attended, out_sums, x, extra, unpacked)
        normalise(x, norms[layer, 1], epsilon, normed, sums)
        _gated(table[layer], counters, at + 3, rows, normed, sums, hidden, extra, other, unpacked)
        block_sums(hidden, feed_sums)
        _project(table[layer, _DOWN], counters, at + 4, rows, hidden, feed_sums, x, extra, unpacked)
    normalise(x, last_norm, epsilon, normed, sums)
    _head(head, counters, layers * PHASES, rows, normed, sums, logits, unpacked)


@njit(**OPTIONS)  # type: ignore[untyped-decorator]
def embed(entry: Any, ids: Any, out: Any, scratch: Any) -> None:
    """out[row] = the weights of output ids[row]; `scratch` is (inputs, 32)."""
    for row in range(len(ids)):
        unpack(entry, ids[row] // 32, scratch)
        for k in range(out.shape[1]):
            out[row, k] = scratch[k, ids[row] % 32]
