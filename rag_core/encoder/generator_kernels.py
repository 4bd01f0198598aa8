"""The forward pass of a Llama-type model that reads in both directions, over byte products, compiled at its first call.

Architecture as in Touvron et al. 2023 (arXiv:2302.13971), but that every token attends to all of its text. A thread takes
a piece, a few texts, through all layers by itself, as in `rag_core.encoder.kernels`.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import njit

from rag_core.encoder.attending import attend, multiply, room_for_bytes, room_to_attend, round_rows
from rag_core.encoder.dots import ROWS, quantise
from rag_core.encoder.shapes import GROUP
from rag_core.engines.counters import take
from rag_core.engines.products import F32, ONE, OPTIONS, ZERO, exp

__all__ = ["read_pieces"]


@njit(inline="always", **OPTIONS)  # type: ignore[untyped-decorator]
def _silu(x: Any) -> Any:
    """Return x times its logistic (Elfwing et al. 2017, arXiv:1702.03118), whose exponential is of a number below 0."""
    small = exp(-abs(x))
    return x * ((ONE if x >= ZERO else small) / (ONE + small))


@njit(**OPTIONS)  # type: ignore[untyped-decorator]
def _normalised(x: Any, count: int, weight: Any, epsilon: Any, out: Any) -> None:
    """out = root-mean-square norm (Zhang and Sennrich 2019, arXiv:1910.07467) of the first `count` rows."""
    width = x.shape[1]
    for row in range(count):
        total = ZERO
        for k in range(width):
            total += x[row, k] * x[row, k]
        factor = F32(ONE / np.sqrt(total / F32(width) + epsilon))
        for k in range(width):
            out[row, k] = x[row, k] * factor * weight[k]


@njit(**OPTIONS)  # type: ignore[untyped-decorator]
def _turn(joint: Any, start: int, count: int, heads: int, size: int, turns: Any) -> None:
    """Rotate the first `heads` heads of each row by its place (Su et al. 2021, arXiv:2104.09864), halves against halves."""
    half = size // 2
    for row in range(count):
        own, turn = joint[start + row], turns[row]
        for head in range(heads):
            at = head * size
            for k in range(half):
                low, high = own[at + k], own[at + half + k]
                own[at + k] = low * turn[0, k] - high * turn[1, k]
                own[at + half + k] = high * turn[0, k] + low * turn[1, k]


@njit(**OPTIONS)  # type: ignore[untyped-decorator]
def _feed(
    x: Any, scales: Any, gate: Any, gate_factors: Any, up: Any, up_factors: Any, none: Any, count: int, part: Any,
    other: Any, broad: Any, broad_scales: Any,
) -> None:  # fmt: skip
    """broad = silu(gate x) * (up x) rounded to bytes, a group of outputs at a time."""
    tiles = GROUP // 32
    for group in range(broad_scales.shape[1]):
        first = group * tiles
        multiply(first, first + tiles, gate, gate_factors, none, x, scales, count, part)
        multiply(first, first + tiles, up, up_factors, none, x, scales, count, other)
        for row in range(count):
            for k in range(GROUP):
                part[row, k] = _silu(part[row, k]) * other[row, k]
            to, scale = broad[row].ctypes.data + group * GROUP, broad_scales[row].ctypes.data + group * 8
            quantise(part[row].ctypes.data, to, scale, 1)


@njit(**OPTIONS)  # type: ignore[untyped-decorator]
def _add(x: Any, more: Any, count: int) -> None:
    for row in range(count):
        for k in range(x.shape[1]):
            x[row, k] += more[row, k]


@njit(**OPTIONS)  # type: ignore[untyped-decorator]
def read_pieces(
    taken: int, done: int, pieces: Any, starts: Any, states: Any, joined: Any, back: Any, gate: Any, up: Any, down: Any,
    norms: Any, last_norm: Any, turns: Any, none: Any, heads: int, key_heads: int, epsilon: Any, rows: int, longest: int,
) -> None:  # fmt: skip
    """Take pieces from a shared counter until none is left; `states` (tokens, width) hold the tokens' vectors, then theirs.

    Piece p is of texts [pieces[p], pieces[p + 1]), text t of rows starts[t] to starts[t + 1]. `taken` and `done` are
    addresses of counters, zero at first. `rows` is the most tokens of a piece, `longest` of a text. `joined` (queries,
    keys and values), `back`, `gate`, `up` and `down` are weights and factors (see `rag_core.encoder.dots.tile`) of all
    layers, `norms` [layer, 2, width], `turns` [place, 2, head / 2] cosines and sines, `none` zeros.
    """
    layers, width, wide = norms.shape[0], states.shape[1], down[1].shape[2] * GROUP
    size = width // heads
    broad_width = width + 2 * key_heads * size
    room = (rows + ROWS - 1) // ROWS * ROWS + 8
    joint, mixed = np.zeros((room, broad_width), np.float32), np.zeros((room, width), np.float32)
    part, other = np.zeros((room, GROUP), np.float32), np.zeros((room, GROUP), np.float32)
    narrow, narrow_scales = room_for_bytes(room, width)
    broad, broad_scales = room_for_bytes(room, wide)
    query, key, value, scores, shares, totals, line, blank = room_to_attend(longest, size)
    while True:
        piece = take(taken, 1)
        if piece >= len(pieces) - 1:
            break
        texts, base = range(pieces[piece], pieces[piece + 1]), starts[pieces[piece]]
        count = starts[pieces[piece + 1]] - base
        x = states[base : base + count]
        for layer in range(layers):
            _normalised(x, count, norms[layer, 0], epsilon, mixed)
            round_rows(mixed, count, narrow, narrow_scales)
            multiply(
                0, broad_width // 32, joined[0][layer], joined[1][layer], none, narrow, narrow_scales, count, joint
            )
            for text in texts:
                start, length = starts[text] - base, starts[text + 1] - starts[text]
                _turn(joint, start, length, heads + key_heads, size, turns)
                attend(
                    joint, start, length, heads, key_heads, mixed, query, key, value, scores, shares, totals, line, blank
                )  # fmt: skip
            round_rows(mixed, count, narrow, narrow_scales)
            multiply(0, width // 32, back[0][layer], back[1][layer], none, narrow, narrow_scales, count, mixed)
            _add(x, mixed, count)
            _normalised(x, count, norms[layer, 1], epsilon, mixed)
            round_rows(mixed, count, narrow, narrow_scales)
            _feed(
                narrow, narrow_scales, gate[0][layer], gate[1][layer], up[0][layer], up[1][layer], none, count, part,
                other, broad, broad_scales,
            )  # fmt: skip
            multiply(0, width // 32, down[0][layer], down[1][layer], none, broad, broad_scales, count, mixed)
            _add(x, mixed, count)
        _normalised(x, count, last_norm, epsilon, x)
        take(done, 1)
