"""The forward pass of a Llama-type model, compiled for this machine's vector units when it is first called.

Decoding reads every weight once a token, so its speed is that of memory: weights stay in the form of their file (four or
eight bits, bfloat16, float32) and become float32 in registers. Matrices lie in tiles of 32 outputs, [tile, input, 32],
so that one vector holds the same input's weights for neighbouring outputs. Keys and values are kept as such matrices
too, so that attention is two more of the same products. All sums are of float32.

Threads share the work of a phase by taking pieces from a counter; nobody waits for a thread, only for pieces that are
under way. A busy machine therefore slows this down by what it takes away and no more.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import njit

from rag_core.engines.vectors import (
    BFLOAT16,
    FLOAT32,
    Q4,
    Q8,
    as_float,
    b16_1,
    b16_4,
    b16_out,
    f32_1,
    f32_4,
    f32_8,
    f32_out,
    give_way,
    peek,
    q4_1,
    q4_4,
    q4_out,
    q8_1,
    q8_4,
    q8_out,
    take,
)

__all__ = ["PHASES", "TOKENS", "embed", "forward", "unpack"]

# Phases of a layer: each is a pair of shared counters.
PHASES = 5
# Tokens whose attention is one piece of work.
TOKENS = 8
# Columns of the table of matrices, one row a layer; each entry is (form, data, scale, offset).
_Q, _K, _V, _OUT, _GATE, _UP, _DOWN = range(7)

_F32 = np.float32
_ZERO, _ONE, _HALF = _F32(0.0), _F32(1.0), _F32(0.5)
# Summation may be reordered and products fused; nothing else of IEEE arithmetic is given up.
_OPTIONS: dict[str, Any] = {
    "nogil": True,
    "cache": True,
    "fastmath": {"reassoc", "contract", "nsz", "arcp"},
    "error_model": "numpy",
}

_LOG2_E, _LN2_HIGH, _LN2_LOW = _F32(1.4426950408889634), _F32(0.693359375), _F32(-2.12194440e-4)
_E0, _E1, _E2 = _F32(1.9875691500e-4), _F32(1.3981999507e-3), _F32(8.3334519073e-3)
_E3, _E4, _E5 = _F32(4.1665795894e-2), _F32(1.6666665459e-1), _F32(5.0000001201e-1)
_LOWEST = _F32(-87.0)


@njit(inline="always", **_OPTIONS)  # type: ignore[untyped-decorator]
def _exp(x: Any) -> Any:
    """Return e**x of x <= 0 within 2 units in the last place (Cephes' expf: netlib.org/cephes), in vectors."""
    x = max(x, _LOWEST)
    whole = np.int32(x * _LOG2_E - _HALF)
    part = _F32(whole)
    x = x - part * _LN2_HIGH - part * _LN2_LOW
    y = ((((_E0 * x + _E1) * x + _E2) * x + _E3) * x + _E4) * x + _E5
    return (y * x * x + x + _ONE) * as_float(np.int32((whole + np.int32(127)) << np.int32(23)))


@njit(**_OPTIONS)  # type: ignore[untyped-decorator]
def _block_bytes(form: int) -> int:
    """Return the bytes of 32 inputs of a tile."""
    return 512 if form == Q4 else 1_024 if form == Q8 else 2_048 if form == BFLOAT16 else 4_096


@njit(**_OPTIONS)  # type: ignore[untyped-decorator]
def unpack(entry: Any, tile: int, out: Any) -> None:
    """out (inputs, 32) = the float32 weights of one tile."""
    blocks = out.shape[0] // 32
    form, to, stride = entry[0], out.ctypes.data, out.strides[0]
    data = entry[1] + tile * blocks * _block_bytes(form)
    scale, offset = entry[2] + tile * blocks * 128, entry[3] + tile * blocks * 128
    if form == Q4:
        q4_out(data, scale, offset, to, stride, blocks)
    elif form == Q8:
        q8_out(data, scale, offset, to, stride, blocks)
    elif form == BFLOAT16:
        b16_out(data, scale, offset, to, stride, blocks)
    else:
        f32_out(data, scale, offset, to, stride, blocks)


@njit(**_OPTIONS)  # type: ignore[untyped-decorator]
def _matrix_tile(
    entry: Any, tile: int, x: Any, x_sums: Any, rows: int, out: int, out_stride: int, unpacked: Any
) -> None:
    """out[row, 0:32] = tile `tile` of a matrix times x[row]; `out` is an address.

    Rows are padded: 1, then 4 to 12 by 4, then by 8. From there on the tile is made float32 once for all of them, in
    `unpacked` (at least inputs, 32).
    """
    blocks = x.shape[1] // 32
    form = entry[0]
    data = entry[1] + tile * blocks * _block_bytes(form)
    scale, offset = entry[2] + tile * blocks * 128, entry[3] + tile * blocks * 128
    xa, sa, xs, ss = x.ctypes.data, x_sums.ctypes.data, x.strides[0], x_sums.strides[0]
    if rows > 12:
        plain = unpacked.ctypes.data
        if form == FLOAT32:
            plain = data
        else:
            unpack(entry, tile, unpacked[: x.shape[1]])
        for row in range(0, rows, 8):
            f32_8(plain, 0, 0, xa + row * xs, xs, 0, 0, out + row * out_stride, out_stride, blocks)
        return
    step = 1 if rows == 1 else 4
    for row in range(0, rows, step):
        xr, sr, to = xa + row * xs, sa + row * ss, out + row * out_stride
        if form == Q4 and step == 1:
            q4_1(data, scale, offset, xr, xs, sr, ss, to, out_stride, blocks)
        elif form == Q4:
            q4_4(data, scale, offset, xr, xs, sr, ss, to, out_stride, blocks)
        elif form == Q8 and step == 1:
            q8_1(data, scale, offset, xr, xs, sr, ss, to, out_stride, blocks)
        elif form == Q8:
            q8_4(data, scale, offset, xr, xs, sr, ss, to, out_stride, blocks)
        elif form == BFLOAT16 and step == 1:
            b16_1(data, scale, offset, xr, xs, sr, ss, to, out_stride, blocks)
        elif form == BFLOAT16:
            b16_4(data, scale, offset, xr, xs, sr, ss, to, out_stride, blocks)
        elif step == 1:
            f32_1(data, scale, offset, xr, xs, sr, ss, to, out_stride, blocks)
        else:
            f32_4(data, scale, offset, xr, xs, sr, ss, to, out_stride, blocks)


@njit(**_OPTIONS)  # type: ignore[untyped-decorator]
def _block_sums(x: Any, sums: Any) -> None:
    """sums[row, block] = the sum of 32 numbers of x: what an offset is multiplied by."""
    for row in range(x.shape[0]):
        for block in range(x.shape[1] // 32):
            total = _ZERO
            for k in range(block * 32, block * 32 + 32):
                total += x[row, k]
            sums[row, block] = total


@njit(**_OPTIONS)  # type: ignore[untyped-decorator]
def _normalise(x: Any, weight: Any, epsilon: Any, out: Any, sums: Any) -> None:
    """Root-mean-square norm (Zhang and Sennrich 2019, arXiv:1910.07467) of each row, and the block sums behind it."""
    width = x.shape[1]
    for row in range(x.shape[0]):
        total = _ZERO
        for k in range(width):
            total += x[row, k] * x[row, k]
        factor = _F32(_ONE / np.sqrt(total / _F32(width) + epsilon))
        for k in range(width):
            out[row, k] = x[row, k] * factor * weight[k]
    _block_sums(out, sums)


@njit(**_OPTIONS)  # type: ignore[untyped-decorator]
def _softmax(scores: Any, valid: int, whole: int) -> None:
    """Exponentials of the first `valid` scores over their sum, in place; zeros from there to `whole`."""
    top = scores[0]
    for j in range(valid):
        top = max(top, scores[j])
    total = _ZERO
    for j in range(valid):
        scores[j] = _exp(scores[j] - top)
        total += scores[j]
    for j in range(valid):
        scores[j] /= total
    for j in range(valid, whole):
        scores[j] = _ZERO


@njit(**_OPTIONS)  # type: ignore[untyped-decorator]
def _rows_tile(data: int, x: Any, rows: int, blocks: int, out: int, out_stride: int) -> None:
    """out[row, 0:32] = a float32 tile times x[row], rows padded to a multiple of 4."""
    xa, xs = x.ctypes.data, x.strides[0]
    row = 0
    while row + 8 <= rows:
        f32_8(data, 0, 0, xa + row * xs, xs, 0, 0, out + row * out_stride, out_stride, blocks)
        row += 8
    if row < rows:
        f32_4(data, 0, 0, xa + row * xs, xs, 0, 0, out + row * out_stride, out_stride, blocks)


@njit(**_OPTIONS)  # type: ignore[untyped-decorator]
def _attend(
    first: int, last: int, start: int, kept: int, sharing: int, keys: Any, values: Any, queries: Any, out: Any,
    asked: Any, scores: Any, extra: Any,
) -> None:  # fmt: skip
    """Attention of tokens `first` to `last` for the heads that share the keys and values number `kept`.

    `keys` is [position / 32, size, 32] and `values` [size / 32, position, 32]; `asked` and `scores` are this thread's.
    """
    size = keys.shape[1]
    factor = _F32(_ONE / np.sqrt(_F32(size)))
    count = (last - first) * sharing
    rows = (count + 3) // 4 * 4
    for row in range(count):
        at = (kept * sharing + row % sharing) * size
        for k in range(size):
            asked[row, k] = queries[first + row // sharing, at + k] * factor
    tiles = (start + last + 31) // 32
    for tile in range(tiles):
        to = scores.ctypes.data + tile * 128
        _rows_tile(keys[tile].ctypes.data, asked, rows, size // 32, to, scores.strides[0])
    for row in range(rows):
        # Rows of padding must hold numbers too, since nothing times a non-number is not nothing.
        _softmax(scores[row], start + first + min(row, count - 1) // sharing + 1, tiles * 32)
    for tile in range(size // 32):
        _rows_tile(values[tile].ctypes.data, scores, rows, tiles, extra.ctypes.data, extra.strides[0])
        for row in range(count):
            at = (kept * sharing + row % sharing) * size + tile * 32
            for k in range(32):
                out[first + row // sharing, at + k] = extra[row, k]


@njit(**_OPTIONS)  # type: ignore[untyped-decorator]
def _finish(done: int, pieces: int) -> None:
    """Wait until all pieces of a phase are done; after a while, without keeping a core from whoever does them."""
    spins = 0
    while peek(done) < pieces:
        spins += 1
        if spins > 2_000:
            give_way()


@njit(**_OPTIONS)  # type: ignore[untyped-decorator]
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
        _matrix_tile(entry, tile, x, sums, rows, extra.ctypes.data, extra.strides[0], unpacked)
        for row in range(rows):
            for k in range(32):
                out[row, tile * 32 + k] += extra[row, k]
        take(done, 1)
    _finish(done, tiles)


@njit(**_OPTIONS)  # type: ignore[untyped-decorator]
def _rotate(row: Any, turns: Any, first: int) -> None:
    """Rotary embedding (Su et al. 2021, arXiv:2104.09864) of 16 pairs of neighbours, the first of them pair `first`."""
    for pair in range(16):
        cos, sin = turns[first + pair, 0], turns[first + pair, 1]
        a, b = row[2 * pair], row[2 * pair + 1]
        row[2 * pair], row[2 * pair + 1] = a * cos - b * sin, a * sin + b * cos


@njit(**_OPTIONS)  # type: ignore[untyped-decorator]
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
        _matrix_tile(table[part], own, x, sums, rows, extra.ctypes.data, extra.strides[0], unpacked)
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


@njit(**_OPTIONS)  # type: ignore[untyped-decorator]
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


@njit(**_OPTIONS)  # type: ignore[untyped-decorator]
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
        _matrix_tile(table[_GATE], tile, x, sums, rows, extra.ctypes.data, extra.strides[0], unpacked)
        _matrix_tile(table[_UP], tile, x, sums, rows, other.ctypes.data, other.strides[0], unpacked)
        for row in range(rows):
            for k in range(32):
                gate = extra[row, k]
                small = _exp(-abs(gate))
                share = (_ONE if gate >= _ZERO else small) / (_ONE + small)
                out[row, tile * 32 + k] = gate * share * other[row, k]
        take(done, 1)
    _finish(done, tiles)


@njit(**_OPTIONS)  # type: ignore[untyped-decorator]
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
            _matrix_tile(entry, tile, x, sums, rows, to, logits.strides[0], unpacked)
        take(done, 1)
    _finish(done, pieces)


@njit(**_OPTIONS)  # type: ignore[untyped-decorator]
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
        _normalise(x, norms[layer, 0], epsilon, normed, sums)
        _queries_keys_values(
            table[layer], counters, at, rows, real, start, normed, sums, turns, keys[layer], values[layer], queries,
            extra, unpacked,
        )  # fmt: skip
        if layer == layers - 1 and not wanted:
            return
        _attention(counters, at + 1, real, start, keys[layer], values[layer], queries, attended, asked, scores, extra)
        _block_sums(attended, out_sums)
        _project(table[layer, _OUT], counters, at + 2, rows, attended, out_sums, x, extra, unpacked)
        _normalise(x, norms[layer, 1], epsilon, normed, sums)
        _gated(table[layer], counters, at + 3, rows, normed, sums, hidden, extra, other, unpacked)
        _block_sums(hidden, feed_sums)
        _project(table[layer, _DOWN], counters, at + 4, rows, hidden, feed_sums, x, extra, unpacked)
    _normalise(x, last_norm, epsilon, normed, sums)
    _head(head, counters, layers * PHASES, rows, normed, sums, logits, unpacked)


@njit(**_OPTIONS)  # type: ignore[untyped-decorator]
def embed(entry: Any, ids: Any, out: Any, scratch: Any) -> None:
    """out[row] = the weights of output ids[row]; `scratch` is (inputs, 32)."""
    for row in range(len(ids)):
        unpack(entry, ids[row] // 32, scratch)
        for k in range(out.shape[1]):
            out[row, k] = scratch[k, ids[row] % 32]
