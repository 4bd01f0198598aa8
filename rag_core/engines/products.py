"""Arithmetic of one thread on a tile or a row: products, norms, exponentials; compiled for this machine's vector units.

Weights stay in the form of their file (four or eight bits, bfloat16, float32) and become float32 in registers. Matrices
lie in tiles of 32 outputs, [tile, input, 32], so that one vector holds the same input's weights for neighbouring
outputs. All sums are of float32.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import njit

from rag_core.engines.tiles import (
    BFLOAT16,
    FLOAT32,
    Q4,
    Q8,
    b16_1,
    b16_4,
    b16_out,
    f32_1,
    f32_4,
    f32_8,
    f32_out,
    q4_1,
    q4_4,
    q4_out,
    q8_1,
    q8_4,
    q8_out,
)
from rag_core.engines.vectors import as_float, greatest

__all__ = [
    "F32",
    "ONE",
    "OPTIONS",
    "ZERO",
    "block_sums",
    "exp",
    "matrix_tile",
    "normalise",
    "rows_tile",
    "softmax",
    "unpack",
]

F32 = np.float32
ZERO, ONE, _HALF = F32(0.0), F32(1.0), F32(0.5)
# Summation may be reordered and products fused; nothing else of IEEE arithmetic is given up.
OPTIONS: dict[str, Any] = {
    "nogil": True,
    "cache": True,
    "fastmath": {"reassoc", "contract", "nsz", "arcp"},
    "error_model": "numpy",
}

_LOG2_E, _LN2_HIGH, _LN2_LOW = F32(1.4426950408889634), F32(0.693359375), F32(-2.12194440e-4)
_E0, _E1, _E2 = F32(1.9875691500e-4), F32(1.3981999507e-3), F32(8.3334519073e-3)
_E3, _E4, _E5 = F32(4.1665795894e-2), F32(1.6666665459e-1), F32(5.0000001201e-1)
_LOWEST = F32(-87.0)


@njit(inline="always", **OPTIONS)  # type: ignore[untyped-decorator]
def exp(x: Any) -> Any:
    """Return e**x of x <= 0 within 2 units in the last place (Cephes' expf: netlib.org/cephes), in vectors."""
    x = max(x, _LOWEST)
    whole = np.int32(x * _LOG2_E - _HALF)
    part = F32(whole)
    x = x - part * _LN2_HIGH - part * _LN2_LOW
    y = ((((_E0 * x + _E1) * x + _E2) * x + _E3) * x + _E4) * x + _E5
    return (y * x * x + x + ONE) * as_float(np.int32((whole + np.int32(127)) << np.int32(23)))


@njit(**OPTIONS)  # type: ignore[untyped-decorator]
def _block_bytes(form: int) -> int:
    """Return the bytes of 32 inputs of a tile."""
    return 512 if form == Q4 else 1_024 if form == Q8 else 2_048 if form == BFLOAT16 else 4_096


@njit(**OPTIONS)  # type: ignore[untyped-decorator]
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


@njit(**OPTIONS)  # type: ignore[untyped-decorator]
def matrix_tile(
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


@njit(**OPTIONS)  # type: ignore[untyped-decorator]
def block_sums(x: Any, sums: Any) -> None:
    """sums[row, block] = the sum of 32 numbers of x: what an offset is multiplied by."""
    for row in range(x.shape[0]):
        for block in range(x.shape[1] // 32):
            total = ZERO
            for k in range(block * 32, block * 32 + 32):
                total += x[row, k]
            sums[row, block] = total


@njit(**OPTIONS)  # type: ignore[untyped-decorator]
def normalise(x: Any, weight: Any, epsilon: Any, out: Any, sums: Any) -> None:
    """Root-mean-square norm (Zhang and Sennrich 2019, arXiv:1910.07467) of each row, and the block sums behind it."""
    width = x.shape[1]
    for row in range(x.shape[0]):
        total = ZERO
        for k in range(width):
            total += x[row, k] * x[row, k]
        factor = F32(ONE / np.sqrt(total / F32(width) + epsilon))
        for k in range(width):
            out[row, k] = x[row, k] * factor * weight[k]
    block_sums(out, sums)


@njit(**OPTIONS)  # type: ignore[untyped-decorator]
def softmax(scores: Any, valid: int, whole: int) -> None:
    """Exponentials of the first `valid` scores over their sum, in place; zeros from there to `whole`, a multiple of 16."""
    for j in range(valid, whole):
        scores[j] = scores[0]
    top = greatest(scores.ctypes.data, whole // 16)
    for j in range(valid, whole):
        scores[j] = top + _LOWEST
    # Through whole vectors: what is beyond adds nothing that a float32 sum would notice.
    total = ZERO
    for j in range(whole):
        scores[j] = exp(scores[j] - top)
        total += scores[j]
    factor = ONE / total
    for j in range(valid):
        scores[j] *= factor
    for j in range(valid, whole):
        scores[j] = ZERO


@njit(**OPTIONS)  # type: ignore[untyped-decorator]
def rows_tile(data: int, x: Any, rows: int, blocks: int, out: int, out_stride: int) -> None:
    """out[row, 0:32] = a float32 tile times x[row], rows padded to a multiple of 4."""
    xa, xs = x.ctypes.data, x.strides[0]
    row = 0
    while row + 8 <= rows:
        f32_8(data, 0, 0, xa + row * xs, xs, 0, 0, out + row * out_stride, out_stride, blocks)
        row += 8
    if row < rows:
        f32_4(data, 0, 0, xa + row * xs, xs, 0, 0, out + row * out_stride, out_stride, blocks)
