"""The forward pass of an encoder of the BERT family over byte products, compiled when it is first called.

Architecture as in Devlin et al. 2019 (arXiv:1810.04805). A thread takes a piece, a few texts, through all layers by
itself: what it works on stays in its core's cache, nothing is padded, and no thread waits for another.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import njit

from rag_core.encoder.attending import attend, multiply, room_for_bytes, room_to_attend, round_rows
from rag_core.encoder.dots import ROWS, quantise
from rag_core.encoder.shapes import GROUP
from rag_core.engines.counters import take
from rag_core.engines.products import F32, ONE, OPTIONS, ZERO

__all__ = ["encode_pieces"]

# Polynomial in u of (share of the normal distribution below x - 1/2) / x, where u = 2 (x / _EDGE)**2 - 1: least squares
# over [0, _EDGE] with weights x**2, so that x times it is off by 4e-5 at most.
_EDGE = F32(4.5)
_BEND = F32(2.0 / 4.5**2)
_HALF = F32(0.5)
_C0, _C1, _C2 = F32(0.1569020774), F32(-0.07717846451), F32(0.05482644199)
_C3, _C4, _C5 = F32(-0.04047719452), F32(0.02754268719), F32(-0.01696567605)
_C6, _C7, _C8 = F32(0.01244540518), F32(-0.00915836179), F32(0.003174704915)


@njit(inline="always", **OPTIONS)  # type: ignore[untyped-decorator]
def _gelu(x: Any) -> Any:
    """Return x times the normal distribution's share below x (Hendrycks and Gimpel 2016, arXiv:1606.08415), within 5e-5.

    That is a fiftieth of what is lost when the result is rounded to a byte.
    """
    near = min(max(x, -_EDGE), _EDGE)
    u = near * near * _BEND - ONE
    share = (((((((_C8 * u + _C7) * u + _C6) * u + _C5) * u + _C4) * u + _C3) * u + _C2) * u + _C1) * u + _C0
    return x * (_HALF + near * share)


@njit(**OPTIONS)  # type: ignore[untyped-decorator]
def _normalise(x: Any, weight: Any, bias: Any, epsilon: Any) -> None:
    """Layer norm (Ba et al. 2016, arXiv:1607.06450) of one row, in place."""
    width = x.shape[0]
    total = ZERO
    for k in range(width):
        total += x[k]
    mean = total / F32(width)
    spread = ZERO
    for k in range(width):
        spread += (x[k] - mean) * (x[k] - mean)
    factor = F32(ONE / np.sqrt(spread / F32(width) + epsilon))
    for k in range(width):
        x[k] = (x[k] - mean) * factor * weight[k] + bias[k]


@njit(**OPTIONS)  # type: ignore[untyped-decorator]
def _add_normalised(x: Any, more: Any, count: int, weight: Any, bias: Any, epsilon: Any) -> None:
    for row in range(count):
        for k in range(x.shape[1]):
            x[row, k] += more[row, k]
        _normalise(x[row], weight, bias, epsilon)


@njit(**OPTIONS)  # type: ignore[untyped-decorator]
def _pool(x: Any, start: int, end: int, first_only: bool, out: Any) -> None:
    """out = the unit vector of the mean of rows [start, end), or of the first of them."""
    width = x.shape[1]
    for k in range(width):
        out[k] = ZERO
    for row in range(start, start + 1 if first_only else end):
        for k in range(width):
            out[k] += x[row, k]
    total = ZERO
    for k in range(width):
        total += out[k] * out[k]
    factor = F32(ONE / max(F32(np.sqrt(total)), F32(1e-30)))
    for k in range(width):
        out[k] *= factor


@njit(**OPTIONS)  # type: ignore[untyped-decorator]
def _read(x: Any, ids: Any, words: Any, places: Any, second: Any, begin: int, norm: Any, epsilon: Any) -> None:
    """x = the normalised sum of each token's vector and its place's, and of `second` from the token `begin` on."""
    for row in range(len(ids)):
        for k in range(x.shape[1]):
            x[row, k] = words[ids[row], k] + places[row, k]
        if row >= begin:
            for k in range(x.shape[1]):
                x[row, k] += second[k]
        _normalise(x[row], norm[0], norm[1], epsilon)


@njit(**OPTIONS)  # type: ignore[untyped-decorator]
def _feed(
    x: Any, scales: Any, up_weights: Any, up_factors: Any, up_bias: Any, count: int, part: Any, broad: Any,
    broad_scales: Any,
) -> None:  # fmt: skip
    """broad = gelu(up x) rounded to bytes, a group of outputs at a time."""
    tiles = GROUP // 32
    for group in range(broad_scales.shape[1]):
        first = group * tiles
        multiply(first, first + tiles, up_weights, up_factors, up_bias, x, scales, count, part)
        for row in range(count):
            for k in range(GROUP):
                part[row, k] = _gelu(part[row, k])
            to, scale = broad[row].ctypes.data + group * GROUP, broad_scales[row].ctypes.data + group * 8
            quantise(part[row].ctypes.data, to, scale, 1)


@njit(**OPTIONS)  # type: ignore[untyped-decorator]
def encode_pieces(
    taken: int, done: int, pieces: Any, starts: Any, ids: Any, seconds: Any, words: Any, places: Any, second: Any,
    first_norm: Any, qkv: Any, back: Any, up: Any, down: Any, norms: Any, heads: int, epsilon: Any, first_only: bool,
    rows: int, longest: int, out: Any, states: Any,
) -> None:  # fmt: skip
    """Take pieces from a shared counter until none is left, and write the unit vector of each text to out[text].

    Where `states` has rows, the last layer's states are written to states[token] instead. `second` is added to the
    tokens of text t from its seconds[t]th on: they are of segment 1.

    Piece p is of texts [pieces[p], pieces[p + 1]), text t of tokens ids[starts[t] : starts[t + 1]]. `taken` and `done`
    are addresses of counters, zero at first. `rows` is the most tokens of a piece, `longest` of a text. `qkv`, `back`,
    `up` and `down` are weights, factors (as in `tile`) and bias of all layers, `norms` [layer, 4, width] the weights
    and biases of the norms behind attention and behind the feed-forward part.
    """
    layers, width, wide = norms.shape[0], words.shape[1], up[2].shape[1]
    size = width // heads
    room = (rows + ROWS - 1) // ROWS * ROWS + 8
    x, joint = np.zeros((room, width), np.float32), np.zeros((room, 3 * width), np.float32)
    mixed, part = np.zeros((room, width), np.float32), np.zeros((room, GROUP), np.float32)
    narrow, narrow_scales = room_for_bytes(room, width)
    broad, broad_scales = room_for_bytes(room, wide)
    query, key, value, scores, shares, totals, line, blank = room_to_attend(longest, size)
    while True:
        piece = take(taken, 1)
        if piece >= len(pieces) - 1:
            break
        texts, base = range(pieces[piece], pieces[piece + 1]), starts[pieces[piece]]
        count = starts[pieces[piece + 1]] - base
        for text in texts:
            _read(
                x[starts[text] - base :], ids[starts[text] : starts[text + 1]], words, places, second, seconds[text],
                first_norm, epsilon,
            )  # fmt: skip
        for layer in range(layers):
            round_rows(x, count, narrow, narrow_scales)
            multiply(
                0, 3 * width // 32, qkv[0][layer], qkv[1][layer], qkv[2][layer], narrow, narrow_scales, count, joint
            )
            for text in texts:
                length = starts[text + 1] - starts[text]
                attend(
                    joint, starts[text] - base, length, heads, heads, mixed, query, key, value, scores, shares, totals,
                    line, blank,
                )  # fmt: skip
            round_rows(mixed, count, narrow, narrow_scales)
            multiply(
                0, width // 32, back[0][layer], back[1][layer], back[2][layer], narrow, narrow_scales, count, mixed
            )
            _add_normalised(x, mixed, count, norms[layer, 0], norms[layer, 1], epsilon)
            round_rows(x, count, narrow, narrow_scales)
            _feed(narrow, narrow_scales, up[0][layer], up[1][layer], up[2][layer], count, part, broad, broad_scales)
            multiply(0, width // 32, down[0][layer], down[1][layer], down[2][layer], broad, broad_scales, count, mixed)
            _add_normalised(x, mixed, count, norms[layer, 2], norms[layer, 3], epsilon)
        if len(states):
            states[base : base + count] = x[:count]
        else:
            for text in texts:
                _pool(x, starts[text] - base, starts[text + 1] - base, first_only, out[text])
        take(done, 1)
