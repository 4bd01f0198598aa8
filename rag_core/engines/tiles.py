"""Tiles of a matrix for compiled code: 32 outputs of it times rows of numbers, and its weights written out as numbers.

Written as LLVM instructions on vectors of 16, which LLVM fits to the machine at hand (AVX-512, AVX2, NEON). After a
change here remove the `__pycache__` of this folder: numba looks only at the file that calls.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from llvmlite import ir
from numba import types
from numba.core import cgutils

from rag_core.engines.vectors import load, operation, splat

__all__ = [
    "BFLOAT16",
    "FLOAT32",
    "Q4",
    "Q8",
    "b16_1",
    "b16_4",
    "b16_out",
    "f32_1",
    "f32_4",
    "f32_8",
    "f32_out",
    "q4_1",
    "q4_4",
    "q4_out",
    "q8_1",
    "q8_4",
    "q8_out",
]

# Forms of a matrix: 4-bit blocks of 32 inputs with scale and offset, 8-bit blocks with scale, or plain numbers.
Q4, Q8, BFLOAT16, FLOAT32 = 0, 1, 2, 3

_FLOAT, _BYTE, _LONG = ir.FloatType(), ir.IntType(8), ir.IntType(64)
_VECTOR = ir.VectorType(_FLOAT, 16)
_WORDS = ir.VectorType(ir.IntType(32), 16)
_FUSE = ("contract",)
_BLOCK_BYTES = {Q4: 512, Q8: 1_024, BFLOAT16: 2_048, FLOAT32: 4_096}


def _weights(builder: ir.IRBuilder, form: int, block: ir.Value, k: int) -> tuple[ir.Value, ir.Value]:
    """Emit the 32 weights of input `k` of a block, as two vectors of float32."""
    narrow, short = ir.VectorType(_BYTE, 16), ir.VectorType(ir.IntType(16), 16)
    if form == Q4:
        pair = load(builder, block, 16 * k, narrow)
        low = builder.and_(pair, ir.Constant(narrow, [15] * 16))
        high = builder.lshr(pair, ir.Constant(narrow, [4] * 16))
        return tuple(builder.sitofp(builder.zext(half, _WORDS), _VECTOR) for half in (low, high))
    found = []
    for half in (0, 1):
        if form == Q8:
            loaded = load(builder, block, 32 * k + 16 * half, narrow)
            found.append(builder.sitofp(builder.sext(loaded, _WORDS), _VECTOR))
        elif form == BFLOAT16:
            loaded = builder.zext(load(builder, block, 64 * k + 32 * half, short), _WORDS)
            found.append(builder.bitcast(builder.shl(loaded, ir.Constant(_WORDS, [16] * 16)), _VECTOR))
        else:
            found.append(load(builder, block, 128 * k + 64 * half, _VECTOR))
    return found[0], found[1]


def _emit_block(
    builder: ir.IRBuilder, form: int, rows: int, at: dict[str, ir.Value], index: ir.Value, sums: list[ir.Value]
) -> list[ir.Value]:
    """Emit 32 inputs of a tile: return `sums` (two vectors a row) with their products added."""
    block = builder.add(at["data"], builder.mul(index, ir.Constant(_LONG, _BLOCK_BYTES[form])))
    scaled = form in (Q4, Q8)
    zero = ir.Constant(_VECTOR, [0.0] * 16)
    parts = [zero] * (2 * rows) if scaled else list(sums)
    places = [
        builder.add(
            builder.add(at["x"], builder.mul(at["x_stride"], ir.Constant(_LONG, row))),
            builder.mul(index, ir.Constant(_LONG, 128)),
        )
        for row in range(rows)
    ]
    for k in range(32):
        low, high = _weights(builder, form, block, k)
        for row in range(rows):
            x = splat(builder, load(builder, places[row], 4 * k, _FLOAT), _VECTOR)
            for half, weights in ((0, low), (1, high)):
                product = builder.fmul(weights, x, flags=_FUSE)
                parts[2 * row + half] = builder.fadd(parts[2 * row + half], product, flags=_FUSE)
    if not scaled:
        return parts
    # Scale and offset belong to the whole block: (d q + m) x summed is d (q x) + m x, each summed on its own.
    step = builder.mul(index, ir.Constant(_LONG, 128))
    scale, offset = builder.add(at["scale"], step), builder.add(at["offset"], step)
    found = []
    for row in range(rows):
        for half in (0, 1):
            scales = load(builder, scale, 64 * half, _VECTOR)
            total = builder.fadd(
                sums[2 * row + half], builder.fmul(scales, parts[2 * row + half], flags=_FUSE), flags=_FUSE
            )
            if form == Q4:
                place = builder.add(
                    builder.add(at["x_sums"], builder.mul(at["sums_stride"], ir.Constant(_LONG, row))),
                    builder.mul(index, ir.Constant(_LONG, 4)),
                )
                x_sum = splat(builder, load(builder, place, 0, _FLOAT), _VECTOR)
                product = builder.fmul(load(builder, offset, 64 * half, _VECTOR), x_sum, flags=_FUSE)
                total = builder.fadd(total, product, flags=_FUSE)
            found.append(total)
    return found


def _tile(form: int, rows: int) -> Callable[..., None]:
    """Return what computes one tile: out[row, 0:32] = weights of the tile times x[row], for `rows` rows.

    All arguments are addresses and strides in bytes, but the last, the number of blocks of 32 inputs.
    """
    names = ("data", "scale", "offset", "x", "x_stride", "x_sums", "sums_stride", "out", "out_stride", "blocks")

    @operation
    def tile(
        typing: Any,
        data: Any,
        scale: Any,
        offset: Any,
        x: Any,
        x_stride: Any,
        x_sums: Any,
        sums_stride: Any,
        out: Any,
        out_stride: Any,
        blocks: Any,
    ) -> Any:
        def generate(context: Any, builder: ir.IRBuilder, signature: Any, args: Any) -> Any:
            at = dict(zip(names, args, strict=True))
            before = builder.block
            loop, after = builder.append_basic_block("loop"), builder.append_basic_block("after")
            builder.branch(loop)
            builder.position_at_end(loop)
            index = builder.phi(_LONG)
            index.add_incoming(ir.Constant(_LONG, 0), before)
            sums = [builder.phi(_VECTOR) for _ in range(2 * rows)]
            for phi in sums:
                phi.add_incoming(ir.Constant(_VECTOR, [0.0] * 16), before)
            totals = _emit_block(builder, form, rows, at, index, sums)
            following = builder.add(index, ir.Constant(_LONG, 1))
            index.add_incoming(following, loop)
            for phi, total in zip(sums, totals, strict=True):
                phi.add_incoming(total, loop)
            builder.cbranch(builder.icmp_signed("<", following, at["blocks"]), loop, after)
            builder.position_at_end(after)
            for row in range(rows):
                place = builder.add(at["out"], builder.mul(at["out_stride"], ir.Constant(_LONG, row)))
                for half in (0, 1):
                    target = builder.add(place, ir.Constant(_LONG, 64 * half))
                    builder.store(totals[2 * row + half], builder.inttoptr(target, _VECTOR.as_pointer()), align=4)
            return context.get_dummy_value()

        return types.void(*[types.int64] * len(names)), generate

    return tile


def _unpacker(form: int) -> Callable[..., None]:
    """Return what writes one tile as float32: out[input, 0:32] is the weights of that input.

    Arguments are addresses and a stride in bytes, then the number of blocks. Products are rounded before offsets are
    added, as when the file's own library makes float32 of it, so every weight is the same to the last bit.
    """
    names = ("data", "scale", "offset", "out", "out_stride", "blocks")

    @operation
    def unpack(typing: Any, data: Any, scale: Any, offset: Any, out: Any, out_stride: Any, blocks: Any) -> Any:
        def generate(context: Any, builder: ir.IRBuilder, signature: Any, args: Any) -> Any:
            at = dict(zip(names, args, strict=True))
            with cgutils.for_range(builder, at["blocks"]) as loop:
                block = builder.add(at["data"], builder.mul(loop.index, ir.Constant(_LONG, _BLOCK_BYTES[form])))
                step = builder.mul(loop.index, ir.Constant(_LONG, 128))
                first = builder.mul(loop.index, ir.Constant(_LONG, 32))
                for k in range(32):
                    row = builder.mul(at["out_stride"], builder.add(first, ir.Constant(_LONG, k)))
                    place = builder.add(at["out"], row)
                    for half, found in enumerate(_weights(builder, form, block, k)):
                        if form in (Q4, Q8):
                            found = builder.fmul(
                                found, load(builder, builder.add(at["scale"], step), 64 * half, _VECTOR)
                            )
                        if form == Q4:
                            found = builder.fadd(
                                found, load(builder, builder.add(at["offset"], step), 64 * half, _VECTOR)
                            )
                        target = builder.add(place, ir.Constant(_LONG, 64 * half))
                        builder.store(found, builder.inttoptr(target, _VECTOR.as_pointer()), align=4)
            return context.get_dummy_value()

        return types.void(*[types.int64] * len(names)), generate

    return unpack


q4_1, q4_4 = _tile(Q4, 1), _tile(Q4, 4)
q8_1, q8_4 = _tile(Q8, 1), _tile(Q8, 4)
b16_1, b16_4 = _tile(BFLOAT16, 1), _tile(BFLOAT16, 4)
f32_1, f32_4, f32_8 = _tile(FLOAT32, 1), _tile(FLOAT32, 4), _tile(FLOAT32, 8)
q4_out, q8_out, b16_out, f32_out = _unpacker(Q4), _unpacker(Q8), _unpacker(BFLOAT16), _unpacker(FLOAT32)
